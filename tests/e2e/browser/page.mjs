// The gateway's live page in a real browser: what it shows, what it does, and that it asks nobody else for anything.
// usage: node page.mjs CHROMIUM URL FOLDER; screenshots go to FOLDER
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [executablePath, url, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

async function open(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1200 }, ...options });
  page.troubles = [];
  page.on('console', (message) => { if (message.type() === 'error') page.troubles.push(message.text()); });
  page.on('pageerror', (error) => page.troubles.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) page.troubles.push(`asked for ${request.url()}`);
  });
  const reply = await page.goto(url);
  assert.match(reply.headers()['content-security-policy'], /default-src 'none'/);
  return page;
}

/// WCAG's contrast of an element's text with the ground behind it.
const contrast_of = (page, selector) => page.locator(selector).first().evaluate((element) => {
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let ground = element;
  while (ground && numbers(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const a = light(numbers(getComputedStyle(element).color));
  const b = light(numbers(getComputedStyle(ground).backgroundColor));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
});

const cells = (page, row) => page.locator('#messages tbody tr').nth(row).locator('td').allInnerTexts();

const checks = {
  async 'nodes, mesh, a publish, and when it came to each node'() {
    const page = await open();
    await page.getByText('4 of 4 nodes in reach').waitFor();
    assert.equal(await page.locator('#nodes tbody tr').count(), 4);
    assert.equal(await page.locator('#edges line').count(), 6);
    await page.getByLabel('Topic', { exact: true }).fill('page topic/ä');
    for (const text of ['Hello from the page', '<img src=x onerror=alert(1)>', 'Hello from the page']) {
      await page.getByLabel('Message', { exact: true }).fill(text);
      await page.getByRole('button', { name: 'Publish', exact: true }).click();
      await page.getByText('Published as').waitFor();
      await page.waitForFunction(() => !document.getElementById('send').disabled);
    }
    await page.waitForFunction(() => document.querySelectorAll('#messages tbody tr').length === 3);
    await page.waitForFunction(() => ![...document.querySelectorAll('#messages tbody td')]
      .some((cell) => cell.textContent === '–'));
    for (const [row, text] of ['Hello from the page', '<img src=x onerror=alert(1)>'].entries()) {
      const [, topic, message, size, ...arrivals] = await cells(page, row);
      assert.equal(topic, 'page topic/ä');
      assert.equal(message, text);
      assert.match(size, /^\d+ B$/);
      assert.equal(arrivals.length, 4);
      for (const arrival of arrivals) assert.match(arrival, /^[\d.,]+ ms$/);
    }
    await page.waitForFunction(() => document.querySelectorAll('#edges line.is-mesh').length === 6);
    assert.equal(await page.locator('#dots text', { hasText: ' ms' }).count(), 4);
    assert.equal(await page.locator('#topic-list button', { hasText: 'page topic/ä' }).count(), 1);
    await page.locator('#messages tbody button').nth(1).click();
    assert.match(await page.locator('#chosen').innerText(), /onerror/);
    assert.deepEqual(page.troubles, []);
    await page.screenshot({ path: join(folder, 'page-light.png'), fullPage: true });
    await page.close();
  },

  async 'messages that others publish, text and bytes'() {
    const page = await open({ colorScheme: 'dark' });
    await page.getByLabel('Topic', { exact: true }).fill('news');
    await page.getByRole('button', { name: 'Only watch the topic' }).click();
    await page.getByText('Watching news').waitFor();
    const post = (body) => fetch(`${url}api/v1/publish`, {
      method: 'POST', body: JSON.stringify({ client_id: 'other', topic: 'news', ...body }),
    });
    for (let i = 0; i < 6; i += 1) {
      assert.equal((await post({ message: `News ${i}: ${'ä€😀'.repeat(i * 10)}` })).status, 200);
    }
    assert.equal((await post({ message_length: 100000 })).status, 200);
    await page.waitForFunction(() => document.querySelectorAll('#messages tbody tr').length >= 7);
    await page.waitForFunction(() => document.querySelector('#messages tbody tr td:last-child').textContent !== '–');
    const [, , message, size] = await cells(page, 0);
    assert.equal(message, 'bytes, not text');
    assert.equal(size, '97.7 KiB');
    const [, , long] = await cells(page, 1);
    assert.match(long, /^News 5: ä€😀.*…$/u);
    assert(!long.includes('\ufffd'));
    for (const selector of ['h1', '#state', '.quiet', 'label', '#send', '#watch', 'th', 'td', '#outcome', 'input']) {
      const contrast = await contrast_of(page, selector);
      assert(contrast >= 4.5, `${selector}: contrast ${contrast.toFixed(2)}`);
    }
    assert.deepEqual(page.troubles, []);
    await page.screenshot({ path: join(folder, 'page-dark.png'), fullPage: true });
    await page.close();
  },

  async 'a small screen, the keyboard, and names for everything'() {
    const page = await open({ viewport: { width: 360, height: 740 } });
    await page.getByText('4 of 4 nodes in reach').waitFor();
    assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'scrolls sideways');
    for (const selector of ['h1', '#state', '.quiet', 'label', '#send', '#watch', 'th', 'input']) {
      const contrast = await contrast_of(page, selector);
      assert(contrast >= 4.5, `${selector}: contrast ${contrast.toFixed(2)}`);
    }
    const named = 'input, textarea, button, svg[role=img], table';
    const nameless = await page.evaluate((all) => [...document.querySelectorAll(all)]
      .filter((element) => element.matches('input, textarea') ? !element.labels.length
        : element.matches('svg') ? !element.querySelector('title').textContent
          : element.matches('table') ? !element.closest('[aria-labelledby]') : !element.textContent.trim())
      .map((element) => element.outerHTML), named);
    assert.deepEqual(nameless, []);
    await page.getByLabel('Topic', { exact: true }).focus();
    await page.keyboard.press('Control+A');
    await page.keyboard.type('by keyboard');
    await page.keyboard.press('Enter');
    await page.getByText('Published as').waitFor();
    assert.deepEqual(page.troubles, []);
    await page.screenshot({ path: join(folder, 'page-small.png') });
    await page.close();
  },
};

let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok   ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exit(failures ? 1 : 0);

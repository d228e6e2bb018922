// The gateway's live page: what the API says of nodes, topics and arrivals, drawn again as it changes. Text from
// outside never becomes markup. What the page watches, it watches by an event stream, which ends with it.
'use strict';

const asked_every_ms = 500;
const nodes_every_ms = 2000;
const messages_max = 64; // as the gateway keeps

const id = (name) => document.getElementById(name);
const svg = (name, attributes = {}, ...children) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const tag = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

let token = sessionStorage.getItem('token') || '';
let nodes = [];
let next = 0; // what /api/v1/arrivals goes on from
let epoch = ''; // of the gateway that counts so
let chosen = ''; // the message that the graph shows; empty: the last
const messages = new Map(); // by topic and id, in the order in which they began
const news = new Set(); // "message node" that the last answer brought
const key_of = (message) => `${message.topic} ${message.message_id}`;
const streams = new Map(); // topic: EventSource

async function call(path, options = {}) {
  const headers = { ...(options.body && { 'Content-Type': 'application/json' }) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { ...options, headers, cache: 'no-store' });
  if (reply.status === 401 || reply.status === 403) id('sign-in').hidden = false;
  const text = await reply.text();
  let value = {};
  try { value = JSON.parse(text); } catch { value = { error: text.trim() }; }
  if (!reply.ok) throw new Error(value.error || `HTTP status ${reply.status}`);
  return value;
}

function show_state(text, kind) {
  const state = id('state');
  if (state.textContent !== text) state.textContent = text;
  state.className = `state ${kind}`;
}

function show_outcome(text, kind) {
  id('outcome').textContent = text;
  id('outcome').className = `outcome ${kind}`;
}

const milliseconds = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString('en'));
const size = (bytes) => (bytes < 1024 ? `${bytes} B`
  : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`);
const clock = (ms) => {
  const at = new Date(ms);
  return `${at.toLocaleTimeString('en-GB')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
};

// Graph ---------------------------------------------------------------------------------------------------------------

const middle = 160; // of the drawing, which is 480 by 320

function place(index) {
  if (nodes.length === 1) return { x: 240, y: middle };
  const angle = (2 * Math.PI * index) / nodes.length - Math.PI / 2 - (nodes.length === 4 ? Math.PI / 4 : 0);
  return { x: 240 + 160 * Math.cos(angle), y: middle + 105 * Math.sin(angle) };
}

// What a node out of reach said last is no news: its neighbours know better.
const names = (list, a, b) => a.reachable && a[list].includes(b.peer_id);
const is_linked = (list, a, b) => names(list, a, b) || names(list, b, a);
const chosen_message = () => messages.get(chosen) || [...messages.values()].pop();
const arrival_at = (message, index) => message && message.arrivals.find((arrival) => arrival.node === index);

function draw_edges() {
  const lines = [];
  let mesh = 0;
  for (let a = 0; a < nodes.length; a += 1) {
    for (let b = a + 1; b < nodes.length; b += 1) {
      const is_mesh = is_linked('mesh_peers', nodes[a], nodes[b]);
      if (!is_mesh && !is_linked('peers', nodes[a], nodes[b])) continue;
      mesh += is_mesh ? 1 : 0;
      const [from, to] = [place(a), place(b)];
      const line = svg('line', { x1: from.x, y1: from.y, x2: to.x, y2: to.y });
      if (is_mesh) line.classList.add('is-mesh');
      lines.push(line);
    }
  }
  id('edges').replaceChildren(...lines);
  const lost = nodes.filter((node) => !node.reachable).length;
  id('graph-text').textContent = `${nodes.length} nodes, ${lost} of them out of reach; ${lines.length} connections, `
    + `${mesh} between mesh neighbours.`;
}

function draw_dots() {
  const message = chosen_message();
  const radius = Math.max(5, Math.min(26, 330 / nodes.length));
  id('dots').replaceChildren(...nodes.map((node, index) => {
    const { x, y } = place(index);
    const arrival = arrival_at(message, index);
    const below = y > middle ? 1 : -1;
    const group = svg('g', {}, svg('circle', { class: 'wave', cx: x, cy: y, r: radius }),
      svg('circle', { cx: x, cy: y, r: radius }),
      svg('text', { class: 'number', x, y }, String(index + 1)));
    if (nodes.length <= 12) {
      group.append(svg('text', { x, y: y + below * (radius + 14) + 5 },
        !node.reachable ? 'out of reach' : arrival ? `${milliseconds(arrival.ms)} ms` : node.address));
      const others = node.peers.filter((peer) => !nodes.some((known) => known.peer_id === peer)).length;
      const at = { class: 'small', x, y: y + below * (radius + 32) + 5 };
      if (others) group.append(svg('text', at, `+ ${others} other peers`));
    }
    if (!node.reachable) group.classList.add('is-lost');
    if (message && news.has(`${key_of(message)} ${index}`)) group.classList.add('has-news');
    return group;
  }));
  const preview = message?.preview ?? 'bytes';
  const start = preview.length > 60 ? `${preview.slice(0, 60)}…` : preview;
  id('chosen').textContent = message ? `Shown: ${start} on ${message.topic}` : '';
}

// Tables --------------------------------------------------------------------------------------------------------------

function draw_nodes() {
  id('nodes').tBodies[0].replaceChildren(...nodes.map((node, index) => tag('tr', {},
    tag('td', {}, String(index + 1)), tag('td', {}, node.address),
    tag('td', { className: node.reachable ? 'good' : 'bad' }, node.reachable ? 'in reach' : 'out of reach'),
    tag('td', { className: 'number' }, node.reachable ? String(node.peers.length) : ''),
    tag('td', { className: 'number' }, node.messages.toLocaleString('en')),
    tag('td', { className: 'number' }, node.reachable ? `${node.cpu_used.toFixed(0)} %` : ''),
    tag('td', {}, tag('code', {}, node.peer_id || 'unknown')))));
  const head = ['Time', 'Topic', 'Message', 'Size', ...nodes.map((_, index) => `Node ${index + 1}`)];
  id('messages').tHead.rows[0].replaceChildren(...head.map((text, column) =>
    tag('th', { scope: 'col', className: column > 2 ? 'number' : '' }, text)));
}

function message_row(message) {
  const time = tag('button', { className: 'plain', title: 'Show in the graph' }, clock(message.began_ms));
  time.addEventListener('click', () => { chosen = key_of(message); draw_messages(); draw_dots(); });
  const row = tag('tr', {}, tag('td', {}, time), tag('td', { className: 'text' }, message.topic),
    tag('td', { className: 'text' }, message.preview ?? 'bytes, not text'),
    tag('td', { className: 'number' }, size(message.bytes)));
  nodes.forEach((_, index) => {
    const arrival = arrival_at(message, index);
    const cell = tag('td', { className: 'number' }, arrival ? `${milliseconds(arrival.ms)} ms` : '–');
    if (news.has(`${key_of(message)} ${index}`)) cell.classList.add('has-news');
    row.append(cell);
  });
  if (chosen_message() === message) row.className = 'is-chosen';
  return row;
}

function draw_messages() {
  const focused = document.activeElement?.closest('#messages tbody tr')?.rowIndex;
  id('messages').tBodies[0].replaceChildren(...[...messages.values()].reverse().map(message_row));
  id('messages').hidden = messages.size === 0;
  id('no-messages').hidden = messages.size !== 0;
  if (focused > 0) id('messages').rows[focused]?.querySelector('button')?.focus();
}

function draw_topics(names) {
  const list = names.slice(0, 100);
  id('topics').replaceChildren(...list.map((name) => tag('option', { value: name })));
  if (document.activeElement?.closest('#topic-list')) return; // not while somebody is in it
  id('topic-list').replaceChildren(...list.map((name) => {
    const button = tag('button', { type: 'button', className: streams.has(name) ? '' : 'plain' }, name);
    button.setAttribute('aria-pressed', String(streams.has(name)));
    button.title = streams.has(name) ? 'Watched by this page; press to stop' : 'Watch';
    button.addEventListener('click', () => {
      button.blur();
      if (streams.has(name)) unwatch(name); else watch(name).catch((error) => show_outcome(error.message, 'bad'));
      id('topic').value = name;
    });
    return tag('li', {}, button);
  }));
  if (!list.length) id('topic-list').replaceChildren(tag('li', { className: 'quiet' }, 'none yet'));
}

// What is asked, and when ---------------------------------------------------------------------------------------------

async function ask_nodes() {
  const known = (await call('/api/v1/nodes')).nodes;
  const is_other = known.length !== nodes.length;
  nodes = known;
  draw_edges();
  draw_nodes();
  draw_dots();
  if (is_other) draw_messages();
  const up = nodes.filter((node) => node.reachable).length;
  show_state(`${up} of ${nodes.length} nodes in reach`, up === nodes.length && up > 0 ? 'good' : 'bad');
  draw_topics((await call('/api/v1/topics')).topics);
}

async function ask_arrivals() {
  const answer = await call(`/api/v1/arrivals?after=${next}`);
  news.clear();
  if (answer.epoch !== epoch) { // the gateway is a new one: its numbers are others
    const is_first = epoch === '';
    epoch = answer.epoch;
    next = 0;
    if (!is_first) return arrivals_soon();
  }
  next = answer.next;
  if (!answer.messages.length) return;
  for (const message of answer.messages) {
    const key = key_of(message);
    for (const arrival of message.arrivals) {
      if (!arrival_at(messages.get(key), arrival.node)) news.add(`${key} ${arrival.node}`);
    }
    messages.set(key, message);
  }
  for (const key of messages.keys()) {
    if (messages.size <= messages_max) break;
    messages.delete(key);
  }
  if (!messages.has(chosen)) chosen = '';
  draw_messages();
  draw_dots();
}

/// Asks again and again, one call at a time, while the page is seen; soon() asks at once.
function repeat(ask, every_ms) {
  let timer = 0;
  let is_asking = false;
  let is_wanted = false;
  const turn = async () => {
    clearTimeout(timer);
    if (is_asking) { is_wanted = true; return; }
    is_asking = true;
    try {
      if (!document.hidden) await ask();
    } catch (error) {
      show_state(error instanceof TypeError ? 'The gateway does not answer' : error.message, 'bad');
    }
    is_asking = false;
    timer = setTimeout(turn, is_wanted ? 20 : every_ms);
    is_wanted = false;
  };
  turn();
  return turn;
}

function unwatch(topic) {
  streams.get(topic)?.close();
  streams.delete(topic);
  nodes_soon();
}

/// Resolves once the nodes have taken the topic in. One topic at a time: a browser opens few connections to one server.
function watch(topic) {
  if (streams.has(topic)) return Promise.resolve();
  for (const other of streams.keys()) unwatch(other);
  const query = token ? `?access_token=${encodeURIComponent(token)}` : '';
  const stream = new EventSource(`/api/v1/topics/${encodeURIComponent(topic)}/stream${query}`);
  streams.set(topic, stream);
  stream.addEventListener('message', () => arrivals_soon());
  return new Promise((done, failed) => {
    stream.onopen = () => { nodes_soon(); done(); };
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      unwatch(topic);
      failed(new Error('The gateway does not let this topic be watched'));
    };
  });
}

async function publish(event) {
  event.preventDefault();
  const topic = id('topic').value;
  id('send').disabled = true;
  show_outcome('', '');
  try {
    await watch(topic);
    await arrivals_soon();
    const body = JSON.stringify({ client_id: 'page', topic, message: id('message').value, no_dedup: true });
    const done = await call('/api/v1/publish', { method: 'POST', body });
    show_outcome(`Published as ${done.message_id}`, 'good');
  } catch (error) {
    show_outcome(error.message, 'bad');
  }
  id('send').disabled = false;
  arrivals_soon();
}

id('publish-form').addEventListener('submit', publish);
id('watch').addEventListener('click', () => {
  if (!id('topic').reportValidity()) return;
  watch(id('topic').value).then(() => show_outcome(`Watching ${id('topic').value}`, 'good'),
    (error) => show_outcome(error.message, 'bad'));
});
id('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  token = id('token').value.trim();
  sessionStorage.setItem('token', token);
  id('sign-in').hidden = true;
  nodes_soon();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) { nodes_soon(); arrivals_soon(); } });

const nodes_soon = repeat(ask_nodes, nodes_every_ms);
const arrivals_soon = repeat(ask_arrivals, asked_every_ms);
call('/api/v1/version').then((it) => { id('version').textContent = `${it.version} (${it.commit_hash})`; }, () => {});

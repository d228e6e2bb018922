// An independent client of the gateway's gRPC API, from another implementation of gRPC.
// usage: node gateway.mjs GATEWAY_PROTO GATEWAY_ADDRESS HTTP_ADDRESS [FLOOD_COUNT]
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const here = dirname(fileURLToPath(import.meta.url));
const [gatewayProto, address, http, floodCount] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, enums: Number, defaults: true, oneofs: true };
const load = (path) => grpc.loadPackageDefinition(loader.loadSync(path, options));
const api = load(gatewayProto).proto;
const health = load(join(here, 'health.proto')).grpc.health.v1;
const reflection = load(join(here, 'reflection.proto')).grpc.reflection.v1alpha;
const limits = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const insecure = grpc.credentials.createInsecure();
const proxy = new api.ProxyStream(address, insecure, limits);
const older = new api.GatewayStream(address, insecure, limits);

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const unary = (client, method, request) =>
  new Promise((done, failed) => client[method](request, { deadline: Date.now() + 60000 },
    (error, reply) => (error ? failed(error) : done(reply))));
const post = (path, body) => fetch(`http://${http}${path}`, { method: 'POST', body: JSON.stringify(body) });

async function until(what, condition, ms = 180000) {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`);
    await pause(5);
  }
}

function listen(client, id) {
  const stream = client.ClientStream();
  const got = { stream, messages: [], notes: [], error: null };
  stream.on('data', (message) => (message.type === '' ? got.messages : got.notes).push(message));
  stream.on('error', (error) => { got.error = error; });
  stream.write({ client_id: id, type: 'subscribe' });
  return got;
}

const checks = {
  async 'the flow of the published sample: subscribe, ClientStream, publish over REST'() {
    for (const [client, id] of [[proxy, 'new'], [older, 'old']]) {
      const reply = await post('/api/subscribe', { client_id: id, topic: `sample-${id}`, threshold: 0.1 });
      assert.equal(reply.status, 200);
      const got = listen(client, id);
      await post('/api/publish', { client_id: id, topic: `sample-${id}`, message: 'hello' });
      await until('the message', () => got.messages.length === 1);
      assert.equal(got.messages[0].topic, `sample-${id}`);
      assert.equal(got.messages[0].message.toString(), 'hello');
      assert.equal(got.messages[0].message_id, sha256('hello'));
      got.stream.cancel();
    }
  },

  async 'Subscribe, Publish and ExposeNodes'() {
    const subscribed = await unary(proxy, 'Subscribe',
      { client_id: 'u', topic: 'unary', threshold: 0.5, topics: ['second'] });
    assert.deepEqual(subscribed, { status: 'subscribed', topic: 'unary', client_id: 'u' });
    const got = listen(proxy, 'u');
    const payload = Buffer.from([0, 255, 10]);
    const published = await unary(proxy, 'Publish', { client_id: 'u', topic: 'unary', message: payload });
    assert.deepEqual(published, { status: 'published', topic: 'unary', client_id: 'u', message_id: sha256(payload) });
    await unary(proxy, 'Publish', { client_id: 'u', topic: 'second', message: Buffer.from('2') });
    await until('two messages', () => got.messages.length === 2);
    assert.deepEqual(got.messages.map((message) => message.topic).sort(), ['second', 'unary']);
    const again = await unary(proxy, 'Publish', { client_id: 'u', topic: 'unary', message: payload });
    assert.equal(again.status, 'deduplicated');
    const nodes = await unary(proxy, 'ExposeNodes', { client_id: 'u', expose_amount: 2 });
    assert.equal(nodes.nodes.length, 2);
    assert.match(nodes.nodesOptP2P[0], /\/p2p\/12D3Koo/);
    got.stream.cancel();
  },

  async 'mistakes have a status and words'() {
    const code = async (method, request) => {
      try { await unary(proxy, method, request); } catch (error) { return [error.code, error.details]; }
      return [0, ''];
    };
    assert.deepEqual(await code('Publish', { client_id: 'u', topic: 'nobody', message: Buffer.from('x') }),
      [grpc.status.FAILED_PRECONDITION, 'topic not assigned']);
    assert.equal((await code('Publish', { client_id: 'u' }))[0], grpc.status.INVALID_ARGUMENT);
    assert.equal((await code('Subscribe', { topic: 't' }))[1], 'missing client ID');
    const long = 'x'.repeat(300);
    assert.match((await code('Subscribe', { client_id: long, topic: 't' }))[1], /at most 256 bytes/);
    assert.match((await code('Subscribe', { client_id: 'u', topic: long }))[1], /at most 255 bytes/);
    assert.match((await code('Subscribe', { client_id: 'u', topic: 't', threshold: 7 }))[1], /threshold/);
    const message = Buffer.from('x');
    assert.match((await code('Publish', { client_id: long, topic: 'unary', message }))[1], /at most 256/);
    const large = await code('Publish', { client_id: 'u', topic: 'unary', message: Buffer.alloc((16 << 20) + 1) });
    assert.deepEqual(large[0], grpc.status.INVALID_ARGUMENT);
    assert.match(large[1], /delivery.message_bytes_max/);
    const oversize = await code('Publish', { client_id: 'u', topic: 'unary', message: Buffer.alloc(32 << 20) });
    assert.equal(oversize[0], grpc.status.RESOURCE_EXHAUSTED);
    const stream = proxy.ClientStream();
    const status = await new Promise((done) => {
      stream.on('error', done);
      stream.on('data', () => {});
      stream.write({});
    });
    assert.equal(status.details, 'missing client ID');
  },

  async 'health and reflection'() {
    const client = new health.Health(address, insecure);
    assert.equal((await unary(client, 'Check', { service: '' })).status, 1);
    client.close();
    const reflect = new reflection.ServerReflection(address, insecure).ServerReflectionInfo();
    const names = await new Promise((done, failed) => {
      reflect.on('data', (reply) => { reflect.end(); done(reply.list_services_response.service.map((s) => s.name)); });
      reflect.on('error', failed);
      reflect.write({ list_services: '' });
    });
    for (const name of ['proto.ProxyStream', 'proto.GatewayStream']) assert(names.includes(name), names.join());
  },

  async 'a publisher that never reads is never blocked'() {
    const count = Number(floodCount ?? 300);
    await unary(proxy, 'Subscribe', { client_id: 'reader', topic: 'flood' });
    const reader = listen(proxy, 'reader');
    const numbers = [];
    reader.stream.on('data', (message) => {
      if (message.topic !== 'flood') return;
      numbers.push(message.message.readUInt32LE(0));
      reader.messages.length = 0;
    });
    const writer = new api.ProxyStream(address, insecure, { ...limits, 'grpc.use_local_subchannel_pool': 1 });
    const stream = writer.ClientStream();  // no data listener: nothing is ever read
    stream.on('error', () => {});
    stream.write({ client_id: 'writer' });
    const start = Date.now();
    for (let i = 0; i < count; ++i) {
      const message = Buffer.alloc(100 * 1024, i & 255);
      message.writeUInt32LE(i, 0);
      await new Promise((done) => stream.write({ topic: 'flood', message }, done));
    }
    await until(`${count} messages`, () => numbers.length >= count);
    assert.deepEqual(numbers, [...Array(count).keys()]);
    console.log(`    ${count} messages of 100 KiB in ${((Date.now() - start) / 1000).toFixed(1)} s, in order`);
    stream.cancel();
    reader.stream.cancel();
  },
};

for (const [name, check] of Object.entries(checks)) {
  const start = Date.now();
  try {
    await check();
  } catch (error) {
    console.log(`FAILED  ${name}\n${error.stack}`);
    process.exit(1);
  }
  console.log(`ok  ${name} (${Date.now() - start} ms)`);
}
process.exit(0);

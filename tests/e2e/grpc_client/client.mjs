// An independent client of the sidecar: the published way of talking to a node, from another implementation of gRPC.
// usage: node client.mjs SIDECAR_PROTO PUBLISHER_ADDRESS SUBSCRIBER_ADDRESS [WORD in the names of checks]
import { createHash, randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const here = process.env.CLIENT_PROTOS ?? dirname(fileURLToPath(import.meta.url));
const [sidecarProto, publisherAddress, subscriberAddress, word] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, enums: Number, defaults: true, oneofs: true };
const load = (path) => grpc.loadPackageDefinition(loader.loadSync(path, options));
const sidecar = load(sidecarProto).proto;
const health = load(join(here, 'health.proto')).grpc.health.v1;
const reflection = load(join(here, 'reflection.proto')).grpc.reflection.v1alpha;

const limits = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const connect = (address) => new sidecar.CommandStream(address, grpc.credentials.createInsecure(), limits);
const publisher = connect(publisherAddress);
const subscriber = connect(subscriberAddress);

const MESSAGE = 1;
const TRACE = 2;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const unary = (client, method, request) =>
  new Promise((done, failed) => client[method](request, { deadline: Date.now() + 30000 },
    (error, reply) => (error ? failed(error) : done(reply))));

async function until(what, condition, ms = 60000) {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`);
    await pause(5);
  }
}

/// A subscribed stream; messages and traces gather in lists.
async function subscribe(client, topics) {
  const stream = client.ListenCommands();
  const got = { stream, messages: [], traces: 0, error: null };
  stream.on('data', (response) => {
    if (response.command === MESSAGE) got.messages.push(JSON.parse(response.data.toString()));
    if (response.command === TRACE) got.traces += 1;
  });
  stream.on('error', (error) => { got.error = error; });
  for (const topic of topics) stream.write({ command: 2, topic });
  const end = Date.now() + 30000;
  for (;;) {
    const listed = (await unary(client, 'ListTopics', {})).topics;
    if (topics.every((topic) => listed.includes(topic))) return got;
    assert(Date.now() < end, `ListTopics never showed ${topics}`);
    await pause(5);
  }
}

/// Send, close the sending side, read one response: the way the published command-line client works.
const publishOnce = (topic, data) => new Promise((done, failed) => {
  const stream = publisher.ListenCommands();
  stream.on('data', (response) => { stream.cancel(); done(response); });
  stream.on('error', (error) => { if (error.code !== grpc.status.CANCELLED) failed(error); });
  stream.on('end', () => failed(new Error('node closed stream before sending publish response (EOF)')));
  stream.write({ command: 1, topic, data });
  stream.end();
});

const checks = {
  async 'Health answers with the published fields'() {
    const reply = await unary(publisher, 'Health', {});
    assert.equal(reply.status, true);
    assert.equal(reply.nodeMode, 'optimum');
    for (const key of ['memoryUsed', 'cpuUsed', 'diskUsed']) {
      assert(reply[key] >= 0 && reply[key] <= 100, `${key} ${reply[key]}`);
    }
  },

  async 'grpc.health.v1 says SERVING'() {
    const client = new health.Health(publisherAddress, grpc.credentials.createInsecure());
    assert.equal((await unary(client, 'Check', { service: '' })).status, 1);
    client.close();
  },

  async 'reflection v1alpha lists the services and describes the sidecar'() {
    const client = new reflection.ServerReflection(publisherAddress, grpc.credentials.createInsecure());
    const ask = (request) => new Promise((done, failed) => {
      const stream = client.ServerReflectionInfo();
      stream.on('data', (reply) => { stream.end(); done(reply); });
      stream.on('error', failed);
      stream.write(request);
    });
    const names = (await ask({ list_services: '' })).list_services_response.service.map((service) => service.name);
    assert(names.includes('proto.CommandStream'), names.join());
    assert(names.includes('grpc.health.v1.Health'), names.join());
    const described = await ask({ file_containing_symbol: 'proto.CommandStream' });
    const files = described.file_descriptor_response.file_descriptor_proto.map((file) => file.toString('latin1'));
    assert(files.some((file) => file.includes('ListenCommands') && file.includes('HealthResponse')));
    client.close();
  },

  async 'a message has both spellings of its keys, and the bytes'() {
    const got = await subscribe(subscriber, ['js-keys']);
    const payload = Buffer.concat([Buffer.from('Grüße '), Buffer.from([0, 255, 10])]);
    const response = await publishOnce('js-keys', payload);
    assert.equal(response.command, TRACE);
    await until('the message', () => got.messages.length === 1);
    const [message] = got.messages;
    assert.equal(message.topic, 'js-keys');
    assert.equal(message.message, payload.toString('base64'));
    assert.equal(message.message_id, sha256(payload));
    assert.equal(message.MessageID, message.message_id);
    assert.match(message.source_node_id, /^12D3KooW/);
    assert.equal(message.SourceNodeID, message.source_node_id);
    got.stream.cancel();
  },

  async 'one stream takes many commands, and topics do not leak into each other'() {
    const got = await subscribe(subscriber, ['js-a', 'js-b']);
    await publishOnce('js-a', Buffer.from('1'));
    await publishOnce('js-other', Buffer.from('2'));
    await publishOnce('js-b', Buffer.from('3'));
    await until('two messages', () => got.messages.length === 2);
    got.stream.write({ command: 3, topic: 'js-a' });
    await pause(200);
    await publishOnce('js-a', Buffer.from('4'));
    await publishOnce('js-b', Buffer.from('5'));
    await until('the third message', () => got.messages.length === 3);
    await pause(200);
    const texts = got.messages.map((message) => Buffer.from(message.message, 'base64').toString());
    assert.deepEqual(texts.sort(), ['1', '3', '5']);
    got.stream.cancel();
  },

  async 'a publisher that never reads is never blocked: 200 messages of 100 KiB'() {
    const got = await subscribe(subscriber, ['js-flood']);
    const stream = publisher.ListenCommands();  // no data listener: nothing is ever read
    let failure = null;
    stream.on('error', (error) => { failure = error; });
    const sent = new Set();
    for (let i = 0; i < 200; ++i) {
      const data = randomBytes(100 * 1024);
      sent.add(sha256(data));
      await new Promise((done) => stream.write({ command: 1, topic: 'js-flood', data }, done));
    }
    await until('200 messages', () => got.messages.length >= 200 || failure !== null);
    assert.equal(failure, null);
    assert.deepEqual(new Set(got.messages.map((message) => message.message_id)), sent);
    for (const message of got.messages) {
      assert.equal(sha256(Buffer.from(message.message, 'base64')), message.message_id);
    }
    stream.cancel();
    got.stream.cancel();
  },
};

for (const [name, check] of Object.entries(checks)) {
  if (word !== undefined && !name.includes(word)) continue;
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

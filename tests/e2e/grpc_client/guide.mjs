// The published sample of a gRPC client: it subscribes over REST, opens ClientStream with its client_id, publishes over
// REST and prints what comes.
// usage: node guide.mjs GATEWAY_PROTO GRPC_ADDRESS REST_URL COUNT
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const [gatewayProto, address, rest, count] = process.argv.slice(2);
const api = grpc.loadPackageDefinition(loader.loadSync(gatewayProto, { keepCase: true })).proto;
const client = new api.ProxyStream(address, grpc.credentials.createInsecure());
const id = `client_${process.pid}`;

async function post(path, body) {
  const reply = await fetch(`${rest}${path}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ client_id: id, ...body }),
  });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
}

await post('/api/v1/subscribe', { topic: 'demo', threshold: 0.1 });
const stream = client.ClientStream();
const got = [];
const whole = new Promise((done, failed) => {
  setTimeout(() => failed(new Error(`${got.length} of ${count} messages in 30 s`)), 30000).unref();
  stream.on('error', failed);
  stream.on('data', (message) => {
    got.push(`${message.topic} ${message.message}`);
    if (got.length === Number(count)) done();
  });
});
stream.write({ client_id: id });
for (let i = 1; i <= Number(count); i += 1) {
  await post('/api/v1/publish', { topic: 'demo', message: `hello ${i} ${id}` });
}
await whole;
stream.on('error', () => {}); // of the cancel that follows
stream.cancel();
client.close();
const is_whole = got.every((text, i) => text === `demo hello ${i + 1} ${id}`);
console.log(`${got.length} messages over ${address}, ${is_whole ? 'in order' : 'mixed up'}`);
process.exit(is_whole ? 0 : 1);

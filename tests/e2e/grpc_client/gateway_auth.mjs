// What a gateway answers to tokens over gRPC: [code, details] of a Publish, a Subscribe and a ClientStream for each
// token of a JSON list on stdin, as JSON on stdout.
// usage: node gateway_auth.mjs GATEWAY_PROTO GATEWAY_ADDRESS
import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const [gatewayProto, address] = process.argv.slice(2);
const api = grpc.loadPackageDefinition(loader.loadSync(gatewayProto, { keepCase: true })).proto;
const proxy = new api.ProxyStream(address, grpc.credentials.createInsecure());

function metadataOf(token) {
  const metadata = new grpc.Metadata();
  if (token !== null) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

const unary = (method, token, request) =>
  new Promise((done) => proxy[method](request, metadataOf(token), { deadline: Date.now() + 20000 },
    (error) => done(error ? [error.code, error.details] : [0, ''])));

const stream = (token) =>
  new Promise((done) => {
    const call = proxy.ClientStream(metadataOf(token), { deadline: Date.now() + 20000 });
    call.on('error', (error) => done([error.code, error.details]));
    call.on('data', (message) => {
      done([0, message.type]);
      call.cancel();
    });
    call.write({ client_id: 'forged', type: 'subscribe', topic: 'stream' });
  });

const answers = [];
for (const token of JSON.parse(readFileSync(0, 'utf8'))) {
  answers.push([
    await unary('Subscribe', token, { client_id: 'forged', topic: 't' }),
    await unary('Publish', token, { client_id: 'forged', topic: 't', message: Buffer.from(String(Math.random())) }),
    await stream(token),
  ]);
}
console.log(JSON.stringify(answers));
process.exit(0);

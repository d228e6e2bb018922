// A js-libp2p node for the interop test: commands as lines on stdin, what happens as JSON lines on stdout.
// Commands: dial MULTIADDR | ping PEER | echo PEER BYTES | disconnect PEER | quit
import './polyfill.mjs'
import { identify, identifyPush } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { randomBytes } from 'node:crypto'
import readline from 'node:readline'

const echoProtocol = '/corelay/interop/echo/1'
const print = (event, rest = {}) => process.stdout.write(JSON.stringify({ event, ...rest }) + '\n')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping() },
  connectionGater: { denyDialMultiaddr: () => false },
  connectionManager: { inboundConnectionThreshold: 1000 }
})

node.addEventListener('connection:open', ({ detail }) => print('connected', {
  peer: detail.remotePeer.toString(),
  is_outbound: detail.direction === 'outbound',
  security: detail.encryption,
  muxer: detail.multiplexer
}))
node.addEventListener('connection:close', ({ detail }) => print('disconnected', { peer: detail.remotePeer.toString() }))
node.addEventListener('peer:identify', ({ detail }) => print('identified', {
  peer: detail.peerId.toString(),
  agent: detail.agentVersion,
  protocols: detail.protocols,
  addresses: detail.listenAddrs.map(String),
  observed: detail.observedAddr?.toString(),
  has_signed_record: detail.signedPeerRecord != null
}))

async function send (stream, bytes) {
  for (let at = 0; at < bytes.length; at += 65536) {
    if (!stream.send(bytes.subarray(at, at + 65536))) await stream.onDrain()
  }
}

// The other side sends one message with its length before it and closes; the same bytes go back.
await node.handle(echoProtocol, async (stream) => {
  try {
    for await (const part of stream) await send(stream, part.subarray())
    await stream.close()
  } catch (error) {
    print('error', { command: 'serve echo', what: error.message })
  }
}, { maxInboundStreams: 64 })

function withLength (bytes) {
  const prefix = []
  let rest = bytes.length
  for (; rest >= 128; rest = Math.floor(rest / 128)) prefix.push((rest % 128) | 128)
  prefix.push(rest)
  return Buffer.concat([Buffer.from(prefix), bytes])
}

const commands = {
  async dial (address) {
    const connection = await node.dial(multiaddr(address))
    print('dialled', { peer: connection.remotePeer.toString() })
  },
  async ping (peer) {
    print('pinged', { us: Math.round(await node.services.ping.ping(peerIdFromString(peer)) * 1000) })
  },
  async echo (peer, count) {
    const stream = await node.dialProtocol(peerIdFromString(peer), echoProtocol)
    const sent = withLength(randomBytes(Number(count)))
    const parts = []
    const reading = (async () => { for await (const part of stream) parts.push(Buffer.from(part.subarray())) })()
    await send(stream, sent)
    await stream.close()
    await reading
    const back = Buffer.concat(parts)
    print('echoed', { bytes: Number(count), is_equal: back.equals(sent) })
  },
  async disconnect (peer) {
    await node.hangUp(peerIdFromString(peer))
  },
  async quit () {
    await node.stop()
    process.exit(0)
  }
}

print('listening', { peer: node.peerId.toString(), address: node.getMultiaddrs()[0].toString() })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.trim().split(/\s+/)
  commands[verb]?.(...words).catch((error) => {
    print('error', { command: verb, what: `${error.name}: ${error.message}` })
  })
}
process.exit(0)

// Makes keys and signs tokens with an independent implementation of JSON Web Signatures (node:crypto).
// usage: node tokens.mjs < [{"kid","alg","claims","forge"}...]; prints {"jwks", "tokens"}
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';

const kinds = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};
const keys = new Map();
const published = [];
const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const tokens = JSON.parse(readFileSync(0)).map(({ kid, alg, claims, forge }) => {
  const text = `${part({ alg: forge === 'none' ? 'none' : forge === 'HS256' ? 'HS256' : alg, kid })}.${part(claims)}`;
  if (!keys.has(kid)) {
    keys.set(kid, kinds[alg]());
    const key = keys.get(kid).publicKey.export({ format: 'jwk' });
    if (forge !== 'unknown key') published.push({ ...key, kid, alg, use: 'sig' });
  }
  if (forge === 'none') return `${text}.`;
  const { publicKey, privateKey } = keys.get(kid);
  if (forge === 'HS256') {
    const secret = publicKey.export({ type: 'spki', format: 'pem' });
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  }
  const signature = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(text),
    { key: privateKey, dsaEncoding: 'ieee-p1363' });
  if (forge === 'signature') signature[10] ^= 1;
  return `${text}.${signature.toString('base64url')}`;
});
console.log(JSON.stringify({ jwks: { keys: published }, tokens }));

// What js-libp2p 3 takes for granted and an older node lacks.
import { webcrypto } from 'node:crypto'

// In node from 22 on.
Promise.withResolvers ??= function withResolvers () {
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

// In node from 19 on; Debian 12 has 18.
globalThis.crypto ??= webcrypto
globalThis.CustomEvent ??= class CustomEvent extends Event {
  #detail
  constructor (type, options) {
    super(type, options)
    this.#detail = options?.detail ?? null
  }
  get detail () { return this.#detail }
}

// js-libp2p 3 uses Promise.withResolvers, which node has from 22 on.
Promise.withResolvers ??= function withResolvers () {
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

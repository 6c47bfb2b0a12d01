// Random identifiers; works on plain http too, where crypto.randomUUID does not exist.

/** 128 random bits in hex: the visitor's secret, and what tells one message from another. */
export const secret = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join('');

// Random identifiers; works on plain http too, where crypto.randomUUID does not exist.

/** 128 random bits in hex: the visitor's secret. */
export const secret = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join('');

/** A version 4 UUID. */
export const uuid = () => secret().replace(/(.{8})(.{4}).(.{3}).(.{3})/, '$1-$2-4$3-a$4-');

/* Just enough of HPACK (RFC 7541) for a client that always sends the same headers. */

const POST = 0x83;
const HTTP = 0x86;
/** Literals with indexing, by the index of their name; 0: a literal name. */
const KEPT = 0x40;
const NAMES = /** @type {Readonly<Record<string, number>>} */ ({
  ":authority": 1,
  ":path": 4,
  "content-type": 31,
});
/** The newest entry of the dynamic table. */
const NEWEST = 62;

/**
 * Header blocks of a POST: the first one of a connection, and all later ones, which refer to it.
 *
 * @param {Readonly<Record<string, string>>} headers Including `:path` and `:authority`.
 */
export function headerBlocks(headers) {
  const entries = Object.entries(headers);
  const first = entries.flatMap(([name, value]) => {
    const index = NAMES[name];
    const named = index === undefined ? [KEPT, ...text(name)] : [KEPT | index];
    return [...named, ...text(value)];
  });
  const later = entries.map((_, i) => 0x80 | (NEWEST + entries.length - 1 - i));
  return { first: Buffer.from([POST, HTTP, ...first]), later: Buffer.from([POST, HTTP, ...later]) };
}

/** @param {string} value @returns {number[]} */
function text(value) {
  const bytes = Buffer.from(value);
  if (bytes.byteLength > 126) throw new Error(`The header ${value} is too long for this client.`);
  return [bytes.byteLength, ...bytes];
}

/** `:status: 200`, which has a static index. */
const OK = 0x88;
/** `grpc-status` with HPACK's Huffman code, and as a plain string; then `0`. */
const GRPC_OK = [
  Buffer.from([0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f, 0x01, 0x30]),
  Buffer.from([0x0b, ...Buffer.from("grpc-status"), 0x01, 0x30]),
];

/**
 * Whether an answer begins well. A change of the table's size may come first.
 *
 * @param {Buffer} block
 */
export function isStatus200(block) {
  let at = 0;
  // A size of 0 is one byte.
  while (((block[at] ?? 0) & 0xe0) === 0x20) at++;
  return block[at] === OK;
}

/** Whether trailers say that a call of gRPC went well. @param {Buffer} block */
export function isGrpcOk(block) {
  return GRPC_OK.some((bytes) => block.includes(bytes));
}

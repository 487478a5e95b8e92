/*
 * Bounded nesting of JSON that comes from outside. `JSON.parse` needs time and memory for each level that
 * is open: 4 MiB of `[` take it seconds. So the JSON is scanned first, once and without allocating, as
 * UTF-8 bytes: that is several times as fast as to scan text. All characters that matter are ASCII.
 */

/**
 * Most levels of arrays and objects in JSON from outside: a request or frame with all that is around its
 * value, the payload or result of a function. Values have a lower limit of their own, MAX_VALUE_DEPTH.
 */
export const MAX_NESTING = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NULL = Uint8Array.of(0x6e, 0x75, 0x6c, 0x6c);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Parses JSON from outside. @throws SyntaxError when it is not JSON, or nests too many levels. */
export function parseNested(text: string): unknown {
  // Shorter text cannot nest so deep.
  if (text.length > MAX_NESTING && nextTooDeep(encoder.encode(text), 0) !== undefined)
    throw new SyntaxError(`The text has more than ${MAX_NESTING} levels.`);
  return JSON.parse(text) as unknown;
}

/**
 * Parses JSON from outside with `null` in place of what lies deeper than MAX_NESTING levels, so that the
 * field that nests too deep can be named.
 *
 * @throws SyntaxError when it is not JSON.
 */
export function parseCut(text: string): unknown {
  // Shorter text cannot nest so deep.
  if (text.length <= MAX_NESTING) return JSON.parse(text) as unknown;
  const bytes = encoder.encode(text);
  const shallow = withoutTooDeep(bytes);
  return JSON.parse(shallow === bytes ? text : decoder.decode(shallow)) as unknown;
}

/**
 * The same JSON with `null` in place of what lies deeper than MAX_NESTING levels, so that it can be parsed
 * to find the field that nests too deep. Returns the JSON itself when nothing does.
 *
 * @param json JSON in UTF-8.
 */
export function withoutTooDeep(json: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  let from = 0;
  for (;;) {
    const cut = nextTooDeep(json, from);
    if (cut === undefined) break;
    kept.push(json.subarray(from, cut.start), NULL);
    from = cut.end;
  }
  return from === 0 ? json : joined([...kept, json.subarray(from)]);
}

/**
 * The next array or object that is too deep.
 *
 * @param from Where the search begins: 0, or the end of the one before, which lies MAX_NESTING levels deep.
 */
function nextTooDeep(json: Uint8Array, from: number): { start: number; end: number } | undefined {
  const { length } = json;
  // Fewer bytes cannot nest so deep.
  if (length <= MAX_NESTING) return undefined;
  let levels = from === 0 ? 0 : MAX_NESTING;
  let start = -1;
  for (let at = from; at < length; at++) {
    const byte = json[at] as number;
    if (byte === QUOTE) at = endOfString(json, at);
    // `[` and `{`, then `]` and `}`: the two of a kind differ in one bit.
    else if ((byte | 0x20) === 0x7b) {
      if (levels++ === MAX_NESTING) start = at;
    } else if ((byte | 0x20) === 0x7d && levels-- === MAX_NESTING + 1)
      return { start, end: at + 1 };
  }
  return start === -1 ? undefined : { start, end: length };
}

/** The position of the quote that ends a string, or the end of the JSON. */
function endOfString(json: Uint8Array, start: number): number {
  const { length } = json;
  for (let at = start + 1; at < length; at++) {
    const byte = json[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return length;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

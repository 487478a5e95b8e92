/**
 * Bounded nesting of JSON that comes from outside. `JSON.parse` needs time and memory for each level that
 * is open: 4 MiB of `[` take it seconds. So the text is looked through first, once and without
 * allocating.
 */

/**
 * Most levels of arrays and objects in JSON from outside: a request or frame with all that is around its
 * value, the payload or result of a function. Values have a lower limit of their own, MAX_VALUE_DEPTH.
 */
export const MAX_NESTING = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Parses JSON from outside. @throws SyntaxError when it is not JSON, or nests too many levels. */
export function parseNested(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError(`The text has more than ${MAX_NESTING} levels.`);
  return JSON.parse(text) as unknown;
}

/** Whether text, if it is JSON, nests more than MAX_NESTING levels. */
function isTooDeep(text: string): boolean {
  return nextTooDeep(text, 0) !== undefined;
}

/**
 * The same text with `null` in place of what lies deeper than MAX_NESTING levels, so that it can be parsed
 * to find out which field it is that nests too deep. Gives the text itself when nothing does.
 */
export function withoutTooDeep(text: string): string {
  const kept: string[] = [];
  let from = 0;
  for (;;) {
    const cut = nextTooDeep(text, from);
    if (cut === undefined) break;
    kept.push(text.slice(from, cut.start), "null");
    from = cut.end;
  }
  return from === 0 ? text : kept.join("") + text.slice(from);
}

/**
 * The next array or object that is too deep.
 *
 * @param from Where the search begins: 0, or the end of the one before, which lies MAX_NESTING levels deep.
 */
function nextTooDeep(text: string, from: number): { start: number; end: number } | undefined {
  // Shorter text cannot.
  if (text.length <= MAX_NESTING) return undefined;
  let levels = from === 0 ? 0 : MAX_NESTING;
  let start = -1;
  for (let at = from; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) at = endOfString(text, at);
    // `[` and `{`, then `]` and `}`: the two of a kind differ in one bit.
    else if ((char | 0x20) === 0x7b) {
      if (levels++ === MAX_NESTING) start = at;
    } else if ((char | 0x20) === 0x7d && levels-- === MAX_NESTING + 1)
      return { start, end: at + 1 };
  }
  return start === -1 ? undefined : { start, end: text.length };
}

/** The position of the quote that ends a string, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) return at;
    if (char === BACKSLASH) at++;
  }
  return text.length;
}

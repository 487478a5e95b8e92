const NON_ASCII = /[\u0080-\uffff]/;

/** Length of a well-formed string in UTF-8 bytes, without encoding it. */
export function utf8Length(text: string): number {
  // Most text is ASCII, and a regular expression detects that several times faster than a loop.
  if (!NON_ASCII.test(text)) return text.length;
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    // A surrogate pair is two units and four bytes, so each half counts one more.
    else if (unit >= 0xd800 && unit < 0xe000) bytes += 1;
    else bytes += 2;
  }
  return bytes;
}

/**
 * Order of two well-formed strings by their UTF-8 bytes, which is their order by code points:
 * negative when `a` comes first. (JavaScript's `<` compares UTF-16 units and puts U+10000 and
 * above before U+E000.)
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xIsSurrogate = x >= 0xd800 && x < 0xe000;
    const yIsSurrogate = y >= 0xd800 && y < 0xe000;
    return xIsSurrogate === yIsSurrogate ? x - y : xIsSurrogate ? 1 : -1;
  }
  return a.length - b.length;
}

/**
 * Text that a header cannot carry literally: all but printable ASCII, spaces at the ends, and the
 * `%` of the encoding itself.
 */
const UNSAFE = /[^\x20-\x7e]+|%|^ | $/gu;

/**
 * Encodes a text as the value of a header: unsafe characters and `%` are percent-encoded as UTF-8.
 * decodeURIComponent restores any text.
 */
export function headerText(text: string): string {
  return text.toWellFormed().replaceAll(UNSAFE, encodeURIComponent);
}

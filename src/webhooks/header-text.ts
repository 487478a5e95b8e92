/** What a header cannot carry as it is: all but printable ASCII, spaces at the ends, and the sign of the encoding itself. */
const UNSAFE = /[^\x20-\x7e]+|%|^ | $/gu;

/**
 * A text as the value of a header. What a header cannot carry is percent-encoded as UTF-8, and so is
 * `%`: decodeURIComponent gives the text back, whatever it was.
 */
export function headerText(text: string): string {
  return text.toWellFormed().replaceAll(UNSAFE, encodeURIComponent);
}

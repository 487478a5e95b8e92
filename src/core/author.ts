/*
 * The author of a write: `user:<id>`, `key:<name>` or `function:<id>`; "" when it has none. The
 * service sets it, never a request. The id of a user has at most 256 bytes of UTF-8; ids of functions
 * and names of keys have limits of their own.
 */

/** The author of writes that have none. */
export const NO_AUTHOR = "";

/** The author of the writes that a function makes. @param functionId "": it is no function. */
export function functionAuthor(functionId: string): string {
  return functionId === "" ? NO_AUTHOR : `function:${functionId}`;
}

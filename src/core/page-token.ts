import { StreamError } from "./errors.ts";
import { type GroupKey, MAX_NAME_BYTES } from "./names.ts";
import { utf8Length } from "./text.ts";
import { parseNested } from "./nesting.ts";

/**
 * Page tokens: where a listing continues, and which listing it is. Opaque to callers, and valid
 * only for the same call with the same arguments.
 */

/** The listing of the items of a group, in creation order or from the newest. */
export function itemListing({ streamName, groupId }: GroupKey, descending: boolean): string[] {
  const listing = ["list", streamName, groupId];
  if (descending) listing.push("descending");
  return listing;
}

/**
 * The token of the page of a group's items after a cursor of the store.
 *
 * @param epoch Epoch of the group: cursors do not carry over to a new history.
 */
export function itemPageToken(
  group: GroupKey,
  descending: boolean,
  epoch: string,
  cursor: string,
): string {
  return writePageToken(itemListing(group, descending), [epoch, cursor]);
}

/** The token of the page after a cursor. */
export function writePageToken(listing: readonly string[], cursor: readonly string[]): string {
  const bytes = new TextEncoder().encode(JSON.stringify([listing, cursor]));
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Reads a token.
 *
 * @returns The cursor; undefined for the empty token of a first page.
 * @throws StreamError PAGE_TOKEN_INVALID when it is not one of this listing.
 */
export function readPageToken(
  token: unknown,
  listing: readonly string[],
  cursorParts: number,
): readonly string[] | undefined {
  if (token === undefined || token === "") return undefined;
  const content = typeof token === "string" ? decode(token) : undefined;
  if (Array.isArray(content) && content.length === 2) {
    const [of, cursor] = content as unknown[];
    if (sameStrings(of, listing) && isCursor(cursor) && cursor.length === cursorParts) {
      return cursor;
    }
  }
  throw pageTokenInvalid();
}

/** The error for an invalid token. */
export function pageTokenInvalid(): StreamError {
  return new StreamError(
    "PAGE_TOKEN_INVALID",
    "page_token is not one of this listing; it may be the next_page_token of the page before, with the same other arguments, or empty to start over.",
    { metadata: { field: "page_token" } },
  );
}

function decode(token: string): unknown {
  try {
    const binary = atob(token.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return parseNested(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** Parts of a cursor are names, epochs or cursors of a store, which may contain two names. */
function isCursor(value: unknown): value is string[] {
  return isStrings(value) && value.every((part) => utf8Length(part) <= 3 * MAX_NAME_BYTES);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((part) => typeof part === "string");
}

function sameStrings(value: unknown, expected: readonly string[]): boolean {
  return (
    isStrings(value) &&
    value.length === expected.length &&
    value.every((part, i) => part === expected[i])
  );
}

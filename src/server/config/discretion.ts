/** The replacement for text that must not be shown. */
export const HIDDEN = "(hidden)";

/** Scheme and credentials of a URL. Greedy, because a password may hold an `@`. */
const CREDENTIALS = /^([a-z][a-z0-9+.-]*:\/\/|\/\/)?.*@/is;
/** Query and fragment of a URL. */
const REST = /[?#].*$/s;

/**
 * Hides user, password, query and fragment of a text that may be a URL, or a malformed one, such as
 * a URL without its scheme.
 */
export function withoutSecretParts(text: string): string {
  return text
    .replace(CREDENTIALS, (_, scheme: string | undefined) => `${scheme ?? ""}${HIDDEN}@`)
    .replace(REST, (rest) => `${rest.charAt(0)}${HIDDEN}`);
}

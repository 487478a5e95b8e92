/** What stands in the place of what is not shown. */
export const HIDDEN = "(hidden)";

/** What a URL may have before its host. Greedy: a password may hold an `@`. */
const CREDENTIALS = /^([a-z][a-z0-9+.-]*:\/\/|\/\/)?.*@/is;
/** Its query and its fragment. */
const REST = /[?#].*$/s;

/**
 * A text that is perhaps a URL, without user, password, query and fragment. So is what was meant to be
 * one and is not, such as a URL without its scheme.
 */
export function withoutSecretParts(text: string): string {
  return text
    .replace(CREDENTIALS, (_, scheme: string | undefined) => `${scheme ?? ""}${HIDDEN}@`)
    .replace(REST, (rest) => `${rest.charAt(0)}${HIDDEN}`);
}

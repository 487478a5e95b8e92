/** The form of a webhook's URL, and the end of the sentence "it may be ...". */
export const WEBHOOK_URL = {
  pattern: /^https?:\/\/[^\s/\\?#@]+(?:[/?][^\s#]*)?$/,
  may: "an http or https URL without user name, password and fragment, such as https://hooks.example.com/orders",
} as const;

/** Whether a text is the URL of a webhook. */
export function isWebhookUrl(text: string): boolean {
  return WEBHOOK_URL.pattern.test(text) && URL.canParse(text);
}

/** The target of a redirect; undefined when it must not be called. */
export function redirectTarget(location: string | undefined, from: URL): URL | undefined {
  if (location === undefined || !URL.canParse(location, from.href)) return undefined;
  const target = new URL(location, from);
  target.hash = "";
  // A request that was sent encrypted is never repeated in plain text.
  if (from.protocol === "https:" && target.protocol !== "https:") return undefined;
  return isWebhookUrl(target.href) ? target : undefined;
}

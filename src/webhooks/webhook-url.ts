/** What a webhook's URL looks like, and the end of the sentence "it may be ...". */
export const WEBHOOK_URL = {
  pattern: /^https?:\/\/[^\s/\\?#@]+(?:[/?][^\s#]*)?$/,
  may: "an http or https URL without user name, password and fragment, such as https://hooks.example.com/orders",
} as const;

/** Whether a text is the URL of a webhook. */
export function isWebhookUrl(text: string): boolean {
  return WEBHOOK_URL.pattern.test(text) && URL.canParse(text);
}

/** Where a redirect leads; undefined when nobody may be called there. */
export function redirectTarget(location: string | undefined, from: URL): URL | undefined {
  if (location === undefined || !URL.canParse(location, from.href)) return undefined;
  const target = new URL(location, from);
  target.hash = "";
  // What was sent encrypted is not sent again for everybody to read.
  if (from.protocol === "https:" && target.protocol !== "https:") return undefined;
  return isWebhookUrl(target.href) ? target : undefined;
}

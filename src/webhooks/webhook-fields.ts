import { createHmac } from "node:crypto";
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

/**
 * The form of a webhook's secret, as in the Standard Webhooks specification, and the end of the
 * sentence "it may be ...". The repetition counts are groups of three bytes.
 */
export const WEBHOOK_SECRET = {
  pattern:
    /^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==)?|(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=)$/,
  may: "whsec_ and 24 to 64 random bytes in base64",
} as const;

/** The `webhook-signature` of a request: the HMAC-SHA256 of `id.timestamp.body`. */
export type Sign = (id: string, timestamp: number, body: Uint8Array) => string;

/** Creates a signer for a secret of the form above. */
export function signer(secret: string): Sign {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  return (id, timestamp, body) => {
    const code = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
    return `v1,${code.digest("base64")}`;
  };
}

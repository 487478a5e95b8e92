import { checkProvidable } from "../functions/function-id.ts";
import { WEBHOOK_SECRET, WEBHOOK_URL, isWebhookUrl } from "./webhook-fields.ts";

/** A function that is called by an HTTP POST. */
export interface WebhookOptions {
  /** Id of the function. */
  readonly id: string;
  /** Target of the POST. */
  readonly url: string;
  /** Key of the signatures: `whsec_` and 24 to 64 bytes as base64. */
  readonly secret: string;
  /** Longest time of a call with all its attempts, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Most attempts of one call. Default 3. */
  readonly maxAttempts?: number | undefined;
  /**
   * Wait before the second attempt, in milliseconds; it doubles with each further one. Default 250.
   */
  readonly initialBackoffMs?: number | undefined;
  /** Whether redirects that keep the POST are followed. Default false. */
  readonly allowRedirects?: boolean | undefined;
  /** Whether the URL may lead to this machine or into its network. Default false. */
  readonly allowPrivateAddresses?: boolean | undefined;
}

/** Checked options, with the defaults filled in. */
export type WebhookSettings = {
  readonly [Name in keyof WebhookOptions]-?: NonNullable<WebhookOptions[Name]>;
};

/** The defaults. */
export const DEFAULT_WEBHOOK = {
  timeoutMs: 10_000,
  maxAttempts: 3,
  initialBackoffMs: 250,
  allowRedirects: false,
  allowPrivateAddresses: false,
} as const;

/** Longest time of a call, and longest wait before a second attempt, in milliseconds: a year. */
const MAX_WAIT_MS = 365 * 86_400_000;
const MAX_ATTEMPTS = 100;

/**
 * Checks options, and fills in the defaults.
 *
 * @throws Error with a sentence that never shows the secret; FunctionError about the id.
 */
export function checkWebhook(options: WebhookOptions): WebhookSettings {
  const id = checkProvidable(options.id);
  const refuse = (name: string, is: string, may: string) =>
    new Error(`${name} of the webhook ${id} ${is}; it may be ${may}.`);
  if (!isWebhookUrl(options.url)) throw refuse("url", "is wrong", WEBHOOK_URL.may);
  if (!WEBHOOK_SECRET.pattern.test(options.secret))
    throw refuse("secret", "is wrong", WEBHOOK_SECRET.may);
  const within = (name: keyof typeof DEFAULT_WEBHOOK & keyof WebhookOptions, most: number) => {
    const value = Number(options[name] ?? DEFAULT_WEBHOOK[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw refuse(name, `is ${value}`, `an integer from 1 to ${most}`);
  };
  return {
    id,
    url: options.url,
    secret: options.secret,
    timeoutMs: within("timeoutMs", MAX_WAIT_MS),
    maxAttempts: within("maxAttempts", MAX_ATTEMPTS),
    initialBackoffMs: within("initialBackoffMs", MAX_WAIT_MS),
    allowRedirects: options.allowRedirects ?? DEFAULT_WEBHOOK.allowRedirects,
    allowPrivateAddresses: options.allowPrivateAddresses ?? DEFAULT_WEBHOOK.allowPrivateAddresses,
  };
}

import { checkProvidable } from "../../functions/function-id.ts";
import { isPrivateHost } from "../../webhooks/public-address.ts";
import { DEFAULT_WEBHOOK } from "../../webhooks/webhook-options.ts";
import { WEBHOOK_SECRET, WEBHOOK_URL, isWebhookUrl } from "../../webhooks/webhook-fields.ts";
import { type SectionsProblem, duration, integer, sections, textKey, toggle } from "./key-types.ts";
import { valueAt } from "./tree.ts";
import { DURATION } from "./units.ts";

const id = textKey(
  /^(?!(?:engine|millrace)::).{1,256}$/,
  "a name of up to 256 bytes without control characters that does not begin with engine:: or millrace:: and is no built-in function of streams",
  "Id of the function.",
  { accepts: isProvidable },
);

const url = textKey(WEBHOOK_URL.pattern, WEBHOOK_URL.may, "URL to which calls are posted.", {
  accepts: isWebhookUrl,
});

const secret = textKey(
  WEBHOOK_SECRET.pattern,
  WEBHOOK_SECRET.may,
  "Key with which requests are signed.",
  {
    secret: true,
  },
);

/** The list of functions that are webhooks. */
export const WEBHOOKS = sections(
  {
    id,
    url,
    secret,
    timeout: duration("10ms", "1h", "Timeout of a call, over all its attempts.").prefault(
      DURATION.format(DEFAULT_WEBHOOK.timeoutMs),
    ),
    max_attempts: integer(1, 100, "Most attempts per call.").prefault(DEFAULT_WEBHOOK.maxAttempts),
    initial_backoff: duration(
      "1ms",
      "1h",
      "Wait before the second attempt; it doubles with each further one.",
    ).prefault(DURATION.format(DEFAULT_WEBHOOK.initialBackoffMs)),
    allow_redirects: toggle("Follows redirects that keep the POST, up to five.").prefault(
      DEFAULT_WEBHOOK.allowRedirects,
    ),
    allow_private_addresses: toggle(
      "Lets the URL resolve to this machine or its private network.",
    ).prefault(DEFAULT_WEBHOOK.allowPrivateAddresses),
  },
  "Functions that are webhooks: a call is a signed POST.",
  (list) => [...repeatedIds(list), ...privateUrls(list)],
);

function isProvidable(given: string): boolean {
  try {
    checkProvidable(given);
    return true;
  } catch {
    return false;
  }
}

function repeatedIds(list: readonly unknown[]): SectionsProblem[] {
  const ids = list.map((section) => valueAt(section, ["id"]));
  return ids.flatMap((given, index) => {
    const first = ids.indexOf(given);
    if (first === index || typeof given !== "string") return [];
    const complaint = `is already the id of functions[${first}]; it may be any other`;
    return [{ path: [index, "id"], complaint }];
  });
}

/** Calls of these would always be refused, so they are reported at the start. */
function privateUrls(list: readonly unknown[]): SectionsProblem[] {
  return list.flatMap((section, index) => {
    const given = valueAt(section, ["url"]);
    if (typeof given !== "string" || !isWebhookUrl(given)) return [];
    if (valueAt(section, ["allow_private_addresses"]) === true || !isPrivateHost(new URL(given)))
      return [];
    const complaint = "leads to a private address; it may do so with allow_private_addresses: true";
    return [{ path: [index, "url"], complaint }];
  });
}

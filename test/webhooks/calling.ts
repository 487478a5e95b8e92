import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { inspect } from "node:util";
import { expect, onTestFinished } from "vitest";
import type { BodyBudget } from "../../src/limits/body-budget.ts";
import type { FunctionError } from "../../src/core/function-call.ts";
import type { Invocation } from "../../src/functions/provider.ts";
import type { HttpEnvironment } from "../../src/webhooks/environment.ts";
import type { WebhookOptions } from "../../src/webhooks/webhook-options.ts";
import { type WebhookProvider, webhookProvider } from "../../src/webhooks/webhook-provider.ts";

/** From the examples of the Standard Webhooks specification. */
export const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** A webhook of a test, of which only the URL is required. */
export function hookTo(
  url: string,
  options: Partial<WebhookOptions> = {},
  surroundings: Partial<HttpEnvironment> = {},
  bodies?: BodyBudget,
): WebhookProvider {
  const all = {
    id: "orders::notify",
    url,
    secret: SECRET,
    allowPrivateAddresses: true,
    ...options,
  };
  const hook = webhookProvider(all, surroundings, bodies);
  onTestFinished(() => hook.close());
  return hook;
}

/** Calls a webhook. */
export async function call(
  hook: WebhookProvider,
  invocation: Partial<Invocation> = {},
): Promise<string | undefined> {
  return hook.invoke({
    functionId: "orders::notify",
    payload: '{"order":7}',
    metadata: undefined,
    timeoutMs: 30_000,
    signal: new AbortController().signal,
    ...invocation,
  });
}

/** The failure of a call that must fail, as `code: message`, without the secret and `hunter2`. */
export async function failureOf(
  hook: WebhookProvider,
  invocation: Partial<Invocation> = {},
): Promise<string> {
  const error = await call(hook, invocation).then(
    (result) => {
      throw new Error(`It returned ${result ?? "nothing"}.`);
    },
    (reason: unknown) => reason as FunctionError,
  );
  for (const hidden of [SECRET.slice(6), "hunter2"])
    expect(inspect(error, { depth: 9 })).not.toContain(hidden);
  return `${error.code}: ${error.message}`;
}

/** HttpEnvironment without real waits, and the requested waits, in milliseconds. */
export function hasty(): { waits: number[]; delay: HttpEnvironment["delay"] } {
  const waits: number[] = [];
  return {
    waits,
    delay: async (ms) => {
      waits.push(ms);
    },
  };
}

/** A resolver with the addresses of each lookup in turn, and the requested hosts. */
export function resolver(...answers: readonly (readonly string[])[]): {
  asked: string[];
  lookup: LookupFunction;
} {
  const asked: string[] = [];
  return {
    asked,
    lookup(hostname, options, callback) {
      const addresses = answers[Math.min(asked.length, answers.length - 1)] ?? [];
      asked.push(hostname);
      const found = addresses.map((address): LookupAddress => ({
        address,
        family: address.includes(":") ? 6 : 4,
      }));
      process.nextTick(() => {
        if (options.all === true) callback(null, found);
        else callback(null, found[0]?.address ?? "", found[0]?.family);
      });
    },
  };
}

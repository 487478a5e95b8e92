import { randomUUID } from "node:crypto";
import { BodyBudget } from "../limits/body-budget.ts";
import { FunctionError } from "../core/function-call.ts";
import type { Invocation, Provider } from "../functions/provider.ts";
import { type Answer, isSuccess, readAnswer, openTransport } from "./transport.ts";
import { backoffAfter, retryAfterMs } from "./backoff.ts";
import { type Deadline, openDeadlines } from "./deadlines.ts";
import { failuresOf } from "./failures.ts";
import { SYSTEM, type HttpEnvironment } from "./environment.ts";
import { type WebhookOptions, checkWebhook } from "./webhook-options.ts";
import { signer, redirectTarget } from "./webhook-fields.ts";
import { parseNested } from "../core/nesting.ts";

/** A provider that calls a webhook. */
export interface WebhookProvider extends Provider {
  /** Stops running calls, closes all connections, and refuses later calls. Idempotent. */
  close(): void;
}

/** The message of a call, the same in every attempt. */
interface Message {
  readonly id: string;
  readonly body: Uint8Array;
  readonly metadata: string | undefined;
}

interface Outcome {
  readonly answer?: Answer;
  readonly error?: unknown;
}

/**
 * Most redirects of one attempt.
 *
 * @internal
 */
export const MAX_REDIRECTS = 5;
/** Redirects that keep the POST and its body. */
const KEEPING = [307, 308];
/**
 * Largest metadata as encoded in the header: servers accept about 16 KiB of headers in total.
 *
 * @internal
 */
export const MAX_METADATA_BYTES = 8 * 1024;

/**
 * Calls a webhook: a POST of the payload, signed according to Standard Webhooks. A call is one
 * message: all its attempts have the same `webhook-id`, so that the receiver recognises duplicates.
 * The body of a 2xx response is the result.
 *
 * Calls fail with `invocation_failed` without such a response, `TIMEOUT` without one in time, and
 * `invocation_stopped` when the caller gives up.
 *
 * @param bodies Responses are taken from it while they are read.
 * @throws Error with a sentence when the options are wrong.
 */
export function webhookProvider(
  options: WebhookOptions,
  surroundings: Partial<HttpEnvironment> = {},
  bodies: BodyBudget = new BodyBudget(),
): WebhookProvider {
  const webhook = checkWebhook(options);
  const { now, random, delay, lookup, isPublic, authorities } = { ...SYSTEM, ...surroundings };
  const failures = failuresOf(webhook.id, webhook.allowRedirects);
  const deadlines = openDeadlines(webhook.id, webhook.timeoutMs);
  const sign = signer(webhook.secret);
  const transport = openTransport({
    allowPrivateAddresses: webhook.allowPrivateAddresses,
    refuse: failures.privateAddress,
    lookup,
    isPublic,
    authorities,
  });

  const call = async (message: Message, deadline: Deadline) => {
    const { signal } = deadline;
    for (let attempt = 1; ; attempt++) {
      const { answer, error } = await attemptAt(message, signal);
      if (answer !== undefined && isSuccess(answer.status)) return resultOf(answer);
      const failure =
        answer === undefined
          ? failures.unreachable(attempt, error)
          : failures.badStatus(attempt, answer.status);
      if (answer !== undefined && !mayPass(answer.status)) throw failure;
      const asked = retryAfterMs(answer?.retryAfter, now());
      const waitMs = backoffAfter(attempt, { initialMs: webhook.initialBackoffMs, random }, asked);
      if (attempt >= webhook.maxAttempts || waitMs >= deadline.remainingMs()) throw failure;
      await delay(waitMs, signal);
    }
  };

  /** The response, or the error of the network. */
  const attemptAt = async (message: Message, signal: AbortSignal): Promise<Outcome> => {
    try {
      return { answer: await answerTo(message, signal) };
    } catch (error) {
      // A FunctionError is no failure of the network.
      if (error instanceof FunctionError) throw error;
      return { error };
    }
  };

  const answerTo = async (message: Message, signal: AbortSignal): Promise<Answer> => {
    const { body } = message;
    const headers = headersOf(message);
    let url = new URL(webhook.url);
    for (let redirects = 0; ; redirects++) {
      const answer = await readAnswer(await transport.post({ url, headers, body, signal }), bodies);
      if (!webhook.allowRedirects || !KEEPING.includes(answer.status)) return answer;
      if (redirects === MAX_REDIRECTS) throw failures.tooManyRedirects(MAX_REDIRECTS);
      const target = redirectTarget(answer.location, url);
      if (target === undefined) throw failures.badRedirect();
      url = target;
    }
  };

  const headersOf = ({ id, body, metadata }: Message) => {
    const timestamp = Math.floor(now() / 1000);
    return {
      "content-type": "application/json",
      "content-length": body.byteLength,
      accept: "application/json",
      "accept-encoding": "identity",
      "user-agent": "millrace",
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": sign(id, timestamp, body),
      "millrace-function": headerText(webhook.id),
      ...(metadata !== undefined && { "millrace-metadata": metadata }),
    };
  };

  const messageOf = ({ payload, metadata }: Invocation): Message => {
    const header = metadata === undefined ? undefined : headerText(metadata);
    if (header !== undefined && header.length > MAX_METADATA_BYTES)
      throw failures.metadataTooLarge(MAX_METADATA_BYTES);
    return { id: `msg_${randomUUID()}`, body: Buffer.from(payload), metadata: header };
  };

  const resultOf = ({ body }: Answer): string | undefined => {
    if (body === "too large") throw failures.tooLarge();
    if (body === "no room") throw failures.noRoom();
    if (body === "not UTF-8" || !isJsonOrEmpty(body.text)) throw failures.notJson();
    return body.text === "" ? undefined : body.text;
  };

  return {
    async invoke(invocation) {
      const message = messageOf(invocation);
      return deadlines.run(invocation, async (deadline) => call(message, deadline));
    },
    close() {
      deadlines.close();
      transport.close();
    },
  };
}

/** Whether another attempt may succeed after this status. */
function mayPass(status: number): boolean {
  return status === 429 || status >= 500;
}

function isJsonOrEmpty(text: string): boolean {
  if (text === "") return true;
  try {
    parseNested(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Text that a header cannot carry literally: all but printable ASCII, spaces at the ends, and the
 * `%` of the encoding itself.
 */
const UNSAFE = /[^\x20-\x7e]+|%|^ | $/gu;

/**
 * Encodes a text as the value of a header: unsafe characters and `%` are percent-encoded as UTF-8.
 * decodeURIComponent restores any text.
 */
function headerText(text: string): string {
  return text.toWellFormed().replaceAll(UNSAFE, encodeURIComponent);
}

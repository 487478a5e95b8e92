import type { IncomingMessage } from "node:http";
import type { BodyBudget } from "../core/body-budget.ts";

/** Largest body of a response, in bytes. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** The response to an attempt. */
export interface Answer {
  readonly status: number;
  /** The headers of that name; undefined when absent. */
  readonly location: string | undefined;
  readonly retryAfter: string | undefined;
  /** The body of a 2xx: its text, or why it is unusable. Other responses are not read. */
  readonly body: { readonly text: string } | "too large" | "no room" | "not UTF-8";
}

/**
 * Reads a response, whose bytes are taken from the budget until they are decoded; closes the connection of an unread body.
 *
 * @throws when the connection breaks.
 */
export async function readAnswer(response: IncomingMessage, budget: BodyBudget): Promise<Answer> {
  const { statusCode: status = 0, headers } = response;
  const { location, "retry-after": retryAfter } = headers;
  if (isSuccess(status))
    return { status, location, retryAfter, body: await readBody(response, budget) };
  response.destroy();
  return { status, location, retryAfter, body: { text: "" } };
}

/** Whether a status is a 2xx. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

async function readBody(response: IncomingMessage, budget: BodyBudget): Promise<Answer["body"]> {
  if (Number(response.headers["content-length"]) > MAX_ANSWER_BYTES) {
    response.destroy();
    return "too large";
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  let taken = 0;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      // Leaving the loop closes the connection.
      if (length > MAX_ANSWER_BYTES) return "too large";
      if (!budget.hasRoom(chunk.byteLength, length)) return "no room";
      budget.take(chunk.byteLength, length);
      taken = length;
      chunks.push(chunk);
    }
    return textOf(Buffer.concat(chunks, length));
  } finally {
    budget.give(taken);
  }
}

function textOf(bytes: Uint8Array): Answer["body"] {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return "not UTF-8";
  }
}

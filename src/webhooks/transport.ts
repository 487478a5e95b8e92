import { type IncomingMessage, Agent as HttpAgent, request as httpRequest } from "node:http";
import type { BodyBudget } from "../limits/body-budget.ts";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import type { HttpEnvironment } from "./environment.ts";
import { isPrivateHost } from "./public-address.ts";

/** One POST. */
export interface Post {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Uint8Array;
  /** Aborts the request. */
  readonly signal: AbortSignal;
}

/** Keep-alive connections to webhooks. */
export interface Transport {
  /** Resolves with the head of the response. @throws the error of `refuse`, or a network error. */
  post(post: Post): Promise<IncomingMessage>;
  /** Closes all connections. */
  close(): void;
}

/** Options of a transport. */
export interface TransportOptions extends Pick<
  HttpEnvironment,
  "lookup" | "isPublic" | "authorities"
> {
  readonly allowPrivateAddresses: boolean;
  /** Creates the error for a host that leads to a private address. */
  readonly refuse: () => Error;
}

/** How long an idle connection is kept, in milliseconds: less than servers usually keep it. */
const IDLE_MS = 4000;
/** Connection timeout of one of several addresses before the next is tried, in milliseconds. */
const ADDRESS_TIMEOUT_MS = 2000;

/** Creates a transport, without connecting yet. */
export function openTransport(options: TransportOptions): Transport {
  const { allowPrivateAddresses, refuse, isPublic, authorities } = options;
  const lookup = allowPrivateAddresses ? options.lookup : guarded(options);
  const kept = {
    keepAlive: true,
    timeout: IDLE_MS,
    autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
    lookup,
  };
  const http = new HttpAgent(kept);
  // Explicit, so that no environment variable turns it off.
  const https = new HttpsAgent({ ...kept, ca: authorities, rejectUnauthorized: true });
  return {
    async post({ url, headers, body, signal }) {
      signal.throwIfAborted();
      // Node connects to a literal address without a lookup.
      if (!allowPrivateAddresses && isPrivateHost(url, isPublic)) throw refuse();
      const how = { method: "POST", headers };
      return new Promise((resolve, reject) => {
        const request =
          url.protocol === "https:"
            ? httpsRequest(url, { ...how, agent: https })
            : httpRequest(url, { ...how, agent: http });
        const end = () => request.destroy(signal.reason as Error);
        signal.addEventListener("abort", end);
        request.on("response", resolve);
        request.on("error", reject);
        request.on("close", () => {
          signal.removeEventListener("abort", end);
          reject(new Error("The connection was closed without a response."));
        });
        request.end(body);
      });
    },
    close() {
      http.destroy();
      https.destroy();
    },
  };
}

/**
 * A lookup that fails when any address of a host is private. The connection uses the very addresses
 * that were checked, so DNS rebinding cannot lead it elsewhere.
 */
function guarded({ lookup, isPublic, refuse }: TransportOptions): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, found, family) => {
      const addresses =
        typeof found === "string" ? [found] : (found ?? []).map(({ address }) => address);
      if (error === null && !addresses.every(isPublic)) callback(refuse(), found, family);
      else callback(error, found, family);
    });
  };
}

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

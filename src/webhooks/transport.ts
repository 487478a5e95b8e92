import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import type { Surroundings } from "./surroundings.ts";
import { isPrivateHost } from "./public-address.ts";

/** One POST. */
export interface Post {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Uint8Array;
  /** Ends it, with its reason. */
  readonly signal: AbortSignal;
}

/** Connections to webhooks, kept open for the next POST. */
export interface Transport {
  /** Resolves when the head of the answer is there. @throws what `refuse` makes, or why the network failed. */
  post(post: Post): Promise<IncomingMessage>;
  /** Closes all connections. */
  close(): void;
}

/** How connections are made. */
export interface TransportOptions extends Pick<
  Surroundings,
  "lookup" | "isPublic" | "authorities"
> {
  readonly allowPrivateAddresses: boolean;
  /** Makes the error for a host that leads to a private address. */
  readonly refuse: () => Error;
}

/** How long a connection is kept that nobody uses, in milliseconds: less than servers usually do. */
const IDLE_MS = 4000;
/** How long one of several addresses of a host may take before the next is tried, in milliseconds. */
const ADDRESS_TIMEOUT_MS = 2000;

/** Opens a transport. Nothing is connected yet. */
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
  // Said outright, so that no environment variable turns it off.
  const https = new HttpsAgent({ ...kept, ca: authorities, rejectUnauthorized: true });
  return {
    async post({ url, headers, body, signal }) {
      signal.throwIfAborted();
      // A literal address is connected to without a lookup.
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
          reject(new Error("The connection was closed without an answer."));
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
 * A lookup that fails when any address of a host is private. The addresses that it gives are the ones
 * that are connected to, so a name cannot lead elsewhere after it was looked at.
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

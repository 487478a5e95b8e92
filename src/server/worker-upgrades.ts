import type { IncomingMessage } from "node:http";
import { refuse } from "../bridge/bridge.ts";
import { StreamError } from "../core/errors.ts";
import type { Caller } from "../rights/caller.ts";
import { Moments } from "../timers/moments.ts";
import type { SocketDoor } from "../workers/socket-door.ts";
import type { CallerFacts } from "./caller-facts.ts";
import type { CallerLimiter } from "../limits/caller-limiter.ts";
import { retryHeaders } from "../rpc/connect-error.ts";
import { connectionOf, factsOf, originOf } from "./connections.ts";
import type { Permits } from "./permits.ts";
import type { UpgradeListener } from "./port/upgrades.ts";

/** Path where workers connect on the main port. */
const PATH = "/worker";
/** Path, below it, where workers send telemetry, which is ignored. */
const TELEMETRY = "/otel";

/** Dependencies of the worker endpoint. */
export interface WorkerUpgradeOptions {
  readonly door: SocketDoor;
  readonly permits: Permits;
  readonly limiter: CallerLimiter;
  /** Origins of pages that may be workers. Requests with another origin are refused. */
  readonly allowedOrigins: readonly string[];
}

interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Admits callers with the right to work.
 *
 * @param base Prefix of their paths: `/worker`, or none on the separate port.
 */
export function createWorkerUpgrade(
  { door, permits, limiter, allowedOrigins }: WorkerUpgradeOptions,
  base: typeof PATH | "" = PATH,
): UpgradeListener {
  const expiries = new Moments();
  return (request, socket, head) => {
    const path = (request.url ?? "").split("?", 1)[0]?.replace(/\/$/, "") ?? "";
    const isWorker = path === base || (base === "" && path === PATH);
    const isTelemetry = path === `${base}${TELEMETRY}` || path === `${PATH}${TELEMETRY}`;
    if (!isWorker && !isTelemetry) return false;
    const admit = ({ expiresAtMs }: Caller) => {
      if (socket.destroyed) return;
      if (expiresAtMs !== undefined) {
        // The protocol has no frame for it. The worker connects again, with new credentials.
        const expiry = expiries.at(expiresAtMs, () => socket.destroy());
        socket.once("close", () => expiry.cancel());
      }
      if (isWorker) door.accept(request, socket, head);
      else door.acceptAndIgnore(request, socket, head);
    };
    const deny = ({ status, message, headers }: Refusal) =>
      refuse(socket, status, message, headers);
    const fail = (error: unknown) => deny(refusalFor(StreamError.from(error)));
    const { origin } = factsOf(request);
    if (origin !== undefined && !allowedOrigins.includes("*") && !allowedOrigins.includes(origin)) {
      deny({ status: 403, message: ORIGIN_REFUSED });
      return true;
    }
    try {
      const facts = workerFacts(request);
      // Counted before its credentials are verified, so that guessing tokens is slow.
      if (!permits.isExempt(facts)) limiter.admitSocket(originOf(request), false).release?.();
      const caller = permits.callerOf(facts, connectionOf(request), "work");
      if (!(caller instanceof Promise)) admit(caller);
      else {
        // The socket has no other error listener meanwhile.
        socket.on("error", ignore);
        const wait = caller.finally(() => socket.off("error", ignore));
        void wait.then(admit, fail);
      }
    } catch (error) {
      fail(error);
    }
    return true;
  };
}

const ORIGIN_REFUSED =
  "origin is not allowed; it may be one of the service's worker_allowed_origins.";
const ignore = () => {};

/** What the request of a worker says, whose origin is allowed. */
function workerFacts(request: IncomingMessage): CallerFacts {
  const facts = factsOf(request);
  if (facts.origin === undefined) return facts;
  return { ...facts, origin: undefined, isCrossOrigin: false };
}

function refusalFor(error: StreamError): Refusal {
  const { code, reason, message } = error;
  if (reason === "RATE_LIMITED" || reason === "TOO_MANY_CONNECTIONS")
    return { status: 429, message, headers: retryHeaders(error) };
  return { status: code === "unauthenticated" ? 401 : 403, message };
}

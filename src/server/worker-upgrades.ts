import type { IncomingMessage } from "node:http";
import { refuse } from "../bridge/bridge.ts";
import { StreamError } from "../core/errors.ts";
import type { SocketDoor } from "../workers/socket-door.ts";
import type { CallerLimiter } from "../limits/caller-limiter.ts";
import { retryHeaders } from "../rpc/connect-error.ts";
import type { Callers } from "./callers.ts";
import { callerOf, originOf } from "./http-handler.ts";
import type { UpgradeListener } from "./port/upgrades.ts";

/** Where workers connect on the service's own port. */
const PATH = "/worker";
/** Where they send measurements, which nobody looks at. */
const MEASUREMENTS = "/otel";

/** Who may be a worker. */
export interface WorkerUpgradeOptions {
  readonly door: SocketDoor;
  readonly callers: Callers;
  readonly limiter: CallerLimiter;
  /** Origins of pages that may be workers. Everybody who sends another one is refused. */
  readonly allowedOrigins: readonly string[];
}

interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Lets trusted callers in as workers.
 *
 * @param base What their paths begin with: `/worker`, or nothing on a port of their own.
 */
export function createWorkerUpgrade(
  { door, callers, limiter, allowedOrigins }: WorkerUpgradeOptions,
  base: typeof PATH | "" = PATH,
): UpgradeListener {
  return (request, socket, head) => {
    const path = (request.url ?? "").split("?", 1)[0]?.replace(/\/$/, "") ?? "";
    const isWorker = path === base || (base === "" && path === PATH);
    const isMeasurements = path === `${base}${MEASUREMENTS}` || path === `${PATH}${MEASUREMENTS}`;
    if (!isWorker && !isMeasurements) return false;
    const refusal = refusalOf(request, callers, limiter, allowedOrigins);
    if (refusal !== undefined) refuse(socket, refusal.status, refusal.message, refusal.headers);
    else if (isWorker) door.accept(request, socket, head);
    else door.acceptAndIgnore(request, socket, head);
    return true;
  };
}

/** Why a caller may not be a worker; undefined when they may. */
function refusalOf(
  request: IncomingMessage,
  callers: Callers,
  limiter: CallerLimiter,
  allowedOrigins: readonly string[],
): Refusal | undefined {
  const caller = callerOf(request);
  const { origin } = caller;
  if (origin !== undefined && !allowedOrigins.includes("*") && !allowedOrigins.includes(origin)) {
    const message = "origin is not allowed; it may be one of the service's worker_allowed_origins.";
    return { status: 403, message };
  }
  try {
    // The origin has been looked at.
    callers.requireTrusted(
      origin === undefined ? caller : { ...caller, origin: undefined, isCrossOrigin: false },
    );
    return undefined;
  } catch (error) {
    return refusalFor(StreamError.from(error), request, limiter);
  }
}

/** Guessing tokens is counted, and slow. */
function refusalFor(error: StreamError, request: IncomingMessage, limiter: CallerLimiter): Refusal {
  try {
    limiter.admitSocket(originOf(request), false).release();
  } catch (limited) {
    const known = StreamError.from(limited);
    return { status: 429, message: known.message, headers: retryHeaders(known) };
  }
  const { reason, message } = error;
  return { status: reason === "AUTH_REFUSED" ? 401 : 403, message };
}

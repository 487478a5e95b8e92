import type { IncomingMessage } from "node:http";
import { refuse } from "../bridge/bridge.ts";
import { StreamError } from "../core/errors.ts";
import type { SocketDoor } from "../workers/socket-door.ts";
import type { CallerLimiter } from "../limits/caller-limiter.ts";
import { retryHeaders } from "../rpc/connect-error.ts";
import type { Callers } from "./callers.ts";
import { callerOf, originOf } from "./http-handler.ts";
import type { UpgradeListener } from "./port/upgrades.ts";

/** Path where workers connect on the main port. */
const PATH = "/worker";
/** Path, below it, where workers send telemetry, which is ignored. */
const TELEMETRY = "/otel";

/** Dependencies of the worker endpoint. */
export interface WorkerUpgradeOptions {
  readonly door: SocketDoor;
  readonly callers: Callers;
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
 * Admits trusted callers as workers.
 *
 * @param base Prefix of their paths: `/worker`, or none on the separate port.
 */
export function createWorkerUpgrade(
  { door, callers, limiter, allowedOrigins }: WorkerUpgradeOptions,
  base: typeof PATH | "" = PATH,
): UpgradeListener {
  return (request, socket, head) => {
    const path = (request.url ?? "").split("?", 1)[0]?.replace(/\/$/, "") ?? "";
    const isWorker = path === base || (base === "" && path === PATH);
    const isTelemetry = path === `${base}${TELEMETRY}` || path === `${PATH}${TELEMETRY}`;
    if (!isWorker && !isTelemetry) return false;
    const refusal = refusalOf(request, callers, limiter, allowedOrigins);
    if (refusal !== undefined) refuse(socket, refusal.status, refusal.message, refusal.headers);
    else if (isWorker) door.accept(request, socket, head);
    else door.acceptAndIgnore(request, socket, head);
    return true;
  };
}

/** Why a caller may not be a worker; undefined when it may. */
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
    // The origin is checked already.
    callers.requireTrusted(
      origin === undefined ? caller : { ...caller, origin: undefined, isCrossOrigin: false },
    );
    return undefined;
  } catch (error) {
    return refusalFor(StreamError.from(error), request, limiter);
  }
}

/** Counts the refused request, so that guessing tokens is slow. */
function refusalFor(error: StreamError, request: IncomingMessage, limiter: CallerLimiter): Refusal {
  try {
    limiter.admitSocket(originOf(request), false).release?.();
  } catch (limited) {
    const known = StreamError.from(limited);
    return { status: 429, message: known.message, headers: retryHeaders(known) };
  }
  const { reason, message } = error;
  return { status: reason === "AUTH_REFUSED" ? 401 : 403, message };
}

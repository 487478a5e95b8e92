import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { startTimer } from "../timers/timers.ts";
import type { CallHandler } from "./framework/prepared-call.ts";

/** The timeout header of gRPC and gRPC-Web. */
const GRPC_HEADER = "grpc-timeout";
/** The timeout header of Connect. */
const CONNECT_HEADER = "connect-timeout-ms";
const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const CONNECT_TIMEOUT = /^\d{1,10}$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** The value of a `grpc-timeout` in milliseconds; undefined when it is malformed. */
export function grpcTimeoutMs(value: string): number | undefined {
  const [, amount, unit = ""] = GRPC_TIMEOUT.exec(value) ?? [];
  return amount === undefined ? undefined : Number(amount) * (UNIT_MS[unit] ?? 0);
}

/** The value of a `connect-timeout-ms` in milliseconds; undefined when it is malformed. */
export function connectTimeoutMs(value: string): number | undefined {
  return CONNECT_TIMEOUT.test(value) ? Number(value) : undefined;
}

/** The error of a call whose deadline has passed. */
export function deadlineExceeded(): ConnectError {
  return new ConnectError("the operation timed out", Code.DeadlineExceeded);
}

/**
 * Enforces the deadlines of calls on the framework path.
 *
 * The framework's own timers fire at once when a deadline is more than 24.8 days away, so the
 * header is hidden from it. Instead the request's signal is aborted: with DEADLINE_EXCEEDED, or
 * with the transport's reason when the caller disconnects first. A malformed header is left for the
 * framework to refuse.
 */
export function withDeadline(call: CallHandler): CallHandler {
  return (request, transport) => call(timed(request), transport);
}

function timed(request: UniversalServerRequest): UniversalServerRequest {
  const isGrpc = request.header.get("content-type")?.startsWith("application/grpc") === true;
  const name = isGrpc ? GRPC_HEADER : CONNECT_HEADER;
  const value = request.header.get(name);
  const timeoutMs =
    value === null ? undefined : isGrpc ? grpcTimeoutMs(value) : connectTimeoutMs(value);
  if (timeoutMs === undefined) return request;
  const header = new Headers(request.header);
  header.delete(name);
  return { ...request, header, signal: signalWithin(timeoutMs, request.signal) };
}

/** A signal that is aborted after the timeout, or by `gone`, which also cancels the timer. */
function signalWithin(timeoutMs: number, gone: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const late = () => controller.abort(deadlineExceeded());
  if (gone.aborted) controller.abort(gone.reason);
  else if (timeoutMs <= 0) late();
  else {
    const timer = startTimer(timeoutMs, late);
    const onGone = () => {
      timer.cancel();
      controller.abort(gone.reason);
    };
    gone.addEventListener("abort", onGone, { once: true });
  }
  return controller.signal;
}

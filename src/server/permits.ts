import type { DescMethod } from "@bufbuild/protobuf";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import type { CallerLimiter, Origin } from "../limits/caller-limiter.ts";
import type { Throttle } from "../limits/throttle.ts";
import type { UntrustedBodies } from "../limits/untrusted-bodies.ts";
import type { CallTransport } from "../rpc/call-transport.ts";
import type { Caller, Callers } from "./callers.ts";
import { raiseStreamLimit } from "./port/stream-limits.ts";

/** The connection of a call. */
export interface Connection extends Origin {
  /** Identifies it: the same object for all of its calls; undefined when it is gone. */
  readonly identity: object | undefined;
}

/** Decides whether calls may proceed, by the rights and the rates of their callers. */
export interface Permits {
  /** Whether no rate applies to a caller. */
  isExempt(caller: Caller): boolean;
  /** The permit of a call of an RPC method. */
  permitFor(caller: Caller, connection: Connection): CallTransport["permit"];
  /** Opens accounts for the bodies of a call of an RPC method. */
  bodiesFor(caller: Caller, connection: Connection): CallTransport["untrustedBodies"];
  /** Counts a request that is not an RPC. @throws StreamError RATE_LIMITED */
  count(caller: Caller, connection: Connection): void;
  /** The key of the address that the callers of a connection are limited by. */
  addressOf(connection: Connection): string;
}

/**
 * Trusted callers have no rate limits, unless configured. All others are counted before their
 * rights are checked, so that guessing tokens is slow.
 */
export function createPermits(
  callers: Callers,
  limiter: CallerLimiter,
  untrustedBodies: UntrustedBodies,
): Permits {
  const isExempt = (caller: Caller) => !limiter.limitsTrustedCallers && callers.isTrusted(caller);
  const throttleOf = (caller: Caller, connection: Connection): Throttle | undefined => {
    const { identity } = connection;
    const throttle = identity && limiter.throttleOf(identity, connection);
    return throttle !== undefined && isExempt(caller) ? undefined : throttle;
  };
  return {
    isExempt,
    permitFor: (caller, connection) => (method) => {
      const access = accessOf(method);
      // A shortcut for the most frequent callers.
      if (access === "trusted" && isExempt(caller)) {
        raiseStreamLimit(connection.identity);
        return undefined;
      }
      const throttle = throttleOf(caller, connection);
      if (access === "client") throttle?.subscribe();
      else throttle?.call();
      if (access === "client") callers.requireClient(caller);
      else if (access === "trusted") callers.requireTrusted(caller);
      if (access === "trusted" || callers.isTrusted(caller)) raiseStreamLimit(connection.identity);
      return throttle;
    },
    bodiesFor: (caller, connection) => () =>
      callers.isTrusted(caller)
        ? undefined
        : (cut) => untrustedBodies.open(connection.identity ?? caller, cut),
    count: (caller, connection) => throttleOf(caller, connection)?.call(),
    addressOf: (connection) => limiter.addressOf(connection),
  };
}

/**
 * Any client may subscribe, and anybody may call health and reflection; all other methods are for
 * trusted callers.
 */
function accessOf(method: DescMethod): "trusted" | "client" | "public" {
  if (method === StreamService.method.subscribe) return "client";
  const { typeName } = method.parent;
  return typeName === StreamService.typeName || typeName === WorkerService.typeName
    ? "trusted"
    : "public";
}

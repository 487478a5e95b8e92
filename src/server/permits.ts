import type { DescMethod } from "@bufbuild/protobuf";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import type { CallerLimiter, Origin } from "../limits/caller-limiter.ts";
import type { Throttle } from "../limits/throttle.ts";
import type { UntrustedBodies } from "../limits/untrusted-bodies.ts";
import type { Transport } from "../rpc/framework/prepared-call.ts";
import type { Caller, Callers } from "./callers.ts";
import { raiseStreamLimit } from "./port/stream-limits.ts";

/** What is known of the connection of a call. */
export interface Connection extends Origin {
  /** Stands for it: the same object for all of its calls; undefined when it is gone. */
  readonly identity: object | undefined;
}

/** Decides whether calls may go on: by what the caller may do, and how fast. */
export interface Permits {
  /** Whether no rate applies to a caller. */
  isExempt(caller: Caller): boolean;
  /** For a call of an RPC method. */
  permitFor(caller: Caller, connection: Connection): Transport["permit"];
  /** For the bodies of a call of an RPC method. */
  bodiesFor(caller: Caller, connection: Connection): Transport["untrustedBodies"];
  /** Counts a request that is no call. @throws StreamError RATE_LIMITED */
  count(caller: Caller, connection: Connection): void;
}

/**
 * Trusted callers are not slowed down unless the limits say so. Everybody else is counted before it is
 * known whether they may make the call, so that guessing tokens is slow.
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
      // The short way of those who call most.
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
  };
}

/** Clients may subscribe, and everybody may ask for health and descriptions; the rest is for trusted callers. */
function accessOf(method: DescMethod): "trusted" | "client" | "public" {
  if (method === StreamService.method.subscribe) return "client";
  const { typeName } = method.parent;
  return typeName === StreamService.typeName || typeName === WorkerService.typeName
    ? "trusted"
    : "public";
}

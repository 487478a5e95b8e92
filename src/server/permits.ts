import type { DescMethod } from "@bufbuild/protobuf";
import { AdminService } from "../../gen/millrace/v1/admin_service_pb.ts";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import type { CallerLimiter, Origin } from "../limits/caller-limiter.ts";
import type { Throttle } from "../limits/throttle.ts";
import type { UntrustedBodies } from "../limits/untrusted-bodies.ts";
import type { AuthRequest } from "../core/auth.ts";
import type { Connected } from "../core/connection.ts";
import { type Caller, NOBODY } from "../rights/caller.ts";
import type { EnteredCall } from "../rpc/call-transport.ts";
import type { Action } from "../rights/action.ts";
import type { Require } from "../service/calls.ts";
import type { CallerFacts } from "./caller-facts.ts";
import type { Finding } from "./caller-request.ts";
import type { Callers } from "./callers.ts";
import { raiseStreamLimit } from "./port/stream-limits.ts";

/** The connection of a call. */
export interface Connection extends Origin {
  /** Identifies it: the same object for all of its calls; undefined when it is gone. */
  readonly identity: object | undefined;
  /** Its id, made on first use. */
  connected(): Connected;
  /** The call as `auth_function` sees it. */
  auth(): AuthRequest;
}

/** Decides whether calls may proceed, by their callers, the rights of these, and their rates. */
export interface Permits {
  /** Whether no rate applies to a caller. */
  isExempt(facts: CallerFacts): boolean;
  /**
   * The caller of a socket, which follows groups or is a worker.
   *
   * @throws StreamError AUTH_REFUSED, AUTH_EXPIRED, NOT_TRUSTED, ACTION_DENIED
   */
  callerOf(
    facts: CallerFacts,
    connection: Connection,
    access: "subscribe" | "work",
  ): Caller | Promise<Caller>;
  /**
   * Requires that a caller whose connection is admitted may call a method, whatever its request.
   *
   * @throws StreamError NOT_TRUSTED, AUTH_REFUSED, ACTION_DENIED
   */
  requireCall(method: DescMethod, caller: Caller): void;
  /** Lets a call of an RPC method in. @see CallTransport.enter */
  enter(method: DescMethod, facts: CallerFacts, connection: Connection): EnteredCall;
  /** Counts a request that is not an RPC. @throws StreamError RATE_LIMITED */
  count(facts: CallerFacts, connection: Connection): void;
  /** The key of the address that the callers of a connection are limited by. */
  addressOf(connection: Connection): string;
}

/**
 * Trusted callers have no rate limits, unless configured. All others are counted before their
 * credentials are verified, so that guessing tokens is slow.
 */
export function createPermits(
  callers: Callers,
  limiter: CallerLimiter,
  untrustedBodies: UntrustedBodies,
  require: Require,
): Permits {
  const isExempt = (isTrusted: boolean) => isTrusted && !limiter.limitsTrustedCallers;
  const throttleOf = (isTrusted: boolean, connection: Connection): Throttle | undefined => {
    if (isExempt(isTrusted)) return undefined;
    const { identity } = connection;
    return identity && limiter.throttleOf(identity, connection);
  };
  /** Refuses what the handlers do not decide by the request. */
  const review = (caller: Caller, access: Access): Caller => {
    if (access === "subscribe" || access === "public" || caller.rights === undefined) return caller;
    if (callers.isSubscriberOnly(caller)) throw callers.untrusted();
    if (access === "work" || access === "admin") require(caller, access, undefined);
    // Nobody's body is read for a call that cannot be allowed.
    else if (!ACTIONS_OF[access].some((action) => caller.rights?.mayAllow(action)))
      require(caller, ACTIONS_OF[access][0], undefined);
    return caller;
  };
  const callerOf = (
    { calling, resolve }: Finding,
    connection: Connection,
    access: Access,
  ): Caller | Promise<Caller> => {
    const subscribes = access === "subscribe";
    if (calling !== undefined && !subscribes) return review(calling, access);
    const caller = resolve({
      identity: connection.identity,
      connection: () => connection.connected(),
      auth: () => connection.auth(),
      subscribes,
      staysOpen: subscribes || access === "stream" || access === "work",
    });
    return caller instanceof Promise
      ? caller.then((found) => review(found, access))
      : review(caller, access);
  };
  return {
    callerOf: (facts, connection, access) =>
      callerOf(callers.find(facts, connection.identity), connection, access),
    requireCall: (method, caller) => void review(caller, accessOf(method)),
    isExempt: (facts) => isExempt(callers.find(facts).isTrusted),
    enter(method, facts, connection) {
      const access = accessOf(method);
      const finding = callers.find(facts, connection.identity);
      const { isTrusted } = finding;
      const throttle = throttleOf(isTrusted, connection);
      if (access === "subscribe") throttle?.subscribe();
      else throttle?.call();
      if (isTrusted) raiseStreamLimit(connection.identity);
      const openAccount: EnteredCall["openAccount"] = isTrusted
        ? undefined
        : (cut) => untrustedBodies.open(connection.identity ?? facts, cut);
      const caller = access === "public" ? NOBODY : callerOf(finding, connection, access);
      return { caller, throttle, openAccount };
    },
    count: (facts, connection) => throttleOf(callers.find(facts).isTrusted, connection)?.call(),
    addressOf: (connection) => limiter.addressOf(connection),
  };
}

/** The decision that a method needs. */
type Access = "subscribe" | "read" | "write" | "send" | "stream" | "work" | "admin" | "public";

/** The actions of which a caller of a method needs one. */
const ACTIONS_OF = {
  read: ["read"],
  write: ["write"],
  send: ["send"],
  stream: ["write", "send"],
} as const satisfies Readonly<Record<string, readonly [Action, ...Action[]]>>;

const { set, update, delete: remove, batch, send, write, subscribe } = StreamService.method;
const ACCESS: ReadonlyMap<DescMethod, Access> = new Map<DescMethod, Access>([
  [set, "write"],
  [update, "write"],
  [remove, "write"],
  [batch, "write"],
  [send, "send"],
  [write, "stream"],
  [subscribe, "subscribe"],
]);

/**
 * Anybody may call health and reflection. Calls of the StreamService need a right for what their
 * request names, which the handlers decide.
 */
function accessOf(method: DescMethod): Access {
  const known = ACCESS.get(method);
  if (known !== undefined) return known;
  const { typeName } = method.parent;
  if (typeName === StreamService.typeName) return "read";
  if (typeName === AdminService.typeName) return "admin";
  return typeName === WorkerService.typeName ? "work" : "public";
}

import type { Connected } from "../core/connection.ts";
import { StreamError } from "../core/errors.ts";
import { HeldElsewhere } from "../core/held-elsewhere.ts";
import { repetitionOf } from "../core/idempotency.ts";
import { type GroupKey, checkGroup, checkName } from "../core/names.ts";
import type { Store } from "../core/store.ts";
import type { Action, Resource } from "../rights/action.ts";
import type { Caller } from "../rights/caller.ts";
import type { Rule } from "../rights/rule.ts";
import type { GatedWrite, WriteAction } from "../triggers/gated-write.ts";
import type { Gates } from "../triggers/gates.ts";
import type { GateCaller } from "../triggers/payloads.ts";
import { checkItem, checkMutationCount } from "./checks.ts";
import type { Handlers } from "./handlers.ts";
import type { Reads } from "./reads.ts";
import type { BatchMutationResult, Binding, Keyed, UpdateResult } from "./requests.ts";
import { GatedBytes } from "./gated-bytes.ts";
import { type OnceOnly, onceOnly } from "./idempotency.ts";
import { Turns } from "./turns.ts";
import type { Writes } from "./writes.ts";

/** The calls with one response. */
export type Calls = Pick<
  Handlers,
  | "set"
  | "get"
  | "update"
  | "delete"
  | "batch"
  | "send"
  | "list"
  | "history"
  | "listGroups"
  | "listAll"
>;

/** A decision about a caller with limited rights. */
export interface RightsDecision {
  readonly caller: Caller;
  readonly action: Action;
  readonly resource: Resource;
  /** The rule that allows the action; undefined: none does. */
  readonly rule: Rule | undefined;
}

/** Dependencies of the calls. */
interface CallDependencies {
  readonly reads: Reads;
  readonly writes: Writes;
  /** Reads what the store remembers of earlier writes with a key. */
  readonly store: Pick<Store, "recall">;
  readonly gates: Pick<Gates, "admitRead" | "admitWrite">;
  readonly require: Require;
}

/**
 * Requires a right: `require(caller, action, resource)`. The resource is undefined when the request
 * has not been read: then the caller has the action for no resource.
 *
 * @throws StreamError ACTION_DENIED, AUTH_EXPIRED
 */
export type Require = (caller: Caller, action: Action, resource: Resource | undefined) => void;

/**
 * Creates the decision about rights, which every call and every subscription takes.
 *
 * @param onDecision Notified of each decision about a caller with limited rights, for debugging.
 * @param clock Wall clock, Unix milliseconds.
 */
export function createRequire(
  onDecision: ((decision: RightsDecision) => void) | undefined,
  clock: () => number = Date.now,
): Require {
  return (caller, action, resource) => {
    if (hasExpired(caller, clock)) throw expired();
    if (caller.rights === undefined) return;
    const known = resource ?? {};
    const rule = caller.rights.allowing(action, known);
    onDecision?.({ caller, action, resource: known, rule });
    if (rule === undefined) throw denied(action, resource);
  };
}

/** Whether the credentials of a caller have expired. */
export function hasExpired(
  { expiresAtMs = Infinity }: Caller,
  clock: () => number = Date.now,
): boolean {
  return expiresAtMs <= clock();
}

/** The error of calls and subscriptions of a caller whose token has expired. */
export function expired(): StreamError {
  return new StreamError(
    "AUTH_EXPIRED",
    "The caller's credentials have expired; it may come with new ones.",
  );
}

/**
 * The error of a subscription whose caller has lost the right to it.
 *
 * @param why A sentence.
 */
export function subscriptionEnded(why: string): StreamError {
  return new StreamError("SUBSCRIPTION_ENDED", `The subscription has ended. ${why}`);
}

/** Creates the calls. Each takes its decision about the rights of the caller before it does anything. */
export function createCalls({ reads, writes, store, gates, require }: CallDependencies): Calls {
  /** Whether the caller may see the values of an item. */
  const mayRead = ({ rights }: Caller, { streamName, groupId }: GroupKey, itemId: string) =>
    rights === undefined ||
    rights.allowing("read", { stream: streamName, group: groupId, item: itemId }) !== undefined;

  // Not async: each layer of promises around a call costs, and most callers may do everything.
  const isFree = ({ rights, expiresAtMs }: Caller) =>
    rights === undefined && expiresAtMs === undefined;
  /** Whether a write is made without further ado. */
  const isPlain = ({ idempotencyKey, whileConnected }: Keyed & Binding, caller: Caller) =>
    idempotencyKey === undefined && whileConnected !== true && isFree(caller);

  const forItem = (caller: Caller, action: Action, request: Parameters<typeof checkItem>[0]) => {
    const { group, itemId } = checkItem(request);
    require(caller, action, { stream: group.streamName, group: group.groupId, item: itemId });
    return { group, itemId };
  };

  const turns = new Turns();
  const waiting = new GatedBytes();
  /**
   * Writes what the gates let through. They are asked concurrently, and the writes of one connection
   * to one group take effect in the order of their calls all the same. They are not asked about the
   * repetition of a write that took effect.
   */
  const pass = <W extends GatedWrite & Keyed, R>(
    action: WriteAction,
    request: W,
    caller: Caller,
    write: (request: W, author: string, once: OnceOnly | undefined) => Promise<R>,
  ): Promise<R> => {
    let once = onceOnly(action, request, caller);
    if (caller.kind === "service" || isFree(caller)) return write(request, caller.author, once);
    const gated = gateCallerOf(caller);
    const recall = async ({ idempotency }: OnceOnly) => {
      const known = await store.recall?.(request, idempotency);
      if (known === undefined) return false;
      once = { idempotency, repeated: repetitionOf(idempotency, known) };
      return true;
    };
    const isRepetition = once && (() => recall(once as OnceOnly));
    const admitted = gates.admitWrite(action, request, gated, isRepetition);
    if (admitted === request && !turns.isBehind(gated, request))
      return write(request, caller.author, once);
    const admission = Promise.resolve(admitted);
    // Nothing waits for it when there is no room.
    admission.catch(() => {});
    const release = waiting.hold(gated, request);
    return turns
      .take(gated, request, admission, (final) => {
        // The gates may have taken longer than the credentials last.
        if (hasExpired(caller)) throw expired();
        // A later call of the session may have taken effect elsewhere.
        if (gated.connection.isReplaced === true) throw new HeldElsewhere();
        return write(final, caller.author, once);
      })
      .finally(release);
  };
  const admitRead = async (caller: Caller, group: GroupKey, itemId?: string): Promise<void> => {
    if (caller.kind === "service") return;
    const { user, context, connection } = gateCallerOf(caller);
    await gates.admitRead({ ...group, itemId, user, context, connection });
    // The gates may have taken longer than the credentials last.
    if (hasExpired(caller)) throw expired();
  };

  // Those without `async` may throw: each layer of promises costs.
  const limited: Calls = {
    set(request, caller) {
      const { group, itemId } = forItem(caller, "write", request);
      const done = pass("set", request, caller, (final, author, once) =>
        binding(final, caller, (connection) => writes.set(final, author, once, connection)),
      );
      return mayRead(caller, group, itemId) ? done : done.then(withoutValues);
    },
    update(request, caller) {
      const { group, itemId } = forItem(caller, "write", request);
      const done = pass("update", request, caller, (final, author, once) =>
        binding(final, caller, (connection) => writes.update(final, author, once, connection)),
      );
      return mayRead(caller, group, itemId) ? done : done.then(withoutValues);
    },
    async delete(request, caller) {
      const { group, itemId } = forItem(caller, "write", request);
      const done = await pass("delete", request, caller, (final, author, once) =>
        writes.delete(final, author, once),
      );
      return mayRead(caller, group, itemId) ? done : { ...done, oldValue: undefined };
    },
    async batch(request, caller) {
      const group = checkGroup(request);
      const { mutations } = request;
      checkMutationCount(mutations.length);
      for (const [index, { kind, itemId }] of mutations.entries()) {
        checkName(`mutations[${index}].${kind}.item_id`, itemId);
        require(caller, "write", { stream: group.streamName, group: group.groupId, item: itemId });
      }
      const done = await pass("batch", request, caller, (final, author, once) =>
        writes.batch(final, author, once),
      );
      const results = done.results.map((each, index) =>
        mayRead(caller, group, mutations[index]?.itemId ?? "") ? each : withoutResultValues(each),
      );
      return { ...done, results };
    },
    async send(request, caller) {
      const { streamName, groupId } = checkGroup(request);
      const item = request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      require(caller, "send", { stream: streamName, group: groupId, item });
      await pass("send", request, caller, (final, author) => writes.send(final, author));
    },
    async get(request, caller) {
      const { group, itemId } = forItem(caller, "read", request);
      await admitRead(caller, group, itemId);
      return reads.get(request);
    },
    async list(request, caller) {
      const group = checkGroup(request);
      require(caller, "read", { stream: group.streamName, group: group.groupId });
      await admitRead(caller, group);
      return reads.list(request);
    },
    async history(request, caller) {
      const group = checkGroup(request);
      const item = request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      require(caller, "read", { stream: group.streamName, group: group.groupId, item });
      await admitRead(caller, group, item);
      return reads.history(request);
    },
    async listGroups(request, caller) {
      require(caller, "read", { stream: checkName("stream_name", request.streamName) });
      return reads.listGroups(request);
    },
    async listAll(request, caller) {
      require(caller, "read", {});
      return reads.listAll(request);
    },
  };

  return {
    set: (request, caller) =>
      isPlain(request, caller)
        ? writes.set(request, caller.author)
        : orReject((r, c) => limited.set(r, c), request, caller),
    update: (request, caller) =>
      isPlain(request, caller)
        ? writes.update(request, caller.author)
        : orReject((r, c) => limited.update(r, c), request, caller),
    delete: (request, caller) =>
      isPlain(request, caller)
        ? writes.delete(request, caller.author)
        : limited.delete(request, caller),
    batch: (request, caller) =>
      isPlain(request, caller)
        ? writes.batch(request, caller.author)
        : limited.batch(request, caller),
    send: (request, caller) =>
      isFree(caller) ? writes.send(request, caller.author) : limited.send(request, caller),
    get: (request, caller) => (isFree(caller) ? reads.get(request) : limited.get(request, caller)),
    list: (request, caller) =>
      isFree(caller) ? reads.list(request) : limited.list(request, caller),
    history: (request, caller) =>
      isFree(caller) ? reads.history(request) : limited.history(request, caller),
    listGroups: (request, caller) =>
      isFree(caller) ? reads.listGroups(request) : limited.listGroups(request, caller),
    listAll: (request, caller) =>
      isFree(caller) ? reads.listAll(request) : limited.listAll(request, caller),
  };
}

/** Calls, and turns what it throws into a rejection. */
function orReject<Q, R>(
  call: (request: Q, caller: Caller) => Promise<R>,
  request: Q,
  caller: Caller,
): Promise<R> {
  try {
    return call(request, caller);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Runs a write, with the connection that its item is to be bound to.
 *
 * @param write Gets the id of the connection; undefined: the item is not to be bound, or the caller
 *   has no connection that it could be bound to.
 */
function binding<R>(
  request: GroupKey & Binding,
  { connection }: Caller,
  write: (connection: string | undefined) => Promise<R>,
): Promise<R> {
  if (request.whileConnected !== true || connection?.bind === undefined) return write(undefined);
  const { streamName, groupId } = request;
  return connection.bind({ streamName, groupId }, () => write(connection.connectionId));
}

/** The caller as gates see it. */
function gateCallerOf(caller: Caller): GateCaller {
  const { connection } = caller;
  return connection === undefined
    ? { ...caller, connection: NO_CONNECTION }
    : (caller as GateCaller);
}

/** The connection of a caller that has none. */
export const NO_CONNECTION: Connected = { connectionId: "" };

function denied(action: Action, resource: Resource | undefined): StreamError {
  const { stream, group, item } = resource ?? {};
  const place = [
    stream !== undefined && `stream ${JSON.stringify(stream)}`,
    group !== undefined && `group ${JSON.stringify(group)}`,
    item !== undefined && `item ${JSON.stringify(item)}`,
  ].filter((part) => part !== false);
  const isAll = resource !== undefined && place.length === 0 && action === "read";
  const where = isAll ? "everything" : place.join(", ");
  const what = where === "" ? action : `${action} ${where}`;
  return new StreamError(
    "ACTION_DENIED",
    `The caller has no right to ${what}; it may do what the service's rules allow it.`,
    {
      metadata: {
        action,
        ...(stream !== undefined && { stream_name: stream }),
        ...(group !== undefined && { group_id: group }),
      },
    },
  );
}

function withoutValues<R extends object>(
  result: R,
): R & { oldValue: undefined; newValue: undefined } {
  return { ...result, oldValue: undefined, newValue: undefined };
}

function withoutResultValues(each: BatchMutationResult): BatchMutationResult {
  if (each.kind === "delete") return { ...each, result: { ...each.result, oldValue: undefined } };
  if (each.kind === "set") return { ...each, result: withoutValues(each.result) };
  return { ...each, result: withoutDetails(each.result) };
}

/** Errors of steps describe the value that they met. */
function withoutDetails(result: UpdateResult): UpdateResult {
  const errors = result.errors.map(({ opIndex, code }) => ({
    opIndex,
    code,
    message: "The step failed; what it met is not shown, because the caller may not read it.",
  }));
  return { ...withoutValues(result), errors };
}

import type { CallOptions } from "./function-call.ts";
import type { Unwatch } from "./store.ts";
import type { BoundTrigger, TriggerDefinition } from "./trigger.ts";

/**
 * The second port beside the Store: what the processes of a fleet have to agree on. A service that is
 * one process has a local one, whose fleet is itself.
 *
 * The shared suite in test/coordinators proves it for each.
 */
export interface Coordinator {
  readonly registry: Registry;
  readonly ownership: Ownership;
  readonly leases: Leases;
  readonly routing: Routing;
  /** Gives up what this process holds, in good order. Idempotent. */
  close(): Promise<void>;
}

/**
 * Which functions have a provider somewhere, and which triggers are in force.
 *
 * What one process registers holds at every process before the registration is answered: from then
 * on no write misses a trigger, and no subscription misses a gate, wherever they are made.
 */
export interface Registry {
  /** Says that this process provides a function. Resolves when every process knows. */
  provide(functionId: string): Promise<void>;
  /**
   * Says that it no longer does.
   *
   * `withdrawn`: by somebody's wish. `lost`: its provider went away. Then a function of a custom
   * stream stays known as one, for calls to fail rather than to be done by the built-in store.
   */
  withdraw(functionId: string, how: "withdrawn" | "lost"): Promise<void>;
  /** Whether some process provides the function. */
  provides(functionId: string): boolean;
  /** Ids of the functions that some process provides, each once, in any order. */
  functions(): Iterable<string>;
  /** Ids of the functions of custom streams (see overrideId), those included that have no provider now. */
  overrides(): ReadonlySet<string>;
  /**
   * Puts a trigger in force on behalf of this process. An equal one is the same: it is joined, or
   * taken up again when nobody held it any more. Resolves when it holds at every process.
   */
  bind(definition: TriggerDefinition): Promise<BoundTrigger>;
  /**
   * Ends what `bind` began, for this process.
   *
   * `withdrawn`: by somebody's wish. The trigger ends when no other process holds it.
   * `lost`: who registered it went away. It stays in force for REATTACH_MS, for them to come back;
   * one of type `stream:join` stays until it is withdrawn, because a gate must not open by itself.
   */
  unbind(id: string, how: "withdrawn" | "lost"): Promise<void>;
  /** All triggers in force. Another list after each change. */
  triggers(): readonly BoundTrigger[];
  /** Calls the listener after each change of what this part says. It must return at once. */
  watch(listener: () => void): Unwatch;
  /**
   * Whether what this part says is what the fleet agreed on. A process that could not reach the
   * others for `registry_timeout` must assume that there are gates it does not know.
   */
  isCurrent(): boolean;
}

/** How long a trigger outlives the last of those who registered it, in milliseconds. */
export const REATTACH_MS = 30_000;

/** Who reads and settles which partition of the outbox: one process at a time. */
export interface Ownership {
  /**
   * Asks for partitions from now on: `gained` with each that this process owns, and `lost` when it no
   * longer does, after which it must not begin another call for it.
   */
  contend(partitions: number, owner: Owner): Unwatch;
}

/** Hears what it owns. */
export interface Owner {
  /** @param fence Proves ownership to the outbox. */
  gained(partition: number, fence: string): void;
  /**
   * Resolves when what was under way for the partition is over. It goes to its next owner after that,
   * or when the lease of this process ends.
   */
  lost(partition: number): void | Promise<void>;
}

/** A subscription that was told to `stream:join`, and has to be told to `stream:leave`. */
export interface SubscriptionLease {
  /** Unique over all processes and times. */
  readonly id: string;
  /** What the leave handlers get: JSON text. */
  readonly payload: string;
}

/**
 * Subscriptions that are open, for their leave to be told even when their process is killed. Where
 * nothing survives a process, nothing is told.
 */
export interface Leases {
  /** Notes an open subscription. Resolves when it survives this process. */
  hold(lease: SubscriptionLease): Promise<void>;
  /** The leave was told: forgets it. */
  release(id: string): Promise<void>;
  /**
   * Calls the listener with each subscription whose process is gone, those of before the start too.
   * Whoever hears it tells the leave and releases it then: until that it may be heard again, here or
   * elsewhere.
   */
  onOrphan(listener: (lease: SubscriptionLease) => void): Unwatch;
}

/** Calls between processes. */
export interface Routing {
  /**
   * Calls a function at another process that provides it.
   *
   * @throws FunctionError function_not_found when no other does.
   */
  call(functionId: string, payload: string, options: CallOptions): Promise<string | undefined>;
  /** Answers the calls of other processes. */
  serve(
    answer: (
      functionId: string,
      payload: string,
      options: CallOptions,
    ) => Promise<string | undefined>,
  ): void;
}

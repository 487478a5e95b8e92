import type { Registry } from "../../core/coordinator.ts";
import { StreamError } from "../../core/errors.ts";
import type { Unwatch } from "../../core/watchers.ts";
import type { BoundTrigger } from "../../core/trigger.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { Acks } from "./acks.ts";
import { type FleetState, providersOf } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { DesiredState } from "./desired-state.ts";

/** Dependencies of the registry of a fleet. */
export interface FleetRegistryOptions {
  readonly replica: Replica;
  readonly membership: Membership;
  readonly desired: DesiredState;
  readonly acks: Acks;
  /** Brings the fleet's state in line with the desired state. */
  readonly reconcile: () => Promise<void>;
  /** Whether every member of the fleet supports durable triggers. */
  readonly knowsDurable: () => boolean;
  /** Longest wait for the acks of the other members, in milliseconds. */
  readonly timeoutMs: number;
}

/** The registry of a fleet. */
export interface FleetRegistry extends Registry {
  /** Stops all changes. */
  close(): void;
}

/** The registry view of the fleet's agreed state, and this process's changes to it. */
export function createFleetRegistry(options: FleetRegistryOptions): FleetRegistry {
  const { replica, membership, desired, acks, reconcile, timeoutMs } = options;
  /** Returned id -> identity: after the log was lost, the trigger may have another id. */
  const returned = new Map<string, string>();
  let listedOf: FleetState["triggers"] | undefined;
  let list: readonly BoundTrigger[] = [];
  /** When the next trigger of the list ends. */
  let listedUntilMs = Infinity;
  let closed = false;

  /** Resolves when the desired state is in force at every process. */
  const agree = async (): Promise<void> => {
    const deadlineMs = performance.now() + timeoutMs;
    do {
      if (closed) throw unavailable(undefined);
      await reconcile();
    } while (!(await acks.everywhere(Math.max(0, deadlineMs - performance.now()))));
  };

  return {
    async provide(functionId) {
      desired.provide(functionId);
      await agree();
    },
    async withdraw(functionId, how) {
      if (closed) return;
      desired.withdraw(functionId, how);
      // No other member has to know of a loss before this resolves.
      if (how === "lost") await reconcile();
      else await agree();
    },
    provides: (functionId) => providersOf(replica.state, functionId).length > 0,
    functions: () =>
      new Set(Array.from(replica.state.members.values(), (member) => [...member.functions]).flat()),
    overrides: () => replica.state.overrides,
    async bind(definition) {
      if (definition.config.durable !== undefined && !options.knowsDurable()) {
        throw new StreamError(
          "STORE_UNAVAILABLE",
          "A process of the fleet runs an older version, which knows no durable triggers; register the trigger again when all are updated.",
        );
      }
      const identity = desired.bind(definition);
      let hasSucceeded = false;
      try {
        await agree();
        const { triggers, identities } = replica.state;
        const trigger = triggers.get(identities.get(identity) ?? "");
        if (trigger === undefined) throw unavailable(undefined);
        returned.set(trigger.bound.id, identity);
        hasSucceeded = true;
        return trigger.bound;
      } finally {
        desired.bindEnded(identity, hasSucceeded);
      }
    },
    async unbind(id, how) {
      const identity = replica.state.triggers.get(id)?.identity ?? returned.get(id);
      returned.delete(id);
      if (identity === undefined || closed) return;
      desired.unbind(identity, how);
      if (how === "lost") await reconcile();
      else await agree();
    },
    triggers() {
      const { triggers } = replica.state;
      // Each process uses the clock of Redis: the record that ends a trigger comes a little later.
      const nowMs = replica.redisNowMs ?? 0;
      if (triggers === listedOf && nowMs < listedUntilMs) return list;
      listedOf = triggers;
      listedUntilMs = Infinity;
      const listed: BoundTrigger[] = [];
      for (const { bound, lostUntilMs = Infinity } of triggers.values()) {
        if (lostUntilMs <= nowMs) continue;
        listed.push(bound);
        listedUntilMs = Math.min(listedUntilMs, lostUntilMs);
      }
      list = listed;
      return list;
    },
    watch: (notify): Unwatch => membership.watch(notify),
    isCurrent: () => membership.isCurrent(),
    close() {
      closed = true;
    },
  };
}

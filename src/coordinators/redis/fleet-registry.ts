import type { Registry } from "../../core/coordinator.ts";
import type { Unwatch } from "../../core/store.ts";
import type { BoundTrigger } from "../../core/trigger.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { Acks } from "./acks.ts";
import { type FleetState, providersOf } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { Wishes } from "./wishes.ts";

/** What the registry of a fleet works with. */
export interface FleetRegistryOptions {
  readonly replica: Replica;
  readonly membership: Membership;
  readonly wishes: Wishes;
  readonly acks: Acks;
  /** Has the fleet agree to the wishes. */
  readonly reconcile: () => Promise<void>;
  /** Longest time that the others may take to know, in milliseconds. */
  readonly timeoutMs: number;
}

/** The registry of a fleet. */
export interface FleetRegistry extends Registry {
  /** From now on nothing ends or begins. */
  close(): void;
}

/** What the fleet agrees on, as the registry tells it, and how this process has a part in it. */
export function createFleetRegistry(options: FleetRegistryOptions): FleetRegistry {
  const { replica, membership, wishes, acks, reconcile, timeoutMs } = options;
  /** Id that was answered -> identity: after the log was lost, the trigger may have another id. */
  const answered = new Map<string, string>();
  let listedOf: FleetState["triggers"] | undefined;
  let list: readonly BoundTrigger[] = [];
  /** When the next of the list has not been taken up in time. */
  let listedUntilMs = Infinity;
  let closed = false;

  /** Resolves when all wishes hold, at every process. */
  const agree = async (): Promise<void> => {
    const deadlineMs = performance.now() + timeoutMs;
    do {
      if (closed) throw unavailable(undefined);
      await reconcile();
    } while (!(await acks.everywhere(Math.max(0, deadlineMs - performance.now()))));
  };

  return {
    async provide(functionId) {
      wishes.provide(functionId);
      await agree();
    },
    async withdraw(functionId, how) {
      if (closed) return;
      wishes.withdraw(functionId, how);
      // A loss is told to nobody who would have to know it before it is answered.
      if (how === "lost") await reconcile();
      else await agree();
    },
    provides: (functionId) => providersOf(replica.state, functionId).length > 0,
    functions: () =>
      new Set(Array.from(replica.state.members.values(), (member) => [...member.functions]).flat()),
    overrides: () => replica.state.overrides,
    async bind(definition) {
      const identity = wishes.bind(definition);
      let isWell = false;
      try {
        await agree();
        const { triggers, identities } = replica.state;
        const trigger = triggers.get(identities.get(identity) ?? "");
        if (trigger === undefined) throw unavailable(undefined);
        answered.set(trigger.bound.id, identity);
        isWell = true;
        return trigger.bound;
      } finally {
        wishes.answered(identity, isWell);
      }
    },
    async unbind(id, how) {
      const identity = replica.state.triggers.get(id)?.identity ?? answered.get(id);
      answered.delete(id);
      if (identity === undefined || closed) return;
      wishes.unbind(identity, how);
      if (how === "lost") await reconcile();
      else await agree();
    },
    triggers() {
      const { triggers } = replica.state;
      // Each process goes by the clock: the record that ends them comes a little later.
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
    watch: (tell): Unwatch => membership.watch(tell),
    isCurrent: () => membership.isCurrent(),
    close() {
      closed = true;
    },
  };
}

import {
  type Coordinator,
  type Leases,
  type OrderHandler,
  type Orders,
  ORDER_TIMEOUT_MS,
  type Registry,
  type SubscriptionLease,
  REATTACH_MS,
} from "../../core/coordinator.ts";
import { FunctionError } from "../../core/function-call.ts";
import { checkOrder, orderFailed } from "../../core/orders.ts";
import { isOverrideId } from "../../core/overrides.ts";
import type { ServiceState } from "../../core/service-state.ts";
import {
  type BoundTrigger,
  type TriggerDefinition,
  canonical,
  isLasting,
  triggerIdentity,
} from "../../core/trigger.ts";
import { createLocalSessions } from "./local-sessions.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";

/** Options of a local coordinator. */
export interface LocalCoordinatorOptions {
  /** Persists triggers and open subscriptions. Default: they end with the process. */
  readonly serviceState?: ServiceState | undefined;
  /** Generates unique ids. Default: random UUIDs. */
  readonly newId?: (() => string) | undefined;
  /** How long a trigger outlives its last registrant, in milliseconds. Default REATTACH_MS. */
  readonly reattachMs?: number | undefined;
}

const OVERRIDE = "override/";
const TRIGGER = "trigger/";
const LEASE = "lease/";

interface Bound {
  trigger: BoundTrigger;
  /** Resolves when the trigger is persisted. */
  kept: Promise<void>;
  /** Ends the trigger unless it is bound again. */
  timer: Timer | undefined;
}

/**
 * The coordinator of a service that is one process: each change takes effect at once.
 *
 * With a service state, registrations survive a restart. Triggers end unless they are registered
 * again within `reattachMs`; durable ones stay until they are withdrawn, and so do gates and custom
 * streams, without which the service would admit or store what it must not. Subscriptions
 * whose leave was not delivered become orphans.
 */
export function localCoordinator(options: LocalCoordinatorOptions = {}): Coordinator {
  const registry = createRegistry(options);
  return {
    registry,
    ownership: {
      contend(partitions, owner) {
        for (let partition = 0; partition < partitions; partition++) owner.gained(partition, "");
        return () => {};
      },
    },
    leases: createLeases(options),
    routing: {
      async call(functionId) {
        throw new FunctionError(
          "function_not_found",
          `The function ${functionId} has no provider; it may be registered first.`,
          { isUnserved: true },
        );
      },
      serve() {},
    },
    orders: createOrders(),
    sessions: createLocalSessions(),
    async close() {
      registry.close();
    },
  };
}

function createRegistry({
  serviceState,
  newId = () => crypto.randomUUID(),
  reattachMs = REATTACH_MS,
}: LocalCoordinatorOptions): Registry & { close(): void } {
  const functions = new Set<string>();
  const overrides = new Set<string>();
  const byIdentity = new Map<string, Bound>();
  const byId = new Map<string, Bound>();
  const durable = new Set<Bound>();
  const listeners = new Set<{ readonly notify: () => void }>();
  let list: readonly BoundTrigger[] | undefined;
  let closed = false;

  const changed = () => {
    list = undefined;
    for (const entry of Array.from(listeners)) if (listeners.has(entry)) entry.notify();
  };
  const add = (trigger: BoundTrigger): Bound => {
    const bound: Bound = { trigger, kept: Promise.resolve(), timer: undefined };
    byIdentity.set(triggerIdentity(trigger.definition), bound);
    byId.set(trigger.id, bound);
    if (trigger.definition.config.durable !== undefined) durable.add(bound);
    return bound;
  };
  const end = async (bound: Bound) => {
    const { id, definition } = bound.trigger;
    bound.timer?.cancel();
    if (!byId.delete(id)) return;
    byIdentity.delete(triggerIdentity(definition));
    durable.delete(bound);
    changed();
    await serviceState?.delete(TRIGGER + id);
  };
  const awaitReturn = (bound: Bound) => {
    if (closed || isLasting(bound.trigger.definition)) return;
    bound.timer?.cancel();
    // A leftover record of an ended trigger is harmless: after a restart it expires again.
    bound.timer = startTimer(reattachMs, () => void end(bound).catch(() => {})).unref();
  };
  const write = async (trigger: BoundTrigger) => {
    await serviceState?.put(TRIGGER + trigger.id, JSON.stringify(trigger));
  };
  const keep = (bound: Bound) => (bound.kept = write(bound.trigger));
  /** Replaces a definition. After a failure, the earlier one is in force again. */
  const replace = async (bound: Bound, definition: TriggerDefinition) => {
    const before = bound.trigger.definition;
    const use = (used: TriggerDefinition) => {
      bound.trigger = { ...bound.trigger, definition: used };
      noteAway();
      changed();
    };
    use(definition);
    try {
      await keep(bound);
    } catch (error) {
      bound.kept = Promise.resolve();
      if (bound.trigger.definition === definition) use(before);
      throw error;
    }
  };
  /** Notes since when the functions of durable triggers have had no provider. */
  const noteAway = () => {
    for (const bound of durable) {
      const { definition, awaySinceMs } = bound.trigger;
      const isAway = !functions.has(definition.functionId);
      if (isAway === (awaySinceMs !== undefined)) continue;
      bound.trigger = { ...bound.trigger, awaySinceMs: isAway ? Date.now() : undefined };
      list = undefined;
      // For operators only: after a failure, an earlier time stays in its record.
      if (!closed) write(bound.trigger).catch(() => {});
    }
  };
  for (const [key, text] of serviceState?.entries() ?? []) {
    if (key.startsWith(TRIGGER)) awaitReturn(add(JSON.parse(text) as BoundTrigger));
    if (key.startsWith(OVERRIDE)) overrides.add(text);
  }
  noteAway();

  return {
    async provide(functionId) {
      functions.add(functionId);
      noteAway();
      const isOver = isOverrideId(functionId);
      if (isOver) overrides.add(functionId);
      changed();
      // Also when it is known already: its record may not have been written yet.
      if (isOver) await serviceState?.put(OVERRIDE + functionId, functionId);
    },
    async withdraw(functionId, how) {
      const was = functions.delete(functionId);
      const isOver = how === "withdrawn" && overrides.delete(functionId);
      noteAway();
      if (was || isOver) changed();
      if (isOver) await serviceState?.delete(OVERRIDE + functionId);
    },
    provides: (functionId) => functions.has(functionId),
    functions: () => functions,
    overrides: () => overrides,
    async bind(definition: TriggerDefinition) {
      const known = byIdentity.get(triggerIdentity(definition));
      if (known !== undefined) {
        known.timer?.cancel();
        known.timer = undefined;
        if (canonical(definition) === canonical(known.trigger.definition)) await known.kept;
        else await replace(known, definition);
        return known.trigger;
      }
      const bound = add({ id: newId(), definition });
      noteAway();
      changed();
      try {
        await keep(bound);
      } catch (error) {
        await end(bound).catch(() => {});
        throw error;
      }
      return bound.trigger;
    },
    async unbind(id, how) {
      const bound = byId.get(id);
      if (bound === undefined) return;
      if (how === "withdrawn") await end(bound);
      else awaitReturn(bound);
    },
    triggers: () => (list ??= Array.from(byId.values(), ({ trigger }) => trigger)),
    watch(notify) {
      const entry = { notify };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
    isCurrent: () => true,
    close() {
      closed = true;
      for (const { timer } of byId.values()) timer?.cancel();
      listeners.clear();
    },
  };
}

function createLeases({ serviceState }: LocalCoordinatorOptions): Leases {
  const orphans = new Map<string, SubscriptionLease>();
  for (const [key, payload] of serviceState?.entries() ?? []) {
    if (!key.startsWith(LEASE)) continue;
    const id = key.slice(LEASE.length);
    orphans.set(id, { id, payload });
  }
  return {
    async hold({ id, payload }) {
      await serviceState?.put(LEASE + id, payload);
    },
    detach: async () => true,
    async release(id) {
      orphans.delete(id);
      await serviceState?.delete(LEASE + id);
    },
    onOrphan(listener) {
      for (const lease of orphans.values()) listener(lease);
      return () => {};
    },
  };
}

function createOrders(): Orders {
  let serve: OrderHandler | undefined;
  return {
    async issue(order) {
      checkOrder(order);
      if (serve === undefined) return [];
      const late = orderFailed(1, 1);
      let timer: Timer | undefined;
      const end = new Promise<never>((_, reject) => {
        timer = startTimer(ORDER_TIMEOUT_MS, () => reject(late)).unref();
      });
      try {
        return [await Promise.race([serve(order), end])];
      } catch (error) {
        throw error === late ? error : orderFailed(1, 1, error);
      } finally {
        timer?.cancel();
      }
    },
    serve(handler) {
      if (serve !== undefined) throw new Error("This process already carries out orders.");
      serve = handler;
    },
    mayDeliver: () => true,
    onLapse: () => () => {},
  };
}

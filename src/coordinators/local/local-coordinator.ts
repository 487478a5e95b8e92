import type { Coordinator, Leases, Registry, SubscriptionLease } from "../../core/coordinator.ts";
import { REATTACH_MS } from "../../core/coordinator.ts";
import { FunctionError } from "../../core/function-call.ts";
import { isOverrideId } from "../../core/overrides.ts";
import type { Records } from "../../core/records.ts";
import { type BoundTrigger, type TriggerDefinition, triggerIdentity } from "../../core/trigger.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";

/** How a local coordinator is made. */
export interface LocalCoordinatorOptions {
  /** Where triggers and open subscriptions survive the process. Default: nowhere. */
  readonly records?: Records | undefined;
  /** Makes ids that are never made again. Default: random ones. */
  readonly newId?: (() => string) | undefined;
  /** How long a trigger outlives those who registered it, in milliseconds. Default REATTACH_MS. */
  readonly reattachMs?: number | undefined;
}

const OVERRIDE = "override/";
const TRIGGER = "trigger/";
const LEASE = "lease/";

interface Bound {
  readonly trigger: BoundTrigger;
  /** Resolves when it survives the process. */
  kept: Promise<void>;
  /** Ends it unless it is bound again. */
  timer: Timer | undefined;
}

/**
 * The coordinator of a service that is one process: what it is told holds at once.
 *
 * With records, triggers survive a restart: those of before wait for REATTACH_MS to be registered
 * again; gates (`stream:join`) and custom streams as long as it takes, because without them the
 * service would do what it must not. So do subscriptions whose leave was not told.
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
    async close() {
      registry.close();
    },
  };
}

function createRegistry({
  records,
  newId = () => crypto.randomUUID(),
  reattachMs = REATTACH_MS,
}: LocalCoordinatorOptions): Registry & { close(): void } {
  const functions = new Set<string>();
  const overrides = new Set<string>();
  const byIdentity = new Map<string, Bound>();
  const byId = new Map<string, Bound>();
  const listeners = new Set<{ readonly tell: () => void }>();
  let list: readonly BoundTrigger[] | undefined;
  let closed = false;

  const changed = () => {
    list = undefined;
    for (const entry of Array.from(listeners)) if (listeners.has(entry)) entry.tell();
  };
  const add = (trigger: BoundTrigger): Bound => {
    const bound: Bound = { trigger, kept: Promise.resolve(), timer: undefined };
    byIdentity.set(triggerIdentity(trigger.definition), bound);
    byId.set(trigger.id, bound);
    return bound;
  };
  const end = async (bound: Bound) => {
    const { id, definition } = bound.trigger;
    bound.timer?.cancel();
    if (!byId.delete(id)) return;
    byIdentity.delete(triggerIdentity(definition));
    changed();
    await records?.delete(TRIGGER + id);
  };
  const awaitReturn = (bound: Bound) => {
    if (closed || bound.trigger.definition.type === "stream:join") return;
    bound.timer?.cancel();
    // A record that stays although its trigger has ended does no harm: it waits again after a restart.
    bound.timer = startTimer(reattachMs, () => void end(bound).catch(() => {})).unref();
  };
  for (const [key, text] of records?.entries() ?? []) {
    if (key.startsWith(TRIGGER)) awaitReturn(add(JSON.parse(text) as BoundTrigger));
    if (key.startsWith(OVERRIDE)) overrides.add(text);
  }

  return {
    async provide(functionId) {
      functions.add(functionId);
      const isOver = isOverrideId(functionId);
      if (isOver) overrides.add(functionId);
      changed();
      // Also when it is known already: that may not have been noted yet.
      if (isOver) await records?.put(OVERRIDE + functionId, functionId);
    },
    async withdraw(functionId, how) {
      const was = functions.delete(functionId);
      const isOver = how === "withdrawn" && overrides.delete(functionId);
      if (was || isOver) changed();
      if (isOver) await records?.delete(OVERRIDE + functionId);
    },
    provides: (functionId) => functions.has(functionId),
    functions: () => functions,
    overrides: () => overrides,
    async bind(definition: TriggerDefinition) {
      const known = byIdentity.get(triggerIdentity(definition));
      if (known !== undefined) {
        known.timer?.cancel();
        known.timer = undefined;
        await known.kept;
        return known.trigger;
      }
      const bound = add({ id: newId(), definition });
      changed();
      try {
        if (records !== undefined)
          bound.kept = records.put(TRIGGER + bound.trigger.id, JSON.stringify(bound.trigger));
        await bound.kept;
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
    watch(tell) {
      const entry = { tell };
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

function createLeases({ records }: LocalCoordinatorOptions): Leases {
  const orphans = new Map<string, SubscriptionLease>();
  for (const [key, payload] of records?.entries() ?? []) {
    if (!key.startsWith(LEASE)) continue;
    const id = key.slice(LEASE.length);
    orphans.set(id, { id, payload });
  }
  return {
    async hold({ id, payload }) {
      await records?.put(LEASE + id, payload);
    },
    async release(id) {
      orphans.delete(id);
      await records?.delete(LEASE + id);
    },
    onOrphan(listener) {
      for (const lease of orphans.values()) listener(lease);
      return () => {};
    },
  };
}

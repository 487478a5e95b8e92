import type { Registry } from "../core/coordinator.ts";
import type { GroupKey } from "../core/names.ts";
import type { Unwatch } from "../core/watchers.ts";
import type { BoundTrigger, TriggerType } from "../core/trigger.ts";
import { StreamIndex } from "./stream-index.ts";

/** The triggers in force, indexed by what they match. */
export interface Bindings {
  /**
   * Ids of the triggers that an event of this group and item fires: the same object when there are
   * none.
   */
  match(group: GroupKey, itemId: string | undefined): readonly string[];
  /**
   * Ids of the write gates that a write of this group and item asks: the same object when there are
   * none.
   */
  matchGates(group: GroupKey, itemId: string | undefined): readonly string[];
  /** A trigger by its id; undefined when it is not in force. */
  get(id: string): BoundTrigger | undefined;
  /** All triggers of a type. The same array until a trigger or a function changes. */
  ofType(type: TriggerType): readonly BoundTrigger[];
  /** Calls the listener after each change. */
  watch(listener: () => void): Unwatch;
}

/** Keeps the index in step with the registry. */
export function createBindings(registry: Registry): Bindings {
  let byId = new Map<string, BoundTrigger>();
  let byType = new Map<TriggerType, BoundTrigger[]>();
  let ofStreams = new StreamIndex([]);
  let ofWrites = new StreamIndex([]);
  let indexed: readonly BoundTrigger[] | undefined;

  // Refreshed on each read, so that the index is never behind the registry.
  const refresh = () => {
    const triggers = registry.triggers();
    if (triggers === indexed) return;
    indexed = triggers;
    byId = new Map(triggers.map((trigger) => [trigger.id, trigger]));
    byType = new Map();
    for (const trigger of triggers) {
      const { type } = trigger.definition;
      const alike = byType.get(type);
      if (alike === undefined) byType.set(type, [trigger]);
      else alike.push(trigger);
    }
    ofStreams = new StreamIndex(byType.get("stream") ?? []);
    ofWrites = new StreamIndex(byType.get("stream:write") ?? []);
  };

  return {
    match(group, itemId) {
      refresh();
      return ofStreams.match(group, itemId);
    },
    matchGates(group, itemId) {
      refresh();
      return ofWrites.match(group, itemId);
    },
    get(id) {
      refresh();
      return byId.get(id);
    },
    ofType(type) {
      refresh();
      return byType.get(type) ?? NONE;
    },
    watch: (listener) => registry.watch(listener),
  };
}

const NONE: readonly BoundTrigger[] = Object.freeze([]);

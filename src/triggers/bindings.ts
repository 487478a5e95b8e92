import type { Registry } from "../core/coordinator.ts";
import type { GroupKey } from "../core/names.ts";
import type { Unwatch } from "../core/store.ts";
import type { BoundTrigger, TriggerType } from "../core/trigger.ts";

/** The triggers in force, indexed by what they listen to. */
export interface Bindings {
  /** Ids of the triggers that an event of this group and item fires: the same object when there are none. */
  match(group: GroupKey, itemId: string | undefined): readonly string[];
  /** A trigger by its id; undefined when it is not in force. */
  get(id: string): BoundTrigger | undefined;
  /** All of a type. */
  ofType(type: TriggerType): readonly BoundTrigger[];
  /** Calls the listener after each change. */
  watch(listener: () => void): Unwatch;
}

const NONE: readonly string[] = Object.freeze([]);

/** Keeps the index in step with the registry. */
export function createBindings(registry: Registry): Bindings {
  let byId = new Map<string, BoundTrigger>();
  let byStream = new Map<string, BoundTrigger[]>();
  let byType = new Map<TriggerType, BoundTrigger[]>();
  let indexed: readonly BoundTrigger[] | undefined;

  // Looked at when asked, so that nobody sees the registry ahead of the index.
  const refresh = () => {
    const triggers = registry.triggers();
    if (triggers === indexed) return;
    indexed = triggers;
    byId = new Map(triggers.map((trigger) => [trigger.id, trigger]));
    byStream = new Map();
    byType = new Map();
    for (const trigger of triggers) {
      const { type, config } = trigger.definition;
      append(byType, type, trigger);
      if (type === "stream") append(byStream, config.streamName ?? "", trigger);
    }
  };

  return {
    match({ streamName, groupId }, itemId) {
      refresh();
      const candidates = byStream.get(streamName);
      if (candidates === undefined) return NONE;
      const ids: string[] = [];
      for (const { id, definition } of candidates) {
        const { config } = definition;
        if (config.groupId !== undefined && config.groupId !== groupId) continue;
        if (config.itemId !== undefined && config.itemId !== itemId) continue;
        ids.push(id);
      }
      return ids;
    },
    get(id) {
      refresh();
      return byId.get(id);
    },
    ofType(type) {
      refresh();
      return byType.get(type) ?? [];
    },
    watch: (listener) => registry.watch(listener),
  };
}

function append<K>(map: Map<K, BoundTrigger[]>, key: K, trigger: BoundTrigger): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [trigger]);
  else list.push(trigger);
}

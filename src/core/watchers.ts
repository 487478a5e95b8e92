import type { GroupEvent } from "./change.ts";
import { FewMap } from "./few-map.ts";
import type { GroupKey } from "./names.ts";
import { groupKeyText } from "./names.ts";

/** Stops a watch. Idempotent; no event comes after it. */
export type Unwatch = () => void;

/** Receives the events of a group. */
export type GroupListener = (event: GroupEvent) => void;

/** The listeners of a store in this process, by group. */
export interface Watchers {
  /** Calls the listener with every event announced from now on. */
  add(group: GroupKey, listener: GroupListener): Unwatch;
  /**
   * Delivers events to the listeners of a group, one at a time: an announcement made by a listener
   * waits until the current one has reached all listeners, so that all receive one order. A
   * listener that throws affects neither the others nor the caller; its error surfaces as an
   * uncaught one.
   *
   * @param key The group, as groupKeyText.
   */
  announce(key: string, events: readonly GroupEvent[]): void;
  /** Removes all listeners. */
  clear(): void;
}

/** Creates an empty set of listeners. */
export function createWatchers(): Watchers {
  const byGroup = new Map<string, FewMap<{ readonly listener: GroupListener }, true>>();
  const waiting: { key: string; events: readonly GroupEvent[] }[] = [];
  let announcing = false;

  const deliver = (key: string, events: readonly GroupEvent[]) => {
    const listeners = byGroup.get(key);
    if (listeners === undefined) return;
    for (const event of events) {
      // A copy, because a listener may add one that must not receive the current event.
      for (const entry of Array.from(listeners.keys())) {
        if (!listeners.has(entry)) continue;
        try {
          entry.listener(event);
        } catch (error) {
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    }
  };

  return {
    add(group, listener) {
      const key = groupKeyText(group);
      const entry = { listener };
      const listeners = byGroup.get(key) ?? new FewMap();
      listeners.set(entry, true);
      byGroup.set(key, listeners);
      return () => {
        if (listeners.delete(entry) && listeners.size === 0 && byGroup.get(key) === listeners)
          byGroup.delete(key);
      };
    },
    announce(key, events) {
      if (events.length === 0 || (byGroup.size === 0 && !announcing)) return;
      waiting.push({ key, events });
      if (announcing) return;
      announcing = true;
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        deliver(next.key, next.events);
      announcing = false;
    },
    clear() {
      for (const listeners of byGroup.values()) listeners.clear();
      byGroup.clear();
    },
  };
}

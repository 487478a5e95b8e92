import { afterEach } from "vitest";
import type { EngineOptions } from "../../src/service/engine.ts";
import { type StreamService, createStreamService } from "../../src/service/stream-service.ts";
import type { Store } from "../../src/core/store.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";

/** Names of an item, as payloads have them. */
export const group = { stream_name: "chat", group_id: "lobby" };
export const item = { ...group, item_id: "m1" };
/** The same group, for calls of the library. */
export const GROUP = { streamName: "chat", groupId: "lobby" };

/** Function -> the code of its errors, and a valid payload. */
export const FUNCTIONS = [
  ["stream::set", "STREAM_SET_ERROR", { ...item, data: 1 }],
  ["stream::get", "STREAM_GET_ERROR", item],
  ["stream::update", "STREAM_UPDATE_ERROR", { ...item, ops: [] }],
  ["stream::delete", "STREAM_DELETE_ERROR", item],
  ["stream::send", "STREAM_SEND_ERROR", { ...group, type: "typing", data: 1 }],
  ["stream::list", "STREAM_GET_GROUP_ERROR", group],
  ["stream::list_groups", "STREAM_LIST_GROUPS_ERROR", { stream_name: "chat" }],
  ["stream::list_all", "STREAM_LIST_ALL_ERROR", {}],
] as const;

/** Opens services for the tests of a file, and closes them after each. */
export function starter() {
  let services: StreamService[] = [];
  afterEach(async () => {
    const used = services;
    services = [];
    await Promise.all(used.map((service) => service.close()));
  });
  return (options: EngineOptions & { readonly store?: Store } = {}) => {
    const service = createStreamService({
      store: memoryStore({ sweepIntervalMs: 0 }),
      ...options,
    });
    services.push(service);
    /** Calls a function of streams. */
    const call = (name: string, payload?: unknown) =>
      service.trigger({
        function_id: `stream::${name}`,
        ...(payload !== undefined && { payload }),
      });
    /** Writes `count` items to the default group. */
    const fill = async (count: number, data: (i: number) => string | number) => {
      for (let start = 0; start < count; start += 1000) {
        const size = Math.min(1000, count - start);
        const mutations = Array.from({ length: size }, (_, i) => ({
          set: { itemId: `i${start + i}`, data: data(start + i) },
        }));
        await service.batch({ ...GROUP, mutations });
      }
    };
    return { service, call, fill };
  };
}

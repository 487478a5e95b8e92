import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { opsFromJson } from "../../../src/core/op-json.ts";
import { reduce } from "../../../src/core/reduce.ts";
import type { Store } from "../../../src/core/store.ts";
import { type Json, Value } from "../../../src/core/value.ts";
import type { EngineOptions } from "../../../src/service/engine.ts";
import type { StreamFrame } from "../../../src/service/library-types.ts";
import type { StreamAdapter } from "../../../src/service/stream-adapter.ts";
import { type StreamService, createStreamService } from "../../../src/service/stream-service.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { memoryStore } from "../../../src/stores/memory/memory-store.ts";

/** The custom stream of most tests, and an item of it. */
export const GROUP = { streamName: "stock", groupId: "shop" } as const;
export const TEA = { ...GROUP, itemId: "tea" } as const;

/** Openers of empty stores, in memory and on disk. */
export const STORES: readonly { readonly kind: string; open(): Promise<Store> }[] = [
  { kind: "memory", open: async () => memoryStore({ sweepIntervalMs: 0 }) },
  {
    kind: "lmdb",
    async open() {
      const folder = await mkdtemp(join(tmpdir(), "millrace-custom-"));
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      return {
        ...store,
        async close() {
          await store.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  },
];

/** Opens services for the tests of a file, and closes them after each. */
export function servicesOf(
  open: () => Promise<Store> = async () => memoryStore({ sweepIntervalMs: 0 }),
): (options?: EngineOptions) => Promise<StreamService> {
  let services: StreamService[] = [];
  afterEach(async () => {
    const used = services;
    services = [];
    await Promise.all(used.map((service) => service.close()));
  });
  return async (options = {}) => {
    const service = createStreamService({ store: await open(), ...options });
    services.push(service);
    return service;
  };
}

/** Values stored outside, and the calls made for them. */
export interface Table extends Required<StreamAdapter> {
  /** Group -> item -> value. */
  readonly groups: Map<string, Map<string, unknown>>;
  /** Name and input of every call, in order. */
  readonly calls: [method: string, input: Record<string, unknown>][];
  /** The values of the default group. */
  readonly rows: Map<string, unknown>;
}

/** An adapter with every method, over a map. Its writes return nothing. */
export function table(rows: Readonly<Record<string, unknown>> = {}): Table {
  const groups = new Map<string, Map<string, unknown>>();
  const calls: Table["calls"] = [];
  const rowsOf = (groupId: string) => {
    const known = groups.get(groupId) ?? new Map<string, unknown>();
    groups.set(groupId, known);
    return known;
  };
  const noted =
    <I extends object, R>(method: string, run: (input: I) => R) =>
    (input: I): R => {
      calls.push([method, input as Record<string, unknown>]);
      return run(input);
    };
  for (const [itemId, value] of Object.entries(rows)) rowsOf(GROUP.groupId).set(itemId, value);
  return {
    groups,
    calls,
    rows: rowsOf(GROUP.groupId),
    get: noted("get", ({ group_id, item_id }) => rowsOf(group_id).get(item_id)),
    set: noted("set", ({ group_id, item_id, data }) => void rowsOf(group_id).set(item_id, data)),
    update: noted("update", ({ group_id, item_id, ops }) => {
      const row = rowsOf(group_id).get(item_id);
      const current = row === undefined ? undefined : Value.of(row);
      rowsOf(group_id).set(item_id, reduce(current, opsFromJson(ops)).value.json());
    }),
    delete: noted("delete", ({ group_id, item_id }) => void rowsOf(group_id).delete(item_id)),
    list: noted("list", ({ group_id }) => Array.from(rowsOf(group_id).values())),
    listGroups: noted("listGroups", () =>
      Array.from(groups.keys()).filter((groupId) => rowsOf(groupId).size > 0),
    ),
  };
}

/** An adapter with only some of its methods. */
export function only(adapter: StreamAdapter, ...methods: (keyof StreamAdapter)[]): StreamAdapter {
  return Object.fromEntries(methods.map((method) => [method, adapter[method]]));
}

/** An adapter without some of its methods. */
export function without(
  adapter: StreamAdapter,
  ...methods: (keyof StreamAdapter)[]
): StreamAdapter {
  const all = ["get", "set", "update", "delete", "list", "listGroups"] as const;
  return only(adapter, ...all.filter((method) => !methods.includes(method)));
}

/** The next frames of a subscription. */
export async function take(
  frames: AsyncIterator<StreamFrame, undefined>,
  count: number,
): Promise<StreamFrame[]> {
  const taken: StreamFrame[] = [];
  while (taken.length < count) {
    const { done, value } = await frames.next();
    if (done === true) throw new Error(`The subscription ended after ${taken.length} frames.`);
    taken.push(value);
  }
  return taken;
}

/** All items of a group as [id, value, revision]. */
export async function itemsOf(
  service: StreamService,
  group: { readonly streamName: string; readonly groupId: string } = GROUP,
): Promise<readonly (readonly [string, Json, number])[]> {
  const { items } = await service.list({ ...group, pageSize: 1000 });
  return items.map(({ itemId, data, revision }) => [itemId, data, revision] as const);
}

/** A promise that the test resolves. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

/** Why a call was refused. */
export async function reasonOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return "not refused";
  } catch (error) {
    return (error as { readonly reason?: unknown }).reason;
  }
}

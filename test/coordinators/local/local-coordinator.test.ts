import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { localCoordinator } from "../../../src/coordinators/local/local-coordinator.ts";
import { type Coordinator, ORDER_TIMEOUT_MS, REATTACH_MS } from "../../../src/core/coordinator.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { tempFolders } from "../../stores/lmdb/temp-folder.ts";
import { describeCoordinator } from "../suite/coordinator.suite.ts";
import { gateBy, idsOf, triggerFor } from "../suite/fleet.ts";

describeCoordinator("local", (request) => {
  const open: Coordinator[] = [];
  return {
    survives: false,
    processes: 1,
    async join() {
      const coordinator = localCoordinator(request);
      open.push(coordinator);
      return coordinator;
    },
    async dispose() {
      await Promise.all(open.map((coordinator) => coordinator.close()));
    },
  };
});

describeCoordinator("local, with its state on disk,", (request) => {
  const open: Coordinator[] = [];
  let folder: string | undefined;
  return {
    survives: true,
    processes: 1,
    async join() {
      folder ??= await mkdtemp(join(tmpdir(), "millrace-fleet-"));
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      const local = localCoordinator({ ...request, serviceState: store.serviceState });
      const coordinator: Coordinator = {
        ...local,
        async close() {
          await local.close();
          await store.close();
        },
      };
      open.push(coordinator);
      return coordinator;
    },
    async dispose() {
      await Promise.all(open.map((coordinator) => coordinator.close()));
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
});

describe("a local coordinator", () => {
  it("fails orders whose handler does not end in time", async () => {
    vi.useFakeTimers();
    const { orders } = localCoordinator();
    orders.serve(() => new Promise(() => {}));
    const issuing = orders.issue("1").catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(ORDER_TIMEOUT_MS);
    expect(await issuing).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
  });

  const tempFolder = tempFolders();
  const openStore = async () => openLmdbStore({ folder: await tempFolder(), sweepIntervalMs: 0 });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("keeps triggers for half a minute after their last registrant by default", async () => {
    vi.useFakeTimers();
    const { registry, close } = localCoordinator();
    const { id } = await registry.bind(triggerFor("f"));
    const gate = await registry.bind(gateBy("f"));
    await registry.unbind(id, "lost");
    await registry.unbind(gate.id, "lost");
    expect(REATTACH_MS).toBe(30_000);
    vi.advanceTimersByTime(29_999);
    expect(idsOf(registry)).toEqual([id, gate.id].sort());
    vi.advanceTimersByTime(1);
    expect(idsOf(registry)).toEqual([gate.id]);
    await close();
  });

  it("restarts the reattach time with each start, and ends nothing once it has closed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const store = await openStore();
    const first = localCoordinator({ serviceState: store.serviceState });
    const { id } = await first.registry.bind(triggerFor("f"));
    await first.registry.unbind(id, "lost");
    vi.advanceTimersByTime(29_999);
    await first.close();
    await first.registry.unbind(id, "lost");
    vi.advanceTimersByTime(60_000);
    // Pending writes have completed by now.
    await store.serviceState.put("other", "");
    const second = localCoordinator({ serviceState: store.serviceState });
    vi.advanceTimersByTime(29_999);
    expect(idsOf(second.registry)).toEqual([id]);
    vi.advanceTimersByTime(1);
    expect(idsOf(second.registry)).toEqual([]);
    await second.close();
    await store.close();
  });

  it("uses the given generator of trigger ids", async () => {
    let made = 0;
    const { registry } = localCoordinator({ newId: () => `id${++made}` });
    await registry.bind(triggerFor("f"));
    await registry.bind(triggerFor("g"));
    await registry.bind(triggerFor("f"));
    expect(idsOf(registry)).toEqual(["id1", "id2"]);
  });

  it("resolves a registration once it is on disk, also one that joins another (G6)", async () => {
    const store = await openStore();
    const { registry, leases } = localCoordinator({ serviceState: store.serviceState });
    const keys = () => store.serviceState.entries().map(([key]) => key);
    const calls = [
      registry.bind(triggerFor("f")),
      registry.bind(triggerFor("f")),
      registry.provide("stream::get(orders)"),
      registry.provide("stream::get(orders)"),
      leases.hold({ id: "a", payload: "{}" }),
    ];
    const seen = await Promise.all(calls.map(async (call) => (await call, keys().length)));
    expect(seen).toEqual([3, 3, 3, 3, 3]);
    await store.close();
  });

  it("ends a registration that it could not persist, and notifies watchers", async () => {
    const store = await openStore();
    const { registry, leases } = localCoordinator({ serviceState: store.serviceState });
    await store.close();
    const counts: number[] = [];
    registry.watch(() => counts.push(registry.triggers().length));
    const unavailable = { reason: "STORE_UNAVAILABLE" };
    const calls = [registry.bind(triggerFor("f")), registry.bind(triggerFor("f"))];
    for (const call of calls) await expect(call).rejects.toMatchObject(unavailable);
    expect(registry.triggers()).toEqual([]);
    expect(counts).toEqual([1, 0]);
    await expect(leases.hold({ id: "a", payload: "{}" })).rejects.toMatchObject(unavailable);
  });
});

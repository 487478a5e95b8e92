import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLocalSessions } from "../../src/coordinators/local/local-sessions.ts";
import { StreamError } from "../../src/core/errors.ts";
import type { Store } from "../../src/core/store.ts";
import { endBoundItems } from "../../src/lifetimes/bound-items.ts";
import {
  type ConnectionSweep,
  startConnectionSweep,
} from "../../src/lifetimes/connection-sweep.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { promised } from "../support/gates/calls.ts";
import { commit, contents, groupOf, put } from "../stores/suite/fixture.ts";
import { mortal } from "../stores/suite/lifetimes.ts";

const group = groupOf("room");
let store: Store;
const closers: (() => Promise<void>)[] = [];
beforeEach(() => {
  store = memoryStore();
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await store.close();
});

interface Given {
  readonly connected: (connections: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly survive: boolean;
}
function start(agreed: Given, intervalMs?: number) {
  const problems: unknown[] = [];
  const sweep: ConnectionSweep = startConnectionSweep({
    store,
    agreed,
    intervalMs,
    endItems: async (connection) => endBoundItems(connection, { store, firing: () => undefined }),
    onProblem: (error) => problems.push(error),
  });
  closers.push(() => sweep.close());
  return { sweep, problems };
}
const ids = async () => (await contents(store, group)).map(([id]) => id);
const bindTo = async (connection: string) =>
  commit(store, group, mortal(connection, { connection }));
/** Resolves when a group has changed. */
async function nextChange() {
  const changed = promised();
  const unwatch = await store.watch(group, () => changed.resolve());
  return changed.promise.then(unwatch);
}

describe("the start of a service of one process", () => {
  it("deletes what is bound to connections of its former life, and nothing else", async () => {
    const sessions = createLocalSessions();
    await sessions.begin({ id: "s", owner: "ann", connectionId: "open" });
    for (const each of ["gone", "open", "gone, too"]) await bindTo(each);
    await commit(store, group, put("stays", 1));
    await start(sessions).sweep.sweep();
    expect(await ids()).toEqual(["open", "stays"]);
  });

  it("deletes it all, however many there are", async () => {
    for (let i = 0; i < 600; i++) await bindTo(`c${i}`);
    await start(createLocalSessions()).sweep.sweep();
    expect(await ids()).toEqual([]);
  });

  it("tries again when the store fails", async () => {
    await bindTo("gone");
    const { lifetimes } = store;
    let isWorking = false;
    store = {
      ...store,
      lifetimes: {
        ...lifetimes,
        async connections(page) {
          if (isWorking) return lifetimes.connections(page);
          isWorking = true;
          throw new StreamError("STORE_UNAVAILABLE", "The disk is away.");
        },
      },
    };
    const changed = nextChange();
    const { problems } = start(createLocalSessions(), 1);
    await changed;
    expect(await ids()).toEqual([]);
    expect(problems).toMatchObject([{ reason: "STORE_UNAVAILABLE" }]);
  });
});

describe("the sweep of a fleet", () => {
  const nobody: Given = { survive: true, connected: async () => new Set() };

  it("deletes what is bound to a connection that had no session in four looks in a row", async () => {
    await bindTo("gone");
    const { sweep } = start(nobody, Infinity);
    for (let looks = 0; looks < 3; looks++) await sweep.sweep();
    expect(await ids()).toEqual(["gone"]);
    await sweep.sweep();
    expect(await ids()).toEqual([]);
  });

  it("keeps what is bound to a connection whose session is recorded anew", async () => {
    await bindTo("back");
    const open = new Set<string>();
    const { sweep } = start({ survive: true, connected: async () => open }, Infinity);
    for (let looks = 0; looks < 3; looks++) await sweep.sweep();
    open.add("back");
    await sweep.sweep();
    open.delete("back");
    for (let looks = 0; looks < 3; looks++) await sweep.sweep();
    expect(await ids()).toEqual(["back"]);
  });

  it("lists rarely, and looks up only suspects in between", async () => {
    for (const each of ["gone", "open"]) await bindTo(each);
    const looks: (readonly string[])[] = [];
    const changed = nextChange();
    const connected = async (connections: readonly string[]) => {
      looks.push(connections.toSorted());
      return new Set(connections.filter((each) => each === "open"));
    };
    start({ survive: true, connected }, 1);
    await changed;
    expect(looks).toEqual([["gone", "open"], ["gone"], ["gone"], ["gone"]]);
    expect(await ids()).toEqual(["open"]);
  });

  it("goes on by itself", async () => {
    await bindTo("gone");
    const changed = nextChange();
    start(nobody, 1);
    await changed;
    expect(await ids()).toEqual([]);
  });
});

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLocalSessions } from "../../src/coordinators/local/local-sessions.ts";
import type { SessionConnection } from "../../src/core/connection.ts";
import type { SessionRecord, Sessions } from "../../src/core/coordinator.ts";
import { StreamError } from "../../src/core/errors.ts";
import type { Store } from "../../src/core/store.ts";
import { type Connections, createConnections } from "../../src/lifetimes/connections.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { promised } from "../support/gates/calls.ts";
import { commit, contents, groupOf, put } from "../stores/suite/fixture.ts";
import { mortal } from "../stores/suite/lifetimes.ts";

const group = groupOf("room");
const SESSION: SessionRecord = { id: "session", owner: "ann", connectionId: "C" };

let store: Store;
/** The store as connections see it: it may fail. */
let given: Store;
let agreed: Sessions;
let problems: unknown[];
let connections: Connections;
let connection: SessionConnection;
let onLapse = () => {};

function open(session = SESSION) {
  connections = createConnections({
    get store() {
      return given;
    },
    agreed,
    orders: {
      onLapse(listener) {
        onLapse = listener;
        return () => {};
      },
    },
    firing: () => undefined,
    onProblem: (error) => problems.push(error),
  });
  connection = connections.open(session);
}
beforeEach(async () => {
  store = memoryStore();
  given = store;
  agreed = createLocalSessions();
  problems = [];
  await agreed.begin(SESSION);
  open();
});
afterEach(async () => {
  await connections.close();
  await store.close();
});

const ids = async () => (await contents(store, group)).map(([id]) => id);
/** Binds an item, once `before` has resolved. */
const bind = async (itemId: string, before: Promise<void> = Promise.resolve()) =>
  connection.bind(group, async () => {
    await before;
    return commit(store, group, mortal(itemId, { connection: "C" }));
  });
/** Ends the session, and its connection. */
const end = async () => {
  await agreed.end(SESSION.id);
  connection.end(true);
};

describe("the end of a connection", () => {
  it("waits for the writes that bind items, and deletes what they wrote", async () => {
    const { promise, resolve } = promised();
    await bind("early");
    const late = bind("late", promise);
    await end();
    await commit(store, group, put("stays", 1));
    resolve();
    await late;
    await connections.close();
    expect(await ids()).toEqual(["stays"]);
  });

  it("refuses later writes before they begin", async () => {
    await bind("early");
    await end();
    await expect(bind("late")).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "while_connected" },
    });
    await connections.close();
    expect(await ids()).toEqual([]);
  });

  it("deletes what a failed write left, and one with an unknown outcome", async () => {
    const failing = connection.bind(group, async () => {
      await commit(store, group, mortal("a", { connection: "C" }));
      throw new StreamError("OUTCOME_UNKNOWN", "The reply was lost.");
    });
    await expect(failing).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    await end();
    await connections.close();
    expect(await ids()).toEqual([]);
  });

  it("is retried until the store has deleted everything", async () => {
    await bind("a");
    let failures = 0;
    given = {
      ...store,
      run: async (...args) => {
        if (failures++ > 0) return store.run(...args);
        throw new StreamError("STORE_UNAVAILABLE", "The store is away.");
      },
    };
    await end();
    const gone = promised();
    await store.watch(group, () => gone.resolve());
    await gone.promise;
    expect(await ids()).toEqual([]);
    expect(problems).toMatchObject([{ reason: "STORE_UNAVAILABLE" }]);
  });

  it("deletes items of a few connections at a time, and waits for no write of another", async () => {
    const { promise, resolve } = promised();
    const { lifetimes } = store;
    let [looking, most] = [0, 0];
    given = {
      ...store,
      lifetimes: {
        ...lifetimes,
        async boundTo(...args) {
          most = Math.max(most, ++looking);
          const found = await lifetimes.boundTo(...args);
          looking--;
          return found;
        },
      },
    };
    const stuck: Promise<unknown>[] = [];
    for (let i = 0; i < 300; i++) {
      const connectionId = `C${i}`;
      const session = { id: `s${i}`, owner: "ann", connectionId };
      await agreed.begin(session);
      const each = connections.open(session);
      const isStuck = i < 100;
      const write = each.bind(group, async () => {
        if (isStuck) await promise;
        return commit(
          store,
          group,
          mortal(`${isStuck ? "stuck" : "i"}${i}`, { connection: connectionId }),
        );
      });
      if (isStuck) stuck.push(write);
      else await write;
      await agreed.end(session.id);
      each.end(true);
    }
    const gone = async () => {
      for (;;) {
        const changed = promised();
        const unwatch = await store.watch(group, () => changed.resolve());
        if ((await ids()).length === 0) return unwatch();
        await changed.promise;
        unwatch();
      }
    };
    await gone();
    resolve();
    await Promise.all(stuck);
    await connections.close();
    expect(await ids()).toEqual([]);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(128);
  });

  it("reads nothing from the store where nothing was bound", async () => {
    given = {
      ...store,
      get lifetimes(): never {
        throw new Error("It is read.");
      },
    };
    await end();
    await connections.close();
    expect(problems).toEqual([]);
  });
});

describe("a connection whose session continues at another process", () => {
  it("keeps what is bound to it", async () => {
    await bind("a");
    connection.end(false);
    await connections.close();
    expect(await ids()).toEqual(["a"]);
  });

  it("keeps nothing that is written after the session has ended there", async () => {
    const { promise, resolve } = promised();
    await bind("early");
    const late = bind("late", promise);
    connection.end(false);
    // The other process deletes what it finds.
    await agreed.end(SESSION.id);
    await commit(store, group, { kind: "delete", itemId: "early" });
    resolve();
    await late;
    await connections.close();
    expect(await ids()).toEqual([]);
  });

  it("keeps nothing of a write that finds the session ended", async () => {
    await agreed.end(SESSION.id);
    await expect(bind("a")).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
    await connections.close();
    expect(await ids()).toEqual([]);
  });

  it("is deleted as a whole by the process that ends it, which has not seen its writes", async () => {
    await bind("a");
    const other = connections.open({ ...SESSION, isBound: true });
    connection.end(false);
    await agreed.end(SESSION.id);
    other.end(true);
    await connections.close();
    expect(await ids()).toEqual([]);
  });
});

describe("a write that binds an item", () => {
  it("is acknowledged only after the fleet has recorded that items are bound to the connection", async () => {
    await connections.close();
    const { bind: known } = agreed;
    let isReachable = false;
    agreed.bind = async (session) => {
      if (isReachable) return known(session);
      throw new StreamError("STORE_UNAVAILABLE", "Redis is away.");
    };
    open();
    await expect(bind("a")).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    isReachable = true;
    await bind("b");
    await end();
    await connections.close();
    expect(await ids()).toEqual([]);
  });

  it("notifies the holder of the connection once, even one that is set later", async () => {
    const story: string[] = [];
    const holder = (name: string) => ({
      onBound: () => void story.push(`${name} is bound`),
      onLapse: () => void story.push(`${name} lapses`),
    });
    connection.holdBy(holder("one"));
    onLapse();
    await Promise.all([bind("a"), bind("b")]);
    onLapse();
    connection.holdBy(holder("two"));
    onLapse();
    expect(story).toEqual(["one is bound", "one lapses", "two is bound", "two lapses"]);
  });
});

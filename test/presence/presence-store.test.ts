import { describe, expect, it } from "vitest";
import { groupKeyText } from "../../src/core/names.ts";
import {
  AFTER_PRESENCE_STREAMS,
  MAX_PRESENT_NAME_BYTES,
  isPresenceStream,
  presenceBaseOf,
  presenceStreamOf,
} from "../../src/core/presence-stream.ts";
import { compareUtf8 } from "../../src/core/text.ts";
import type { GroupKey } from "../../src/core/names.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { withPresence } from "../../src/presence/presence-store.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

const put = async (store: Store, group: GroupKey) =>
  store.run(group, [{ mutations: [{ kind: "put", itemId: "i", value: Value.of(1) }] }]);

/** Streams around those of presence in the order of listings, and some of these. */
const STREAMS = [
  "a",
  "millrace:dead-letters",
  "millrace:presence",
  "millrace:presence:",
  "millrace:presence:a",
  "millrace:presence:\u{10ffff}",
  "millrace:presence;",
  "z",
];

/** Lists all groups, in pages of a size. */
async function listed(store: Store, limit: number): Promise<string[]> {
  const found: string[] = [];
  for (let after: GroupKey | undefined; ;) {
    const page = await store.allGroups({ limit, ...(after !== undefined && { after }) });
    found.push(...page.groups.map(groupKeyText));
    expect(page.streamCount).toBe(5);
    after = page.groups.at(-1);
    if (after === undefined) return found;
  }
}

async function expectUnlisted(store: Store): Promise<void> {
  for (const streamName of STREAMS)
    for (const groupId of ["g", "h"]) await put(store, { streamName, groupId });
  const others = STREAMS.filter((name) => !isPresenceStream(name));
  const expected = others.flatMap((name) => [`${name}\u0000g`, `${name}\u0000h`]);
  for (const limit of [1, 2, 3, 5, 7, 100]) expect(await listed(store, limit)).toEqual(expected);
  expect(await store.groups("millrace:presence:a", { limit: 10 })).toEqual([]);
  expect(await store.groups("a", { limit: 10 })).toEqual(["g", "h"]);
}

describe("the name of a stream of presence", () => {
  it("is that of the base behind a prefix, as long as it is a name", () => {
    const longest = "é".repeat(MAX_PRESENT_NAME_BYTES / 2);
    for (const base of ["chat", "presence:chat", longest])
      expect(presenceBaseOf(presenceStreamOf(base) ?? "")).toBe(base);
    expect(MAX_PRESENT_NAME_BYTES).toBe(238);
    expect(presenceStreamOf(`${longest}x`)).toBeUndefined();
  });

  it("does not exist for streams of the service itself", () => {
    expect(presenceStreamOf("millrace:presence:chat")).toBeUndefined();
    expect(presenceStreamOf("millrace:dead-letters")).toBeUndefined();
  });

  it("comes before the cursor after all of them", () => {
    const cursor = groupKeyText(AFTER_PRESENCE_STREAMS);
    const isBefore = STREAMS.filter((name) => compareUtf8(`${name}\u0000g`, cursor) < 0);
    expect(isBefore).toEqual(STREAMS.slice(0, 6));
  });
});

describe("a store with presence", () => {
  it("keeps groups of presence apart in a service of one process, and lists none", async () => {
    const inner = memoryStore();
    const store = withPresence(inner, false, () => ({
      maxChanges: 10,
      maxAgeMs: 1000,
      maxBytes: 1000,
    }));
    await expectUnlisted(store);
    const { groups } = await inner.allGroups({ limit: 100 });
    expect(groups.filter(({ streamName }) => isPresenceStream(streamName))).toEqual([]);
    const both = [
      { streamName: "millrace:presence:a", groupId: "g" },
      { streamName: "a", groupId: "g" },
      { streamName: "millrace:presence:a", groupId: "never" },
    ];
    const heads = await store.heads(both);
    expect(heads.map(({ position }) => position.revision)).toEqual([1, 1, 0]);
    expect(heads[0]?.position.epoch).not.toBe(heads[1]?.position.epoch);
    await store.close();
  });

  it("finds what is bound to a connection in both", async () => {
    const store = withPresence(memoryStore(), false, () => ({
      maxChanges: 10,
      maxAgeMs: 1000,
      maxBytes: 1000,
    }));
    const bind = async (streamName: string, connection: string) =>
      store.run({ streamName, groupId: connection }, [
        {
          mutations: [{ kind: "put", itemId: "i", value: Value.of(1), lifetime: { connection } }],
        },
      ]);
    await bind("a", "c2");
    await bind("millrace:presence:a", "c2");
    await bind("millrace:presence:a", "c1");
    await bind("b", "c3");
    const bound = await store.lifetimes.boundTo("c2", 10);
    expect(bound.map(({ group }) => group.streamName).toSorted()).toEqual([
      "a",
      "millrace:presence:a",
    ]);
    await store.close();
  });
});

describeWithRedis("a store with presence in Redis", () => {
  it("lists no groups of presence, and does not count them", async () => {
    const { url } = await sharedRedis();
    const { store } = await openForTest(url, { keyPrefix: randomPrefix() });
    await expectUnlisted(withPresence(store, true, () => expect.fail("there is one store")));
  });
});

import { describe, expect, it, onTestFinished } from "vitest";
import type { ChangeEvent, Item, TransientEvent } from "../../../src/core/change.ts";
import { Value } from "../../../src/core/value.ts";
import {
  decodeMessage,
  decodeOutboxEntry,
  unpackChange,
  unpackItem,
  unpackValue,
} from "../../../src/stores/redis/encoding.ts";
import { layoutKey, redisKeys } from "../../../src/stores/redis/keys.ts";
import { startRedis } from "../../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { authorsOf, commitAs, loggedAuthors, sendAs, waitingAuthors } from "../suite/authors.ts";
import { ALL, groupOf, plain, put, remove } from "../suite/fixture.ts";
import { firing } from "../suite/outbox.ts";

const group = groupOf("g", "s");
const nowMs = 1_700_000_000_000;
const value = Value.of({ n: [1, "é"] });

const ITEM: Item = {
  itemId: "tée",
  value,
  revision: 1,
  createTimeMs: nowMs,
  updateTimeMs: nowMs,
  author: "",
};
const CHANGE: ChangeEvent = {
  kind: "change",
  type: "create",
  itemId: "tée",
  value,
  position: { epoch: "e", revision: 1 },
  timestamp: nowMs,
  timeMs: nowMs,
  author: "",
};
const EVENT: TransientEvent = {
  kind: "event",
  type: "ping",
  itemId: undefined,
  value,
  after: { epoch: "e", revision: 1 },
  timestamp: nowMs + 1,
  author: "",
};

const TEXT = Buffer.from(value.text).toString("hex");
/** The records as versions without authors wrote them. */
const OLD = {
  item: bytes(`3ff00000000000003ff00000000000004278bcfe568000004278bcfe568000000000001c${TEXT}`),
  change: bytes(`003ff00000000000004278bcfe568000004278bcfe568000000000001c000474c3a965${TEXT}`),
  changes: bytes(
    `043ff0000000000000000001650000003100` +
      `3ff00000000000004278bcfe568000004278bcfe568000000000001c000474c3a965${TEXT}`,
  ),
  event: bytes(`020001653ff00000000000004278bcfe568010000000001c0004ffff70696e67${TEXT}`),
  changeEntry: bytes(
    `000100030000000701657300675b302c2274225d` +
      `003ff00000000000004278bcfe568000004278bcfe568000000000001c000474c3a965${TEXT}`,
  ),
  eventEntry: bytes(
    `000100030000000702657300675b302c2274225d` +
      `3ff00000000000004278bcfe568010000000001c0004ffff70696e67${TEXT}`,
  ),
};

/** Runs a command, and returns all strings of its reply in hexadecimal. */
const HEX = `
  local found = {}
  local function collect(reply)
    if type(reply) == 'table' then for _, each in ipairs(reply) do collect(each) end
    else
      local hex = string.gsub(reply, '.', function(c) return string.format('%02x', string.byte(c)) end)
      found[#found + 1] = hex
    end
  end
  collect(redis.call(unpack(ARGV)))
  return found`;

function bytes(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}

describe("the records of versions without authors", () => {
  it("have no author", () => {
    expect(unpackItem("tée", OLD.item)).toEqual({ item: ITEM, createdRevision: 1 });
    expect(unpackValue(OLD.item).json()).toEqual(value.json());
    expect(unpackChange(OLD.change, "e")).toEqual(CHANGE);
    expect(decodeMessage(OLD.changes)).toEqual({
      events: [CHANGE],
      known: { commits: 1, lineage: "" },
    });
    expect(decodeMessage(OLD.event)?.events).toEqual([EVENT]);
    const head = { seq: 1, group, triggers: ["t"], depth: 0 };
    expect(decodeOutboxEntry(1, OLD.changeEntry, null)).toEqual({ ...head, event: CHANGE });
    expect(decodeOutboxEntry(1, OLD.eventEntry, null)).toEqual({ ...head, event: EVENT });
  });
});

describeWithRedis("the records of a redis store", () => {
  /** A server, the keys of a group on it, and stores of several processes. */
  async function started() {
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    const keyPrefix = randomPrefix();
    const keys = redisKeys(keyPrefix, 1);
    const options = { keyPrefix, partitions: 1, clock: () => nowMs, newEpoch: () => "e" };
    const open = async () => (await openForTest(redis.url, options)).store;
    const { outbox } = keys.ofPartition(0);
    const layout = layoutKey(keyPrefix).key;
    return { redis, open, ...keys.ofGroup(0, "s\u0000g"), outbox, layout };
  }

  it("without author are those of versions without authors, byte by byte", async () => {
    const { redis, open, items, log, outbox } = await started();
    const store = await open();
    await store.run(group, [{ mutations: [firing(put("tée", value.json()), "t")], author: "" }]);
    const fires = { triggers: ["t"], depth: 0 };
    await store.broadcast(group, { type: "ping", itemId: undefined, value, author: "", fires });
    const hexOf = (...command: string[]) =>
      redis.command("EVAL", HEX, 0, ...command) as Promise<string[]>;
    expect(await hexOf("HGET", items, "tée")).toEqual([OLD.item.toString("hex")]);
    expect(await hexOf("LINDEX", log, "0")).toEqual([OLD.change.toString("hex")]);
    const entries = await hexOf("XRANGE", outbox, "-", "+");
    expect(entries).toContain(OLD.changeEntry.toString("hex"));
    expect(entries).toContain(OLD.eventEntry.toString("hex"));
  });

  it("of a process without authors are read, and written on", async () => {
    const { redis, open, items, log } = await started();
    const store = await open();
    // The head and the order of the group are those of any version.
    await store.run(group, [{ mutations: [put("tée", value.json())], author: "user:ann" }]);
    await redis.command("HSET", items, "tée", OLD.item);
    await redis.command("LSET", log, 0, OLD.change);
    expect((await store.get(group, "tée")).item).toEqual(ITEM);
    const replay = await store.since(group, { epoch: "", revision: 0 }, ALL);
    expect(replay.lost ? [] : replay.changes.map(plain)).toEqual([
      { ...plain(CHANGE), position: replay.head },
    ]);
    const author = "user:bob";
    const [outcome] = await store.run(group, [{ mutations: [remove("tée")], author }]);
    expect(outcome?.ok === true && outcome.results[0]?.oldValue?.json()).toEqual(value.json());
  });

  it("get a format that earlier versions refuse before the first author, in the order of the calls", async () => {
    const { redis, open, layout } = await started();
    const formatOf = async () => redis.command("HGET", layout, "format");
    const store = await open();
    await commitAs(store, undefined, put("a", 1));
    expect(await formatOf()).toBe("1");
    await Promise.all([
      commitAs(store, "user:ann", put("b", 1)),
      commitAs(store, undefined, put("c", 1)),
      sendAs(store, "user:bob"),
      commitAs(store, undefined, put("d", 1)),
    ]);
    expect(await formatOf()).toBe("2");
    expect(await loggedAuthors(store)).toEqual(["", "user:ann", "", ""]);
    const { items } = await (await open()).list(groupOf("room"), ALL);
    expect(items.map(({ itemId }) => itemId)).toEqual(["a", "b", "c", "d"]);
  });

  it("write nothing when the format cannot be set, and try again with the next author", async () => {
    const { redis, open, layout } = await started();
    const store = await open();
    await redis.command("DEL", layout);
    await redis.command("SET", layout, "in the way");
    const refused = commitAs(store, "user:ann", put("a", 1));
    await expect(refused).rejects.toMatchObject({ code: "internal" });
    await commitAs(store, undefined, put("b", 1));
    await redis.command("DEL", layout);
    await commitAs(store, "user:ann", put("c", 1));
    expect(await loggedAuthors(store)).toEqual(["", "user:ann"]);
  });

  it("have no author while a process of the fleet may not read them", async () => {
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    let isOldThere = true;
    const { store } = await openForTest(redis.url, { mayWriteAuthors: () => !isOldThere });
    await commitAs(store, "user:ann", firing(put("a", 1), "t"));
    await sendAs(store, "user:ann");
    isOldThere = false;
    await commitAs(store, "user:bob", firing(put("b", 1), "t"));
    await sendAs(store, "user:bob");
    expect(authorsOf((await store.list(groupOf("room"), ALL)).items)).toEqual({
      a: "",
      b: "user:bob",
    });
    expect(await waitingAuthors(store)).toEqual(["", "", "user:bob", "user:bob"]);
  });

  it("have their authors at another process, which takes over: items, log and outbox (G6)", async () => {
    const { open } = await started();
    const first = await open();
    await commitAs(first, "user:ann", firing(put("a", 1), "t"), put("b", 1));
    await commitAs(first, undefined, firing(put("c", 1), "t"));
    await commitAs(first, "key:backend", put("b", 2), firing(remove("a"), "t"));
    await sendAs(first, "user:bob");
    const second = await open();
    await first.close();
    const room = groupOf("room");
    expect(authorsOf((await second.list(room, ALL)).items)).toEqual({ b: "key:backend", c: "" });
    expect(await loggedAuthors(second)).toEqual([
      ...["user:ann", "user:ann", "", "key:backend", "key:backend"],
    ]);
    expect(await waitingAuthors(second)).toEqual(["user:ann", "", "key:backend", "user:bob"]);
  });
});

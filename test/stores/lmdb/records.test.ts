import { describe, expect, it } from "vitest";
import type { ChangeEvent, Item, TransientEvent } from "../../../src/core/change.ts";
import { Value } from "../../../src/core/value.ts";
import {
  EMPTY_LOG,
  NO_GROUP,
  decodeLogEntry,
  decodeItem,
  encodeLogEntry,
  encodeGroup,
  encodeItem,
  encodeNumber,
  entryExtent,
} from "../../../src/stores/lmdb/encoding.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import {
  changeKey,
  groupName,
  headKey,
  indexKey,
  itemIdKey,
  itemKey,
} from "../../../src/stores/lmdb/keys.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { decodeEntry, encodeEntry } from "../../../src/stores/lmdb/outbox-encoding.ts";
import { authorsOf, commitAs, loggedAuthors, sendAs, waitingAuthors } from "../suite/authors.ts";
import { ALL, groupOf, plain, put, remove } from "../suite/fixture.ts";
import { firing } from "../suite/outbox.ts";
import { tempFolders } from "./temp-folder.ts";

const value = Value.of({ n: [1, "é"] });
const group = groupOf("room");

const ITEM: Item = {
  itemId: "tée",
  value,
  revision: 7,
  createTimeMs: 1_700_000_000_000,
  updateTimeMs: 1_700_000_000_001,
  author: "",
};
const CHANGE: ChangeEvent = {
  kind: "change",
  type: "update",
  itemId: "tée",
  value,
  position: { epoch: "e", revision: 7 },
  timestamp: 1_700_000_000_002,
  timeMs: 1_700_000_000_001,
  author: "",
};
const EVENT: TransientEvent = {
  kind: "event",
  type: "ping",
  itemId: undefined,
  value,
  after: { epoch: "e", revision: 7 },
  timestamp: 1_700_000_000_003,
  author: "",
};

/** The records as versions without authors wrote them. */
const OLD = {
  item: bytes(
    "0000018bcfe568000000018bcfe5680100000000000000070000001c000474c3a965",
    '{"n":[1,"é"]}',
  ),
  change: bytes("010000018bcfe568020000018bcfe568010000001c000474c3a965", '{"n":[1,"é"]}'),
  changeEntry: bytes(
    "000000e8",
    '{"group":{"streamName":"stream","groupId":"room"},"triggers":["t"],"depth":0,"event":{"kind":"change","type":"update","itemId":"tée","position":{"epoch":"e","revision":7},"timestamp":1700000000002,"timeMs":1700000000001},"size":28}{"n":[1,"é"]}',
  ),
  eventEntry: bytes(
    "000000bb",
    '{"group":{"streamName":"stream","groupId":"room"},"triggers":["t"],"depth":0,"event":{"kind":"event","type":"ping","after":{"epoch":"e","revision":7},"timestamp":1700000000003},"size":28}{"n":[1,"é"]}',
  ),
};

function bytes(header: string, text: string): Buffer {
  return Buffer.concat([Buffer.from(header, "hex"), Buffer.from(text)]);
}

const entryOf = (event: ChangeEvent | TransientEvent) => ({
  ...{ group, triggers: ["t"], depth: 0 },
  event,
});

describe("the records of an lmdb store", () => {
  const tempFolder = tempFolders();
  const formatOf = async (folder: string) => {
    const disk = await openFolder(folder);
    const view = disk.view();
    const format = view.get(disk.tables.meta, Buffer.from("format"))?.toString();
    view.release();
    await disk.close();
    return format;
  };

  it("without author are those of versions without authors, byte by byte", () => {
    expect(encodeItem(ITEM)).toEqual(OLD.item);
    expect(encodeLogEntry(CHANGE)).toEqual(OLD.change);
    expect(encodeEntry(entryOf(CHANGE))).toEqual(OLD.changeEntry);
    expect(encodeEntry(entryOf(EVENT))).toEqual(OLD.eventEntry);
  });

  it("of versions without authors have no author", () => {
    expect(decodeItem(OLD.item, 3)).toEqual({ item: ITEM, createdRevision: 3 });
    expect(decodeLogEntry(OLD.change, "e", 7)).toEqual(CHANGE);
    expect(decodeEntry(5, OLD.changeEntry)).toEqual({ ...entryOf(CHANGE), seq: 5 });
    expect(decodeEntry(5, OLD.eventEntry)).toEqual({ ...entryOf(EVENT), seq: 5 });
  });

  it.each(["user:ann", `user:${"é".repeat(128)}`, `function:${"f".repeat(300)}`])(
    "keep the author %s",
    (author) => {
      const item = { ...ITEM, author };
      const change = { ...CHANGE, author };
      expect(decodeItem(encodeItem(item), 3).item).toEqual(item);
      expect(decodeLogEntry(encodeLogEntry(change), "e", 7)).toEqual(change);
      expect(entryExtent(encodeLogEntry(change))).toEqual(entryExtent(OLD.change));
      for (const event of [change, { ...EVENT, author }])
        expect(decodeEntry(5, encodeEntry(entryOf(event))).event).toEqual(event);
    },
  );

  it("of a folder that a version without authors wrote are read, and written on", async () => {
    const folder = await tempFolder();
    const disk = await openFolder(folder);
    const name = groupName(group);
    const { data, groups, streams, meta, outbox } = disk.tables;
    const head = {
      ...NO_GROUP,
      epoch: "e",
      revision: 7,
      timestamp: CHANGE.timestamp,
      lastChangeMs: CHANGE.timeMs,
      itemCount: 1,
      log: { ...EMPTY_LOG, start: 7, keptFrom: 7, bytes: 28, oldestTimeMs: 0, oldestSize: 28 },
    };
    await disk.submit([
      { table: data, key: itemIdKey(name, ITEM.itemId), value: encodeNumber(3) },
      { table: data, key: itemKey(name, 3), value: OLD.item },
      { table: data, key: changeKey(name, 7), value: OLD.change },
      { table: data, key: headKey(name), value: encodeGroup(head) },
      { table: groups, key: indexKey(name), value: Buffer.from([1]) },
      { table: streams, key: Buffer.from(group.streamName), value: encodeNumber(1) },
      { table: meta, key: Buffer.from("stream-count"), value: encodeNumber(1) },
      { table: outbox, key: encodeNumber(1), value: OLD.changeEntry },
      { table: outbox, key: encodeNumber(2), value: OLD.eventEntry },
    ]);
    await disk.close();
    const clock = () => CHANGE.timeMs + 10;
    const store = await openLmdbStore({ folder, clock, sweepIntervalMs: 0 });
    expect(await store.get(group, ITEM.itemId)).toMatchObject({ item: ITEM });
    const [at] = await store.heads([group]);
    const since = { epoch: at?.position.epoch ?? "", revision: 6 };
    const replay = await store.since(group, since, ALL);
    expect(replay.lost ? [] : replay.changes.map(plain)).toEqual([
      { ...plain(CHANGE), position: at?.position },
    ]);
    expect(await waitingAuthors(store)).toEqual(["", ""]);
    await commitAs(store, "user:ann", put(ITEM.itemId, 1), firing(put("new", 2), "t"));
    const { items } = await store.list(group, ALL);
    expect(authorsOf(items)).toEqual({ [ITEM.itemId]: "user:ann", new: "user:ann" });
    expect(await waitingAuthors(store)).toEqual(["", "", "user:ann"]);
    await store.close();
  });

  it("have their authors after a restart: items, log and outbox (G6)", async () => {
    const folder = await tempFolder();
    const first = await openLmdbStore({ folder, sweepIntervalMs: 0 });
    await commitAs(first, "user:ann", firing(put("a", 1), "t"), put("b", 1));
    await commitAs(first, undefined, firing(put("c", 1), "t"));
    await commitAs(first, "key:backend", put("b", 2), firing(remove("a"), "t"));
    await sendAs(first, "user:bob");
    await first.close();
    const second = await openLmdbStore({ folder, sweepIntervalMs: 0 });
    expect(authorsOf((await second.list(group, ALL)).items)).toEqual({ b: "key:backend", c: "" });
    expect(await loggedAuthors(second)).toEqual([
      ...["user:ann", "user:ann", "", "key:backend", "key:backend"],
    ]);
    expect(await waitingAuthors(second)).toEqual(["user:ann", "", "key:backend", "user:bob"]);
    await second.close();
  });

  it("get a format that earlier versions refuse with the first author, and keep it", async () => {
    const folder = await tempFolder();
    const inStore = async (author: string | undefined) => {
      const store = await openLmdbStore({ folder, sweepIntervalMs: 0 });
      await commitAs(store, author, put("a", 1));
      await store.close();
      return formatOf(folder);
    };
    expect(await inStore(undefined)).toBe("1");
    expect(await inStore("user:ann")).toBe("2");
    expect(await inStore(undefined)).toBe("2");
  });
});

import { expect, it } from "vitest";
import { groupKeyText } from "../../src/core/names.ts";
import type { Position } from "../../src/core/position.ts";
import type { Store } from "../../src/core/store.ts";
import { ALL, commit, groupOf, listen, put } from "../stores/suite/fixture.ts";
import { restartedAppendFile } from "../support/redis/old-copies.ts";
import { openForTest, openStoreAt, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

const group = groupOf("room");

/** The ways in which a process learns of changes that it did not write. */
const OBSERVATIONS: Readonly<Record<string, (store: Store, from: Position) => Promise<unknown>>> = {
  heads: async (store) => store.heads([group]),
  get: async (store) => store.get(group, "a"),
  list: async (store) => store.list(group, ALL),
  async snapshot(store) {
    const reader = await store.snapshot(group);
    await reader.next(ALL);
    reader.close();
  },
  since: async (store, from) => store.since(group, from, ALL),
};

/** One group's data, with a process that writes it and one that does not. */
async function openPair(url: string) {
  const request = { keyPrefix: randomPrefix(), partitions: 1 };
  const losses: number[] = [];
  const onLoss = (partition: number) => losses.push(partition);
  const { store: writer } = await openStoreAt(url, request);
  const { store: other } = await openForTest(url, { ...request, onLoss });
  return { ...request, writer, other, losses };
}

/*
 * The server has another run id after it, as after a restart that loses nothing, and the process that wrote
 * the lost changes is gone. Only what the other process has seen shows that they are lost.
 */
describeWithRedis("a restart on an older append-only file", () => {
  it("never repeats a revision that a remaining process has read, in whichever way (G4)", async () => {
    const redis = await restartedAppendFile();
    const pairs = await Promise.all(
      Object.entries(OBSERVATIONS).map(async ([name, observe]) => {
        const pair = await openPair(redis.url);
        const { position: first } = await commit(pair.writer, group, put("a", 1));
        return { name, observe, first, ...pair };
      }),
    );
    await redis.backUp();
    for (const { writer, other, observe, first } of pairs) {
      await commit(writer, group, put("a", 2));
      await commit(writer, group, put("a", 3));
      await observe(other, first);
      await writer.close();
    }
    await redis.restore();
    const repeated: string[] = [];
    for (const { name, other, first } of pairs) {
      const { position } = await commit(other, group, put("a", 4));
      expect(position.revision).toBe(2);
      if (position.epoch === first.epoch) repeated.push(name);
    }
    expect(repeated).toEqual([]);
    expect(pairs.map(({ losses }) => losses)).toEqual(pairs.map(() => [0]));
  });

  it("never repeats a revision that a remaining process has followed (G4)", async () => {
    const redis = await restartedAppendFile();
    const { writer, other, losses } = await openPair(redis.url);
    const { position: first } = await commit(writer, group, put("a", 1));
    await redis.backUp();
    const recorder = await listen(other, group);
    await commit(writer, group, put("a", 2));
    await recorder.received(1);
    await writer.close();
    await redis.restore();
    const { position } = await commit(other, group, put("a", 3));
    expect(position.revision).toBe(2);
    expect(position.epoch).not.toBe(first.epoch);
    expect(losses).toEqual([0]);
  });

  it("keeps the epoch when the file has all that the remaining process has seen", async () => {
    const redis = await restartedAppendFile();
    const { writer, other, losses } = await openPair(redis.url);
    const recorder = await listen(other, group);
    const { position: first } = await commit(writer, group, put("a", 1));
    await recorder.received(1);
    for (const observe of Object.values(OBSERVATIONS)) await observe(other, first);
    await writer.close();
    await redis.backUp();
    await redis.restore();
    const { position } = await commit(other, group, put("a", 2));
    expect(position).toEqual({ epoch: first.epoch, revision: 2 });
    expect(losses).toEqual([]);
  });
});

describeWithRedis("messages of an earlier version", () => {
  it("reach the followers of this version, so a fleet is upgraded process by process", async () => {
    const { url, command } = await restartedAppendFile();
    const { keyPrefix, other } = await openPair(url);
    const recorder = await listen(other, group);
    const change = Buffer.alloc(31);
    change.writeUInt8(1, 0);
    for (const [at, value] of [1, 9, 17].entries()) change.writeDoubleBE(at + 7, value);
    change.writeUInt32BE(1, 25);
    change.writeUInt16BE(1, 29);
    const record = Buffer.concat([change, Buffer.from("a5")]);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(record.length);
    const message = Buffer.concat([Buffer.from([1, 0, 2]), Buffer.from("e1"), bytes, record]);
    const channel = `{${keyPrefix}:0}:h:${groupKeyText(group)}`;
    await command("SPUBLISH", channel, message);
    await recorder.received(1);
    expect(recorder.events[0]).toMatchObject({
      kind: "change",
      type: "update",
      itemId: "a",
      position: { epoch: "e1", revision: 7 },
      timestamp: 8,
    });
  });
});

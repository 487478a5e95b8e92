import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../src/core/names.ts";
import { Value } from "../../src/core/value.ts";
import { type LogReads, readHistory } from "../../src/service/history.ts";
import type { HistoryRequest, HistoryResult } from "../../src/service/requests.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";

const GROUP: GroupKey = { streamName: "s", groupId: "g" };
const TOKEN_INVALID = { reason: "PAGE_TOKEN_INVALID" };

/** A log of which a test writes the changes, one at a time. */
function openLog(maxChanges = 1000) {
  const store = memoryStore({ history: { maxChanges }, sweepIntervalMs: 0 });
  let count = 0;
  return {
    store,
    get count() {
      return count;
    },
    async write(itemId: string, data: string | number = count) {
      count++;
      const mutation = { kind: "put", itemId, value: Value.of(data) } as const;
      await store.run(GROUP, [{ mutations: [mutation] }]);
    },
  };
}

/** The revisions of a page. */
const revisions = ({ changes }: HistoryResult) => changes.map(({ position }) => position.revision);

/** Reads a page. */
const read = (store: LogReads, request: Partial<HistoryRequest> = {}) =>
  readHistory(store, { ...GROUP, pageSize: 0, pageToken: "", ...request });

/** A log whose first read goes wrong in a way: something happens between two steps of a page. */
function disturbed(store: LogReads, disturb: () => Promise<void>): LogReads & { reads: number } {
  let isDone = false;
  return {
    reads: 0,
    logRange: (group) => store.logRange(group),
    async since(...args) {
      this.reads++;
      if (!isDone) await disturb();
      isDone = true;
      return store.since(...args);
    },
  };
}

describe("the pages of a history", () => {
  it("contain each change once, whatever is written and trimmed between them, unless the token is refused", async () => {
    const scenario = fc.record({
      maxChanges: fc.integer({ min: 1, max: 60 }),
      before: fc.integer({ min: 0, max: 80 }),
      between: fc.array(fc.integer({ min: 0, max: 25 }), { maxLength: 12 }),
      pageSize: fc.integer({ min: 1, max: 30 }),
      descending: fc.boolean(),
      itemId: fc.option(fc.constantFrom("i0", "i1", "i2"), { nil: undefined }),
      fromRevision: fc.option(fc.nat(100), { nil: undefined }),
      toRevision: fc.option(fc.nat(100), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ maxChanges, before, between, ...request }) => {
        const log = openLog(maxChanges);
        const write = async (times: number) => {
          for (let i = 0; i < times; i++) await log.write(`i${log.count % 3}`);
        };
        const matches = (revision: number) =>
          revision >= (request.fromRevision ?? 1) &&
          revision <= (request.toRevision ?? Infinity) &&
          (request.itemId === undefined || request.itemId === `i${(revision - 1) % 3}`);
        await write(before);
        const start = { count: log.count, oldest: Math.max(1, log.count - maxChanges + 1) };
        const listed: number[] = [];
        let pageToken = "";
        for (let turn = 0; ; turn++) {
          let page: HistoryResult;
          try {
            page = await read(log.store, { ...request, pageToken });
          } catch (error) {
            expect(error).toMatchObject(TOKEN_INVALID);
            return;
          }
          listed.push(...revisions(page));
          expect(page.head.revision).toBe(log.count);
          expect(page.changes.length).toBeLessThanOrEqual(request.pageSize);
          pageToken = page.nextPageToken;
          if (pageToken === "") break;
          await write(between[turn] ?? 0);
        }
        // A listing ends where the log ends: upward at its newest change, downward at its oldest.
        const oldest = Math.max(1, log.count - maxChanges + 1);
        const [low, high] = request.descending ? [oldest, start.count] : [start.oldest, log.count];
        const expected = Array.from({ length: high }, (_, i) => i + 1).filter(
          (revision) => revision >= low && matches(revision),
        );
        const upward = request.descending ? listed.toReversed() : listed;
        // Downward, changes that were trimmed after they were listed may come before.
        expect(upward.filter((revision) => revision >= low)).toEqual(expected);
        expect(new Set(upward).size).toBe(upward.length);
      }),
      { numRuns: 300 },
    );
  });

  it("scan a limited part of the log for the changes of one item", async () => {
    const log = openLog(20_000);
    await log.write("rare");
    for (let i = 0; i < 9998; i++) await log.write("busy");
    await log.write("rare");
    for (const descending of [false, true]) {
      const found: number[] = [];
      let pages = 0;
      let pageToken = "";
      do {
        const counting = disturbed(log.store, async () => {});
        const page = await read(counting, { itemId: "rare", descending, pageToken });
        expect(counting.reads).toBeLessThanOrEqual(8);
        found.push(...revisions(page));
        pages++;
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(found).toEqual(descending ? [10_000, 1] : [1, 10_000]);
      expect(pages).toBeGreaterThan(2);
      expect(pages).toBeLessThan(6);
    }
  });

  it("downward read little of the log beside what they contain", async () => {
    const log = openLog(20_000);
    for (let i = 0; i < 500; i++) await log.write("small");
    for (let i = 0; i < 6; i++) await log.write("large", "x".repeat(900_000));
    for (let i = 0; i < 500; i++) await log.write("small");
    let bytes = 0;
    const store: LogReads = {
      logRange: (group) => log.store.logRange(group),
      async since(...args) {
        const replay = await log.store.since(...args);
        if (!replay.lost) for (const { value } of replay.changes) bytes += value.size;
        return replay;
      },
    };
    const found: number[] = [];
    let pageToken = "";
    do {
      const page = await read(store, { descending: true, pageSize: 1000, pageToken });
      found.push(...revisions(page));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(Array.from({ length: 1006 }, (_, i) => 1006 - i));
    expect(bytes).toBeLessThan(6 * 6 * 900_000);
  });

  it("have 1,000 changes at most", async () => {
    const log = openLog(3000);
    for (let i = 0; i < 2500; i++) await log.write("i");
    for (const descending of [false, true]) {
      const page = await read(log.store, { pageSize: 5000, descending });
      expect(page.changes).toHaveLength(1000);
    }
  });
});

describe("a page of a history", () => {
  it.each([false, true])(
    "begins again when the log is trimmed while it is read (descending: %s)",
    async (descending) => {
      const log = openLog(10);
      for (let i = 0; i < 10; i++) await log.write("i");
      const store = disturbed(log.store, async () => {
        for (let i = 0; i < 15; i++) await log.write("i");
      });
      const page = await read(store, { descending });
      expect(page).toMatchObject({ oldest: { revision: 16 }, head: { revision: 25 } });
      const listed = revisions(page);
      expect(descending ? listed.toReversed() : listed).toEqual(
        Array.from({ length: 10 }, (_, i) => 16 + i),
      );
    },
  );

  it.each([false, true])(
    "of a token is refused when the log is trimmed past it meanwhile (descending: %s)",
    async (descending) => {
      const log = openLog(10);
      for (let i = 0; i < 10; i++) await log.write("i");
      const { nextPageToken: pageToken } = await read(log.store, { descending, pageSize: 5 });
      const store = disturbed(log.store, async () => {
        for (let i = 0; i < 15; i++) await log.write("i");
      });
      await expect(read(store, { descending, pageToken })).rejects.toMatchObject(TOKEN_INVALID);
    },
  );

  it("is refused when its token is of another epoch", async () => {
    const log = openLog();
    for (let i = 0; i < 10; i++) await log.write("i");
    const { nextPageToken: pageToken } = await read(log.store, { pageSize: 5 });
    const another = openLog();
    for (let i = 0; i < 10; i++) await another.write("i");
    await expect(read(another.store, { pageToken })).rejects.toMatchObject(TOKEN_INVALID);
    await expect(read(openLog().store, { pageToken })).rejects.toMatchObject(TOKEN_INVALID);
  });

  it("ends when a log never stays as it was read", async () => {
    const log = openLog(1);
    await log.write("i");
    const store: LogReads = {
      logRange: (group) => log.store.logRange(group),
      async since(...args) {
        await log.write("i");
        await log.write("i");
        return log.store.since(...args);
      },
    };
    const page = await read(store);
    expect(page.changes).toEqual([]);
    expect(page.nextPageToken).not.toBe("");
  });

  it.each([
    ["not a number", ["e", "x"]],
    ["negative", ["e", "-1"]],
    ["fractional", ["e", "1.5"]],
    ["beyond all integers", ["e", "1e300"]],
    ["empty", ["e", ""]],
  ])("refuses a token whose revision is %s", async (_, [, revision]) => {
    const log = openLog();
    for (let i = 0; i < 10; i++) await log.write("i");
    const { nextPageToken } = await read(log.store, { pageSize: 5 });
    const [listing, [epoch]] = JSON.parse(Buffer.from(nextPageToken, "base64url").toString()) as [
      string[],
      string[],
    ];
    const pageToken = Buffer.from(JSON.stringify([listing, [epoch, revision]])).toString(
      "base64url",
    );
    await expect(read(log.store, { pageToken })).rejects.toMatchObject(TOKEN_INVALID);
  });

  it.each([false, true])(
    "of a token beyond the log is empty or the newest (descending: %s)",
    async (descending) => {
      const log = openLog();
      for (let i = 0; i < 10; i++) await log.write("i");
      const { nextPageToken } = await read(log.store, { pageSize: 5, descending });
      const [listing, [epoch]] = JSON.parse(Buffer.from(nextPageToken, "base64url").toString()) as [
        string[],
        string[],
      ];
      const forged = Buffer.from(JSON.stringify([listing, [epoch, "5000"]]));
      const pageToken = forged.toString("base64url");
      const page = await read(log.store, { pageToken, descending });
      expect(page.changes).toHaveLength(descending ? 10 : 0);
      expect(page.nextPageToken).toBe("");
    },
  );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChangeEvent, Item } from "../../src/core/change.ts";
import { createFold } from "../../src/core/fold.ts";
import { ORIGIN, type Position } from "../../src/core/position.ts";
import { Value } from "../../src/core/value.ts";

const EPOCH = "e";

function at(revision: number, epoch = EPOCH): Position {
  return { epoch, revision };
}

/** A group as a list in creation order, with its whole log. */
class ModelGroup {
  readonly log: ChangeEvent[] = [];
  #entries: { readonly order: number; readonly item: Item }[] = [];
  #created = 0;

  get position(): Position {
    return this.log.length === 0 ? ORIGIN : at(this.log.length);
  }

  get items(): Item[] {
    return this.#entries.map((entry) => entry.item);
  }

  /** Creates the item, or updates it. */
  set(itemId: string): void {
    const index = this.#entries.findIndex((entry) => entry.item.itemId === itemId);
    const before = this.#entries[index];
    const change = this.#append(before === undefined ? "create" : "update", itemId);
    const item: Item = {
      itemId,
      value: change.value,
      revision: change.position.revision,
      createTimeMs: before?.item.createTimeMs ?? change.timeMs,
      updateTimeMs: change.timeMs,
      author: change.author,
    };
    if (before === undefined) this.#entries.push({ order: ++this.#created, item });
    else this.#entries[index] = { order: before.order, item };
  }

  /** Deletes the item, if it exists. */
  delete(itemId: string): void {
    if (!this.#entries.some((entry) => entry.item.itemId === itemId)) return;
    this.#append("delete", itemId);
    this.#entries = this.#entries.filter((entry) => entry.item.itemId !== itemId);
  }

  /** A page as a store reads it: by a cursor in creation order, at the current position. */
  read(cursor: number, count: number) {
    const rest = this.#entries.filter((entry) => entry.order > cursor);
    const page = rest.slice(0, count);
    return {
      items: page.map((entry) => entry.item),
      position: this.position,
      cursor: page.at(-1)?.order ?? cursor,
      done: rest.length <= count,
    };
  }

  #append(type: ChangeEvent["type"], itemId: string): ChangeEvent {
    const revision = this.log.length + 1;
    const timeMs = 1000 + revision;
    const change: ChangeEvent = {
      kind: "change",
      type,
      itemId,
      value: Value.of(revision),
      position: at(revision),
      timestamp: timeMs,
      timeMs,
      author: `user:${revision}`,
    };
    this.log.push(change);
    return change;
  }
}

/** A group with the named items. */
function group(...itemIds: string[]): ModelGroup {
  const model = new ModelGroup();
  for (const itemId of itemIds) model.set(itemId);
  return model;
}

describe("a fold of pages", () => {
  /** Reads `first` items, changes the group, reads the rest, and returns the fold's items. */
  function foldAround(model: ModelGroup, first: number, change: () => void): Item[] {
    const fold = createFold();
    const page = model.read(0, first);
    fold.page(page.items, page.position);
    change();
    fold.changes(model.log.slice(page.position.revision));
    const rest = model.read(page.cursor, Infinity);
    fold.page(rest.items, rest.position);
    return fold.items();
  }

  const cases: [string, (model: ModelGroup) => void, string[]][] = [
    ["nothing changed", () => {}, ["a", "b", "c", "d"]],
    ["an item was created", (model) => model.set("e"), ["a", "b", "c", "d", "e"]],
    ["an item already read was updated", (model) => model.set("a"), ["a", "b", "c", "d"]],
    ["an item not yet read was updated", (model) => model.set("d"), ["a", "b", "c", "d"]],
    ["an item already read was deleted", (model) => model.delete("a"), ["b", "c", "d"]],
    ["an item not yet read was deleted", (model) => model.delete("d"), ["a", "b", "c"]],
    ["the item at the cursor was deleted", (model) => model.delete("b"), ["a", "c", "d"]],
    [
      "every item was deleted",
      (model) => ["a", "b", "c", "d"].forEach((id) => model.delete(id)),
      [],
    ],
    [
      "an item already read was deleted and created again",
      (model) => {
        model.delete("a");
        model.set("a");
      },
      ["b", "c", "d", "a"],
    ],
    [
      "an item already read was deleted, created again and updated twice",
      (model) => {
        model.set("a");
        model.delete("a");
        model.set("a");
        model.set("a");
        model.set("a");
      },
      ["b", "c", "d", "a"],
    ],
    [
      "an item not yet read was deleted and created again",
      (model) => {
        model.delete("c");
        model.set("c");
      },
      ["a", "b", "d", "c"],
    ],
    [
      "an item was created and deleted",
      (model) => {
        model.set("e");
        model.set("e");
        model.delete("e");
      },
      ["a", "b", "c", "d"],
    ],
    [
      "an item already read was updated twice",
      (model) => {
        model.set("a");
        model.set("b");
        model.set("a");
      },
      ["a", "b", "c", "d"],
    ],
  ];

  test.each(cases)("is exact when %s", (_title, change, order) => {
    const model = group("a", "b", "c", "d");
    const items = foldAround(model, 2, () => change(model));
    expect(items).toStrictEqual(model.items);
    expect(items.map((item) => item.itemId)).toStrictEqual(order);
  });

  test("keeps the create time of an updated item and takes the change's revision, time and author", () => {
    const model = group("a", "b");
    const items = foldAround(model, 1, () => model.set("a"));
    expect(items[0]).toStrictEqual({
      itemId: "a",
      value: expect.objectContaining({ text: "3" }) as Value,
      revision: 3,
      createTimeMs: 1001,
      updateTimeMs: 1003,
      author: "user:3",
    });
  });

  test("equals its page when there is only one", () => {
    const model = group("a", "b");
    const fold = createFold();
    fold.page(model.items, model.position);
    expect(fold.items()).toStrictEqual(model.items);
  });

  test("of a group that was never written is empty, and applies its first changes", () => {
    const fold = createFold();
    fold.page([], ORIGIN);
    expect(fold.items()).toStrictEqual([]);
    const model = group("a", "b");
    fold.changes(model.log);
    fold.page(model.items, model.position);
    expect(fold.items()).toStrictEqual(model.items);
  });

  test("keeps changes beyond a page for the next page", () => {
    const model = group("a", "b", "c");
    const fold = createFold();
    const first = model.read(0, 1);
    fold.page(first.items, first.position);
    model.set("a");
    const second = model.read(first.cursor, 1);
    const stateAtSecond = model.items.slice(0, 2);
    model.set("a");
    model.delete("b");
    model.set("c");
    fold.changes(model.log.slice(first.position.revision));
    fold.page(second.items, second.position);
    expect(fold.items()).toStrictEqual(stateAtSecond);
    const third = model.read(second.cursor, 1);
    fold.page(third.items, third.position);
    expect(fold.items()).toStrictEqual(model.items);
  });

  test("throws when changes are missing", () => {
    const model = group("a", "b", "c");
    const [, second, third] = model.log as [ChangeEvent, ChangeEvent, ChangeEvent];
    const foldAtOne = () => {
      const fold = createFold();
      fold.page(model.items.slice(0, 1), at(1));
      return fold;
    };
    const gap = "gap";
    const short = "do not reach";

    expect(() => foldAtOne().changes([third])).toThrow(gap);
    expect(() => foldAtOne().page([], at(2))).toThrow(short);
    const behind = foldAtOne();
    behind.changes([second]);
    expect(() => behind.page([], at(3))).toThrow(short);
    expect(() => foldAtOne().page([], at(0))).toThrow(short);
    expect(() => foldAtOne().page([], at(1, "other"))).toThrow(short);
    const reborn = foldAtOne();
    reborn.changes([{ ...second, position: at(2, "other") }]);
    expect(() => reborn.page([], at(2, "other"))).toThrow(short);
    expect(() => reborn.page([], at(2))).toThrow(short);
  });
});

describe("a fold of a random history", () => {
  const write = fc.record({
    itemId: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    isDelete: fc.boolean(),
  });
  const writes = fc.array(write, { maxLength: 8 });
  const round = fc.record({
    writes,
    pageSize: fc.integer({ min: 1, max: 3 }),
    // Number of changes from before the last page given again, and from after the new one given early.
    again: fc.nat({ max: 4 }),
    late: writes,
  });

  function apply(model: ModelGroup, batch: readonly { itemId: string; isDelete: boolean }[]): void {
    for (const { itemId, isDelete } of batch) {
      if (isDelete) model.delete(itemId);
      else model.set(itemId);
    }
  }

  test("equals the group's items, in creation order, at the position of every page", () => {
    fc.assert(
      fc.property(writes, fc.array(round, { minLength: 1, maxLength: 8 }), (before, rounds) => {
        const model = new ModelGroup();
        apply(model, before);
        const fold = createFold();
        let cursor = 0;
        let known = 0;
        for (const [index, { writes: batch, pageSize, again, late }] of rounds.entries()) {
          apply(model, batch);
          const page = model.read(cursor, index === rounds.length - 1 ? Infinity : pageSize);
          const whole = model.items;
          const behind = model.read(page.cursor, Infinity).items.length;
          apply(model, late);
          fold.changes(model.log.slice(Math.max(0, known - again)));
          fold.page(page.items, page.position);
          expect(fold.items()).toStrictEqual(whole.slice(0, whole.length - behind));
          if (page.done) return;
          cursor = page.cursor;
          known = page.position.revision;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

import { describe, expect, it } from "vitest";
import type { ChangeEvent } from "../../src/core/change.ts";
import { Delta } from "../../src/core/delta.ts";
import {
  type LogEntry,
  entryOf,
  entrySize,
  materialiser,
  valueSizeOf,
} from "../../src/core/log-entry.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import { Value } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";

/** A log of one item, which begins as a text. */
class TestLog {
  readonly entries: LogEntry[] = [];
  readonly texts: string[] = [];
  #value: Value;

  constructor(text: string) {
    this.#value = Value.of({ text });
    this.#push("create", undefined);
  }

  update(op_: UpdateOp, logStart = 1): LogEntry {
    this.#value = reduce(this.#value, [op_]).value;
    return this.#push(
      "update",
      Delta.smallerThan(this.#value, this.entries.length, [op_]),
      logStart,
    );
  }

  at(revision: number): LogEntry | undefined {
    return this.entries[revision - 1];
  }

  #push(type: ChangeEvent["type"], delta: Delta | undefined, logStart = 1): LogEntry {
    const revision = this.entries.length + 1;
    const change: ChangeEvent = {
      kind: "change",
      type,
      itemId: "a",
      value: this.#value,
      position: { epoch: "e", revision },
      timestamp: revision,
      timeMs: revision,
      author: "",
      delta,
    };
    const entry = entryOf(change, () => this.at(revision - 1), logStart);
    this.entries.push(entry);
    this.texts.push(this.#value.text);
    return entry;
  }
}

const append = (text: string) => op.append(["text"], text);
const kinds = (log: TestLog) => log.entries.map(({ kind }) => (kind === "delta" ? "d" : "W"));

describe("the entries of a log", () => {
  it("are whole after 64 deltas of an item", () => {
    const log = new TestLog("x".repeat(10_000));
    for (let i = 0; i < 200; i++) log.update(append("y"));
    expect(kinds(log).join("")).toBe(
      `W${"d".repeat(64)}W${"d".repeat(64)}W${"d".repeat(64)}W${"d".repeat(5)}`,
    );
  });

  it("are whole when the steps since the last whole one outweigh the value", () => {
    const log = new TestLog("x".repeat(300));
    for (let i = 0; i < 20; i++) log.update(append("y"));
    expect(kinds(log).join("")).toMatch(/^W(d{6,8}W)+d*$/);
  });

  it("are whole when the base has left the log", () => {
    const log = new TestLog("x".repeat(300));
    expect(log.update(append("y"), 1).kind).toBe("delta");
    expect(log.update(append("y"), 2).kind).toBe("change");
    expect(log.update(append("y"), 3).kind).toBe("delta");
  });

  it("are whole when the last whole one is far larger than the value", () => {
    const log = new TestLog("x".repeat(10_000));
    // Whole, because its base has left the log.
    expect(log.update(op.set("rest", "y".repeat(200)), 2).kind).toBe("change");
    const shrunk = log.update(op.remove("text"), 2);
    expect(shrunk).toMatchObject({ kind: "change", delta: { baseRevision: 2 } });
    expect(log.update(op.set("n", 1), 2).kind).toBe("delta");
  });

  it("have the steps beside a whole value, so that they are read in the smallest form", () => {
    const log = new TestLog("x".repeat(300));
    const entry = log.update(append("y"), 2);
    expect(entry).toMatchObject({ kind: "change", delta: { baseRevision: 1 } });
    expect(entrySize(entry)).toBe(valueSizeOf(entry) + entry.delta!.size);
  });

  it("give every value back, in any order of reading", () => {
    const log = new TestLog("x".repeat(3000));
    for (let i = 0; i < 150; i++) log.update(i % 10 === 0 ? op.increment("n", i) : append("é"));
    const orders = [log.entries, log.entries.toReversed(), log.entries.slice(70)];
    for (const order of orders) {
      const whole = materialiser((revision) => log.at(revision));
      for (const entry of order) {
        const { value, type, position } = whole(entry);
        expect(value).toEqual(Value.parse(log.texts[position.revision - 1]!));
        expect(type).toBe(position.revision === 1 ? "create" : "update");
      }
    }
  });

  it("of a log that lacks a base are an error", () => {
    const log = new TestLog("x".repeat(300));
    const entry = log.update(append("y"));
    expect(() => materialiser(() => undefined)(entry)).toThrow("lacks revision 1");
  });

  it("of 4,000 appends take at most 6 times what their steps take", () => {
    const log = new TestLog("");
    const steps = Array.from({ length: 4000 }, (_, i) => append(String(i).padStart(6, "0")));
    for (const each of steps) log.update(each);
    const bytes = log.entries.reduce((sum, entry) => sum + entrySize(entry), 0);
    const ops = steps.reduce((sum, each) => sum + Delta.of(1, [each]).size, 0);
    expect(bytes / ops).toBeLessThan(6);
  });
});

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createRecorder,
  fileSink,
  loadHistory,
  memorySink,
  monotonicMs,
  type RecordSink,
} from "../support/checker/index.ts";
import { simulate } from "./simulation.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-records-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Records one of everything. */
function recordAll(sink: RecordSink, client: string): void {
  let now = 0;
  const recorder = createRecorder({ client, sink, now: () => ++now, maxValueChars: 20 });
  const position = { epoch: "e", revision: 1 };
  const write = recorder.write({
    group: "g",
    mutations: [{ op: "set", item: "a", value: { b: 1, a: [null] }, expectedRevision: 0 }],
  });
  write.acked({
    position,
    results: [{ created: true, old: "none", new: { value: { a: [null], b: 1 } } }],
  });
  recorder.write({ group: "g", mutations: [{ op: "delete", item: "b" }], pipe: "p" }).unknown();
  recorder
    .write({ group: "g", mutations: [{ op: "update", item: "a", tag: "t" }], batch: true })
    .refused("REVISION_MISMATCH");
  recorder.send({ group: "g", event: "ping", value: null }).acked();
  const sub = recorder.subscribe({ group: "g", item: "a", resumeFrom: position, slow: true });
  sub.resumed(position, position);
  sub.sync({
    items: [{ item: "a", value: "x".repeat(50), revision: 1 }],
    position,
    first: true,
    last: true,
    timestamp: 5,
  });
  sub.change({ change: "delete", item: "a", value: null, position, timestamp: 6 });
  sub.event({ event: "ping", value: null, timestamp: 7 });
  sub.heartbeat(position);
  sub.end("server", { code: "unavailable", reason: "SHUTTING_DOWN" });
  const list = recorder.list("g", { final: true });
  list.page([{ item: "a", value: 1 }], position);
  list.done();
  recorder.get("g", "a").found(1, 1);
  recorder.get("g", "b").missing();
}

describe("the recorder", () => {
  test("records an intention before the call and the outcome after it, with their times", () => {
    const sink = memorySink();
    let now = 10;
    const recorder = createRecorder({ client: "c", sink, now: () => now });
    const write = recorder.write({ group: "g", mutations: [{ op: "set", item: "a", value: 1 }] });
    expect(sink.records).toEqual([
      {
        kind: "write",
        t: 10,
        id: "c:1",
        client: "c",
        group: "g",
        mutations: [{ op: "set", item: "a", value: "1" }],
      },
    ]);
    now = 12;
    write.acked({ position: { epoch: "e", revision: 1 } });
    expect(sink.records[1]).toEqual({
      kind: "outcome",
      t: 12,
      id: "c:1",
      outcome: "acked",
      position: { epoch: "e", revision: 1 },
    });
  });

  test("gives every call and attempt a unique name", () => {
    const sink = memorySink();
    for (const client of ["one", "two"]) recordAll(sink, client);
    const ids = sink.records.flatMap((record) =>
      record.kind === "write" || record.kind === "send"
        ? record.id
        : record.kind === "subscribe"
          ? record.subscription
          : [],
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("writes the same records to a file as to memory, each at once", () => {
    const memory = memorySink();
    const path = join(folder, "one.jsonl");
    const file = fileSink(path);
    recordAll(memory, "c");
    recordAll(
      {
        append: (record) => (
          file.append(record),
          expect(readFileSync(path, "utf8").endsWith("\n")).toBe(true)
        ),
      },
      "c",
    );
    expect(loadHistory([path])).toEqual(memory.records);
    file.close();
    file.close();
    expect(() => recordAll(file, "c")).toThrow("closed");
  });

  test("uses a monotonic clock", () => {
    const [a, b] = [monotonicMs(), monotonicMs()];
    expect(b).toBeGreaterThanOrEqual(a);
  });
});

describe("loading a history", () => {
  test("merges the files of several processes", () => {
    const paths = ["one", "two"].map((client) => {
      const path = join(folder, `${client}.jsonl`);
      const file = fileSink(path);
      recordAll(file, client);
      file.close();
      return path;
    });
    const clients = new Set(
      loadHistory(paths).flatMap((record) => (record.kind === "write" ? record.client : [])),
    );
    expect([...clients]).toEqual(["one", "two"]);
  });

  test("skips a last line that its writer's death cut short, and reads later files", () => {
    const [cut, whole] = [join(folder, "cut.jsonl"), join(folder, "whole.jsonl")];
    for (const path of [cut, whole]) {
      const file = fileSink(path);
      recordAll(file, "c");
      file.close();
    }
    appendFileSync(cut, '{"kind":"write","t":1');
    expect(loadHistory([cut, whole])).toHaveLength(2 * loadHistory([whole]).length);
  });

  test("refuses a line that is not a record, and names it", () => {
    const path = join(folder, "bad.jsonl");
    appendFileSync(path, '{"kind":"end"}\nnonsense\n{"kind":"end"}\n');
    expect(() => loadHistory([path])).toThrow(`${path}:2`);
  });

  test("reads lines longer than one chunk and characters of several bytes across chunks", () => {
    const path = join(folder, "long.jsonl");
    const file = fileSink(path);
    const recorder = createRecorder({ client: "c", sink: file, maxValueChars: 10_000_000 });
    const value = "ü€😀".repeat(700_000);
    recorder.write({ group: "g", mutations: [{ op: "set", item: "a", value }] }).unknown();
    file.close();
    const [record] = loadHistory([path]);
    expect(record?.kind === "write" && record.mutations[0]?.value === JSON.stringify(value)).toBe(
      true,
    );
  });

  test("restores a simulated history unchanged", () => {
    const history = simulate({ seed: 1 });
    const path = join(folder, "simulated.jsonl");
    const file = fileSink(path);
    for (const record of history) file.append(record);
    file.close();
    expect(loadHistory([path])).toEqual(history);
  });
});

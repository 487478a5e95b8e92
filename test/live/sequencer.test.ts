import { describe, expect, test } from "vitest";
import type { ChangeEvent, TransientEvent } from "../../src/core/change.ts";
import { StreamError } from "../../src/core/errors.ts";
import { ORIGIN, type Position, isResumable } from "../../src/core/position.ts";
import type { Replay } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Sequencer } from "../../src/live/sequencer.ts";

const GROUP = { streamName: "s", groupId: "g" };
const value = Value.of(1);

function change(revision: number, epoch = "e"): ChangeEvent {
  const position = { epoch, revision };
  return {
    kind: "change",
    type: "update",
    itemId: "i",
    value,
    position,
    timestamp: revision,
    timeMs: 0,
    author: "",
  };
}

function event(revision: number): TransientEvent {
  const after = { epoch: "e", revision };
  const timestamp = revision;
  return { kind: "event", type: "t", itemId: undefined, value, after, timestamp, author: "" };
}

/** A sequencer over a log that the test controls, and a record of its output. */
function setup(start: Position) {
  const output: string[] = [];
  const log = { head: start, logStart: 1, fails: false, reads: 0 };
  const sequencer = new Sequencer(
    GROUP,
    {
      async since(_group, from): Promise<Replay> {
        log.reads++;
        if (log.fails) throw new StreamError("STORE_UNAVAILABLE", "down");
        if (!isResumable(from, log.head, log.logStart)) return { lost: true, head: log.head };
        const changes: ChangeEvent[] = [];
        // Two per read, so that catching up takes several reads.
        for (
          let revision = from.revision + 1;
          revision <= log.head.revision && changes.length < 2;
          revision++
        ) {
          changes.push(change(revision, log.head.epoch));
        }
        return { lost: false, changes, head: log.head };
      },
    },
    start,
    {
      release: (released) =>
        output.push(
          released.kind === "change"
            ? `c${released.position.revision}`
            : `e${released.after.revision}`,
        ),
      reset: () => output.push("reset"),
    },
  );
  const at = (revision: number, epoch = "e") => {
    log.head = { epoch, revision };
  };
  const settled = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return { output, log, sequencer, at, settled };
}

const START = { epoch: "e", revision: 3 };

describe("a sequencer", () => {
  test("releases events in order at once", () => {
    const { output, sequencer } = setup(START);
    sequencer.offer(change(4));
    sequencer.offer(event(4));
    sequencer.offer(change(5));
    expect(output).toEqual(["c4", "e4", "c5"]);
    expect(sequencer.position.revision).toBe(5);
  });

  test("drops repeats", () => {
    const { output, log, sequencer } = setup(START);
    for (const revision of [3, 4, 4, 2]) sequencer.offer(change(revision));
    expect(output).toEqual(["c4"]);
    expect(log.reads).toBe(0);
  });

  test("starts a group that was never written", () => {
    const { output, sequencer } = setup(ORIGIN);
    sequencer.offer(change(1, "new"));
    expect(output).toEqual(["c1"]);
    expect(sequencer.position).toEqual({ epoch: "new", revision: 1 });
  });

  test("reads the log on a gap and holds back the events that arrive meanwhile", async () => {
    const { output, at, sequencer, settled } = setup(START);
    at(9);
    sequencer.offer(change(9));
    sequencer.offer(event(9));
    sequencer.offer(change(10));
    expect(output).toEqual([]);
    await settled();
    expect(output).toEqual(["c4", "c5", "c6", "c7", "c8", "c9", "e9", "c10"]);
  });

  test("releases an event that is ahead of its change after the change", async () => {
    const { output, at, sequencer, settled } = setup(START);
    at(4);
    sequencer.offer(event(4));
    expect(output).toEqual([]);
    await settled();
    expect(output).toEqual(["c4", "e4"]);
  });

  test("resets when the log cannot bridge the gap, and continues from the head", async () => {
    const { output, log, at, sequencer, settled } = setup(START);
    at(20);
    log.logStart = 15;
    sequencer.offer(change(20));
    sequencer.offer(change(21));
    await settled();
    expect(output).toEqual(["reset", "c21"]);
  });

  test("resets when the epoch changed", async () => {
    const { output, at, sequencer, settled } = setup(START);
    at(2, "other");
    sequencer.offer(change(2, "other"));
    await settled();
    expect(output).toEqual(["reset"]);
    expect(sequencer.position).toEqual({ epoch: "other", revision: 2 });
  });

  test("keeps its position when the log cannot be read, and fills the gap at the next event", async () => {
    const { output, log, at, sequencer, settled } = setup(START);
    at(6);
    log.fails = true;
    sequencer.offer(change(6));
    await settled();
    expect(output).toEqual([]);
    expect(log.reads).toBe(1);
    log.fails = false;
    sequencer.offer(change(7));
    at(7);
    await settled();
    expect(output).toEqual(["c4", "c5", "c6", "c7"]);
  });

  test("does not read forever when the feed is ahead of the log", async () => {
    const { output, log, sequencer, settled } = setup(START);
    sequencer.offer(change(9));
    await settled();
    expect(output).toEqual([]);
    expect(log.reads).toBe(1);
  });

  test("catches up with a confirmed head before confirm resolves", async () => {
    const { output, at, sequencer } = setup(START);
    at(6);
    await sequencer.confirm({ position: { epoch: "e", revision: 6 }, timestamp: 6 }, START);
    expect(output).toEqual(["c4", "c5", "c6"]);
  });

  test("ignores a head that was read before later changes were released", async () => {
    const { output, sequencer } = setup(START);
    sequencer.offer(change(4));
    await sequencer.confirm({ position: START, timestamp: 3 }, START);
    expect(output).toEqual(["c4"]);
  });

  test("resets when the store's head is below what it announced (G4)", async () => {
    const { output, sequencer } = setup(START);
    await sequencer.confirm({ position: { epoch: "e", revision: 1 }, timestamp: 1 }, START);
    expect(output).toEqual(["reset"]);
    expect(sequencer.position.revision).toBe(1);
  });

  test("resets to the origin when the group was forgotten", async () => {
    const { output, log, sequencer } = setup(START);
    log.head = ORIGIN;
    await sequencer.confirm({ position: ORIGIN, timestamp: 0 }, START);
    expect(output).toEqual(["reset"]);
    expect(sequencer.position).toEqual(ORIGIN);
  });

  test("resets when a state without a history is later than what was released (G4)", async () => {
    const { output, sequencer } = setup(ORIGIN);
    sequencer.offer(change(1));
    sequencer.noteEmpty(5);
    expect(output).toEqual(["c1", "reset"]);
    expect(sequencer.position).toEqual(ORIGIN);
  });

  test("drops changes of a lost history that arrive after the state without one (G4)", async () => {
    const { output, sequencer } = setup(ORIGIN);
    sequencer.noteEmpty(1);
    sequencer.offer(change(1));
    sequencer.noteEmpty(5);
    sequencer.offer({ ...change(1, "f"), timestamp: 6 });
    expect(output).toEqual(["c1"]);
    expect(sequencer.position.epoch).toBe("f");
  });

  test("keeps what was released after the state without a history was read", async () => {
    const { output, sequencer } = setup(ORIGIN);
    sequencer.offer({ ...change(1), timestamp: 6 });
    sequencer.noteEmpty(5);
    expect(output).toEqual(["c1"]);
  });

  test("reads the log again, when a state without a history was read meanwhile (G4)", async () => {
    const { output, log, at, sequencer, settled } = setup(ORIGIN);
    sequencer.offer(change(1));
    at(3);
    sequencer.offer(change(3));
    sequencer.noteEmpty(5);
    log.head = ORIGIN;
    await settled();
    expect(output).toEqual(["c1", "reset"]);
    expect(sequencer.position).toEqual(ORIGIN);
    expect(log.reads).toBe(2);
  });

  test("follows a log that has a history again, even an older one (G4)", async () => {
    const { output, at, sequencer } = setup(ORIGIN);
    sequencer.noteEmpty(5);
    at(2);
    await sequencer.confirm({ position: { epoch: "e", revision: 2 }, timestamp: 2 }, ORIGIN);
    expect(output).toEqual(["c1", "c2"]);
  });
});

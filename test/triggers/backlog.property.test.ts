import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Backlog } from "../../src/triggers/backlog.ts";

/** A naive backlog: a list of jobs in order of arrival. */
class NaiveBacklog {
  readonly jobs: {
    readonly seq: number;
    readonly key: string;
    state: "waiting" | "taken" | "held";
  }[] = [];

  isBusy(key: string): boolean {
    return this.jobs.some((job) => job.key === key && job.state !== "waiting");
  }

  remove(seq: number): void {
    this.jobs.splice(
      this.jobs.findIndex((job) => job.seq === seq),
      1,
    );
  }

  get size(): number {
    return this.jobs.filter(({ state }) => state !== "taken").length;
  }
}

const KEYS = ["a", "b", "c", "d"];
type Step = "push" | "take" | "hold" | "unhold" | "finish" | "drop";

describe("the backlog of a trigger", () => {
  it("returns the jobs of each key one at a time and in order, whatever is dropped in between", () => {
    const step = fc.record({
      step: fc.constantFrom<Step>("push", "push", "take", "hold", "unhold", "finish", "drop"),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const backlog = new Backlog();
        const naive = new NaiveBacklog();
        let seq = 0;
        const pickOf = (state: "taken" | "held", pick: number) => {
          const jobs = naive.jobs.filter((job) => job.state === state);
          return jobs[pick % Math.max(1, jobs.length)];
        };
        for (const { step: what, pick } of steps) {
          if (what === "push") {
            const key = KEYS[pick % KEYS.length] as string;
            backlog.push(++seq, key);
            naive.jobs.push({ seq, key, state: "waiting" });
          } else if (what === "take") {
            const ready = naive.jobs.filter(({ key }) => !naive.isBusy(key));
            const turn = backlog.take();
            expect(turn === undefined).toBe(ready.length === 0);
            if (turn === undefined) continue;
            // The first job of its key; no other job of the key is taken.
            const first = ready.find(({ key }) => key === turn.keyText);
            expect(first?.seq).toBe(turn.seq);
            if (first !== undefined) first.state = "taken";
          } else if (what === "hold" || what === "unhold") {
            const job = pickOf(what === "hold" ? "taken" : "held", pick);
            if (job === undefined) continue;
            backlog[what](job.seq);
            job.state = what === "hold" ? "held" : "taken";
          } else if (what === "finish") {
            const job = pickOf("taken", pick);
            if (job === undefined) continue;
            naive.remove(job.seq);
            backlog.release({ seq: job.seq, keyText: job.key });
          } else {
            const oldest = naive.jobs.find(({ state }) => state !== "taken");
            const dropped = backlog.dropOldest();
            expect(dropped).toEqual(oldest && { seq: oldest.seq, isHeld: oldest.state === "held" });
            // The holder of the job ends it.
            if (oldest?.state === "held") oldest.state = "taken";
            else if (oldest !== undefined) naive.remove(oldest.seq);
          }
          expect(backlog.size).toBe(naive.size);
        }
        const left = naive.jobs.filter(({ state }) => state === "waiting").map((job) => job.seq);
        expect(backlog.clear()).toEqual(left);
      }),
      { numRuns: 2000 },
    );
  });
});

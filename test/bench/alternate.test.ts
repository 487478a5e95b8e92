import { describe, expect, it } from "vitest";
import { alternate } from "../../bench/lib/alternate.mjs";

const PACE = { pairs: 3, seconds: 2, warmUpSeconds: 1 };

describe("alternate", () => {
  it("warms up, then has contenders go in turn, and the first one change", async () => {
    const log: string[] = [];
    const contender = (name: string) => ({
      name,
      round: async (seconds: number) => {
        log.push(`${name}${seconds}`);
        return { ops: log.length, seconds, p50Ms: 1, p99Ms: 1 };
      },
    });
    const rounds = await alternate([contender("a"), contender("b")], PACE);
    expect(log.join(" ")).toBe("a1 b1 a2 b2 b2 a2 a2 b2");
    expect(rounds.get("a")?.map(({ ops }) => ops)).toEqual([3, 6, 7]);
    expect(rounds.get("b")?.map(({ ops }) => ops)).toEqual([4, 5, 8]);
  });

  it("fails with the first round that fails, also of those that warm up", async () => {
    for (const failing of [1, 2, 7]) {
      let count = 0;
      const round = async () => {
        if (++count === failing) throw new Error("a wrong answer");
        return { ops: 1, seconds: 1, p50Ms: 1, p99Ms: 1 };
      };
      const contenders = [
        { name: "a", round },
        { name: "b", round },
      ];
      await expect(alternate(contenders, PACE)).rejects.toThrow("a wrong answer");
    }
  });

  it("fails when a round did nothing", async () => {
    const round = async () => ({ ops: 0, seconds: 1, p50Ms: 1, p99Ms: 1 });
    await expect(alternate([{ name: "a", round }], PACE)).rejects.toThrow("a did nothing");
  });
});

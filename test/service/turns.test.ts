import { describe, expect, it } from "vitest";
import { Turns } from "../../src/service/turns.ts";

const GROUP = { streamName: "rooms", groupId: "attic" };
const connection = { connectionId: "c1" };

describe("the turns of writes", () => {
  it.each([
    ["keep their order over a renewal, which changes the context of a user", "ann", "21"],
    ["are separate for callers without a user and with other contexts", undefined, "12"],
  ])("%s", async (_, user, order) => {
    const turns = new Turns();
    const begun: string[] = [];
    const start = async (write: string) => void begun.push(write);
    let admit = (_write: string) => {};
    const slow = new Promise<string>((resolve) => (admit = resolve));
    const before = { user, context: '{"exp":1}', connection };
    const after = { user, context: '{"exp":2}', connection };
    const first = turns.take(before, GROUP, slow, start);
    const second = turns.take(after, GROUP, Promise.resolve("1"), start);
    await new Promise((resolve) => setImmediate(resolve));
    admit("2");
    await Promise.all([first, second]);
    expect(begun.join("")).toBe(order);
  });
});

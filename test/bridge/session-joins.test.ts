import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { first } from "./notices.ts";
import {
  TIMEOUT_MS,
  type Scene,
  openScene,
  newGroup,
  type Group,
  type Greeted,
  greet,
  cut,
  leavesOf,
  left,
  joinsOf,
  passTimeout,
} from "./session-scene.ts";

/** A server whose sessions end soon. */
let brief: Scene;

beforeAll(async () => {
  brief = await openScene(TIMEOUT_MS);
});
afterAll(() => brief?.gated.server.close());

describe("a join of a session at a gate when its connection is cut, and made again on the next socket", () => {
  /** Opens a gate for each call of it, in any order. */
  const gateOf = (scene: Scene, { groupId }: Group) => {
    const asked: { allow(): void; refuse(): void }[] = [];
    let wake = () => {};
    scene.gated.decide = async ({ group_id: id }) => {
      if (id !== groupId) return undefined;
      return new Promise((resolve) => {
        const refuse = () => resolve({ unauthorized: true });
        asked.push({ allow: () => resolve(undefined), refuse });
        wake();
      });
    };
    onTestFinished(() => void (scene.gated.decide = () => undefined));
    return {
      /** The n-th call, once it has come. */
      async nth(n: number) {
        while (asked[n] === undefined) await new Promise<void>((resolve) => (wake = resolve));
        return asked[n];
      },
    };
  };
  /** Cuts a socket whose join waits at a gate, and joins again on the next one. */
  const joinTwice = async (scene: Scene, group: Group) => {
    const gate = gateOf(scene, group);
    const before = await greet(scene);
    before.line.join({ ...group, subscriptionId: "s" });
    const first = await gate.nth(0);
    cut(before);
    const after = await greet(scene, before.session);
    expect(after.resumed).toBe(true);
    after.line.join({ ...group, subscriptionId: "s" });
    return { after, first, second: await gate.nth(1), gate };
  };
  const closeAndCount = async (scene: Scene, group: Group, { line }: Greeted) => {
    await passTimeout();
    expect(await leavesOf(scene, group)).toBe(0);
    line.socket.close();
    await left(scene, group);
    expect(await leavesOf(scene, group)).toBe(1);
    expect(joinsOf(scene, group)).toBe(1);
  };

  it.each([
    ["first", true],
    ["last", false],
  ])("is one subscription when the gate allows the earlier join %s", async (_order, isFirst) => {
    const group = newGroup();
    const { after, first: earlier, second } = await joinTwice(brief, group);
    const synced = first(after.line, "sync");
    if (isFirst) earlier.allow();
    else second.allow();
    await brief.notified.until("a join", () => joinsOf(brief, group) === 1);
    if (isFirst) second.allow();
    else {
      await synced;
      earlier.allow();
    }
    await synced;
    await closeAndCount(brief, group, after);
  });

  it("is one subscription when the gate refuses the earlier join", async () => {
    const group = newGroup();
    const { after, first: earlier, second } = await joinTwice(brief, group);
    earlier.refuse();
    second.allow();
    await first(after.line, "sync");
    await closeAndCount(brief, group, after);
  });

  it("has a join and a leave when the gate allows the earlier join only", async () => {
    const group = newGroup();
    const { after, first: earlier, second } = await joinTwice(brief, group);
    second.refuse();
    await first(after.line, "unauthorized");
    earlier.allow();
    await left(brief, group);
    await passTimeout();
    expect(await leavesOf(brief, group)).toBe(1);
    expect(joinsOf(brief, group)).toBe(1);
  });

  it("is one subscription over three sockets, whatever the order of the gate's answers", async () => {
    const group = newGroup();
    const { after, first: earliest, second, gate } = await joinTwice(brief, group);
    cut(after);
    const last = await greet(brief, after.session);
    last.line.join({ ...group, subscriptionId: "s" });
    const third = await gate.nth(2);
    second.allow();
    await brief.notified.until("a join", () => joinsOf(brief, group) === 1);
    third.allow();
    await first(last.line, "sync");
    earliest.allow();
    await closeAndCount(brief, group, last);
  });

  it("is ended once, and counted once, while both wait at the gate (G11)", async () => {
    const group = newGroup();
    const { after, first: earlier, second } = await joinTwice(brief, group);
    const { service } = brief.gated;
    expect(await service.endSubscriptions({ groupId: group.groupId })).toEqual({ ended: 1 });
    second.allow();
    await first(after.line, "unauthorized").catch(() => undefined);
    earlier.allow();
    await left(brief, group);
    await passTimeout();
    expect(await leavesOf(brief, group)).toBe(joinsOf(brief, group));
  });
});

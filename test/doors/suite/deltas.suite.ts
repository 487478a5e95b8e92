import type { Json, Mutation, StreamDelta, UpdateStep } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door, Frames, SubscribeRequest } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { random } from "../../support/random.ts";
import { uniqueName } from "../../support/doors/unique.ts";

/** Longer than the steps of an update. */
const LONG = "x".repeat(500);

const STEPS: readonly UpdateStep[] = [
  { type: "append", path: ["text"], value: "é and more" },
  { type: "append", path: ["deep", "list"], value: { a: [null, 1.5] } },
  { type: "merge", path: [], value: { merged: true } },
  { type: "merge", path: ["deep"], value: { n: 1 } },
  { type: "set", path: "nothing", value: null },
  { type: "increment", path: "n", by: Number.MAX_SAFE_INTEGER },
  { type: "decrement", path: "m", by: 12 },
  { type: "remove", path: "gone" },
];

/** Updates that come as their steps. */
export function deltasSuite(door: Door, kind: StoreKind): void {
  describe("a subscription with deltas", () => {
    const at = openDoor(door, kind);
    const item = () => ({ streamName: uniqueName("deltas"), groupId: "g", itemId: "i" });
    const START: Json = { text: LONG, gone: 1 };
    /** Subscribes, and reads the snapshot. */
    const opened = async (request: SubscribeRequest) => {
      const frames = await at.client.subscribe(request);
      await frames.next();
      return frames;
    };
    /** The next change, as it came. */
    const nextChange = async (frames: Frames) => {
      for (;;) {
        const { value } = await frames.next();
        if (value?.kind === "change") return value;
        if (value === undefined) throw new Error("the subscription ended");
      }
    };

    it("receives the steps of an update that took effect, and the revision that they apply to", async () => {
      const key = item();
      const { position } = await at.client.set({ ...key, data: START });
      const frames = await opened({ ...key, deltas: true });
      await at.client.set({ ...key, itemId: "other", data: 1 });
      const failing: UpdateStep = { type: "increment", path: "text", by: 1 };
      const ops = [...STEPS.slice(0, 3), failing, ...STEPS.slice(3)];
      const updated = await at.client.update({ ...key, ops });
      expect(updated.errors).toMatchObject([{ opIndex: 3 }]);
      const change = (await nextChange(frames)) as StreamDelta;
      expect(change.ops).toEqual(STEPS);
      expect(change).toMatchObject({
        type: "update",
        itemId: "i",
        baseRevision: position.revision,
        position: updated.position,
      });
      expect("data" in change).toBe(false);
      await frames.return();
    });

    it("has exactly the values of the service, whatever is written", async () => {
      const key = item();
      await at.client.set({ ...key, data: START });
      const follower = await Follower.open(at.client, { ...key, deltas: true });
      await follower.sync();
      for (const ops of [STEPS, ...STEPS.map((step) => [step]), []])
        await at.client.update({ ...key, ops });
      await at.client.set({ ...key, data: { text: LONG } });
      await at.client.update({ ...key, ops: STEPS });
      await at.client.delete(key);
      await at.client.update({ ...key, ops: [{ type: "set", path: "text", value: LONG }] });
      const { position, newValue } = await at.client.update({ ...key, ops: STEPS });
      await follower.reach(position.revision);
      expect(follower.state.get("i")).toEqual(newValue);
      expect(follower.deltas).toBe(STEPS.length + 4);
      await follower.close();
    });

    it("receives each update of a batch on top of the one before", async () => {
      const key = item();
      await at.client.set({ ...key, data: START });
      const group = { streamName: key.streamName, groupId: key.groupId };
      const follower = await Follower.open(at.client, { ...group, deltas: true });
      await follower.sync();
      const update = (itemId: string, value: string) => ({
        update: { itemId, ops: [{ type: "append" as const, path: ["text"], value }] },
      });
      const mutations = [
        update("i", "1"),
        { set: { itemId: "j", data: { text: LONG } } },
        update("j", "2"),
        update("i", "3"),
      ];
      const { position } = await at.client.batch({ ...group, mutations });
      await follower.reach(position.revision);
      expect(follower.state.get("i")).toEqual({ text: `${LONG}13`, gone: 1 });
      expect(follower.state.get("j")).toEqual({ text: `${LONG}2` });
      expect(follower.deltas).toBe(3);
      await follower.close();
    });

    it("has the items of one with whole values, whatever is written, also when it resumes (G3, G4)", async () => {
      const dice = random(7);
      const group = { streamName: uniqueName("deltas"), groupId: "g" };
      const itemIds = ["a", "b", "c"];
      const write = (): Mutation => {
        const itemId = dice.pick(itemIds);
        if (dice.chance(0.1)) return { delete: { itemId } };
        if (dice.chance(0.2)) return { set: { itemId, data: { text: LONG, n: dice.below(9) } } };
        const ops: UpdateStep[] = [
          { type: "append", path: ["text"], value: dice.pick(["é ", "and ", "\u{1f600}"]) },
          { type: "increment", path: dice.pick(["n", "text"]), by: dice.below(5) },
          { type: "merge", path: [dice.pick(["deep", "n"])], value: { k: dice.below(9) } },
          { type: "append", path: ["deep", "list"], value: [null, dice.below(9)] },
        ];
        return { update: { itemId, ops: ops.slice(dice.below(4)) } };
      };
      const whole = await Follower.open(at.client, group);
      const request = { ...group, deltas: true };
      let follower = await Follower.open(at.client, request);
      await Promise.all([whole.sync(), follower.sync()]);
      let deltas = 0;
      for (let round = 0; round < 12; round++) {
        const away = round % 3 === 2;
        if (away) await follower.close();
        const mutations = Array.from({ length: 1 + dice.below(8) }, write);
        const { position } = await at.client.batch({ ...group, mutations });
        if (away) {
          deltas += follower.deltas;
          follower = await Follower.resume(at.client, request, follower);
        }
        await Promise.all([whole, follower].map((each) => each.reach(position.revision)));
        expect(follower.state).toEqual(whole.state);
      }
      expect(whole.deltas).toBe(0);
      expect(deltas + follower.deltas).toBeGreaterThan(20);
      await Promise.all([whole.close(), follower.close()]);
    });

    it("receives a value that is smaller than its steps whole", async () => {
      const key = item();
      await at.client.set({ ...key, data: 1 });
      const frames = await opened({ ...key, deltas: true });
      await at.client.update({ ...key, ops: [{ type: "increment", path: "", by: 1 }] });
      expect(await nextChange(frames)).toMatchObject({ type: "update", data: 2 });
      await frames.return();
    });

    it("receives deltas of the replay when it resumes (G4)", async () => {
      const key = item();
      await at.client.set({ ...key, data: START });
      const request: SubscribeRequest = { ...key, deltas: true };
      const first = await Follower.open(at.client, request);
      await first.sync();
      await first.close();
      const append = (value: string) =>
        at.client.update({ ...key, ops: [{ type: "append", path: ["text"], value }] });
      for (const word of ["so ", "it ", "goes "]) await append(word);
      const resumed = await Follower.resume(at.client, request, first);
      await resumed.expect("resumed");
      const { position } = await append("on");
      await resumed.reach(position.revision);
      expect(resumed.state.get("i")).toEqual({ text: `${LONG}so it goes on`, gone: 1 });
      expect(resumed.deltas).toBe(4);
      await resumed.close();
    });

    it("is asked for: without it, every change has its value", async () => {
      const key = item();
      await at.client.set({ ...key, data: START });
      const frames = await opened(key);
      await at.client.update({ ...key, ops: [{ type: "append", path: ["text"], value: "!" }] });
      const data = { text: `${LONG}!`, gone: 1 };
      expect(await nextChange(frames)).toMatchObject({ type: "update", data });
      await frames.return();
    });
  });
}

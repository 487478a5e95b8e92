import { describe, expect, it } from "vitest";
import { createGroupFollower } from "../../web/demo/group-follower.js";
import { GROUP, frames } from "./fake-connection.ts";

const at = (revision: number, epoch = "e") => ({ epoch, revision });

function follower(saved?: Parameters<typeof createGroupFollower>[1]) {
  const made = createGroupFollower(GROUP, saved);
  made.join("s");
  return made;
}

/** A follower with a = 1 at revision 4. */
function liveFollower() {
  const made = follower();
  made.take(frames.sync({ a: 1 }, at(4)));
  return made;
}

describe("the follower of a group", () => {
  it("joins without a position first, and later from its position", () => {
    const made = createGroupFollower(GROUP, undefined);
    expect(JSON.parse(made.join("s"))).toEqual({
      type: "join",
      data: { subscriptionId: "s", ...GROUP, heartbeat: true, parts: true },
    });
    made.take(frames.sync({ a: 1 }, at(4)));
    made.take(frames.set("a", 2, at(5)));
    made.detach();
    expect(JSON.parse(made.join("s"))).toMatchObject({ data: { resume: at(5) } });
  });

  it("applies changes to a snapshot, and keeps creation order", () => {
    const made = follower();
    expect(made.take(frames.sync({ a: 1, b: 2 }, at(4)))).toEqual({
      kind: "sync",
      timestamp: 1004,
    });
    expect(made.take(frames.set("c", 3, at(5)))).toEqual({
      kind: "change",
      change: { type: "update", id: "c", data: 3, timestamp: 1005, revision: 5 },
    });
    made.take(frames.set("a", null, at(6)));
    made.take(frames.delete("b", 2, at(7)));
    made.take(frames.set("b", 4, at(8)));
    expect([...made.items]).toEqual([
      ["a", null],
      ["c", 3],
      ["b", 4],
    ]);
    expect(made).toMatchObject({ phase: "live", position: at(8) });
  });

  it("replaces the state only when all parts of a snapshot have arrived", () => {
    const made = liveFollower();
    made.detach();
    made.join("s");
    expect(made.take(frames.sync({ b: 1 }, at(9, "f"), { first: true, last: false }))).toEqual({
      kind: "nothing",
    });
    expect([...made.items]).toEqual([["a", 1]]);
    made.take(frames.sync({ c: 2 }, at(9, "f"), { first: false, last: false }));
    expect(made).toMatchObject({ phase: "syncing", position: at(4) });
    expect(
      made.take(frames.sync({ d: 3 }, at(9, "f"), { first: false, last: true })),
    ).toMatchObject({ kind: "sync" });
    expect(Object.fromEntries(made.items)).toEqual({ b: 1, c: 2, d: 3 });
    expect(made).toMatchObject({ phase: "live", position: at(9, "f") });
  });

  it("discards the parts of an incomplete snapshot, and keeps the state", () => {
    const made = liveFollower();
    made.take(frames.sync({ b: 1 }, at(9), { first: true, last: false }));
    made.detach();
    expect([...made.items]).toEqual([["a", 1]]);
    expect(JSON.parse(made.join("s"))).toMatchObject({ data: { resume: at(4) } });
    made.take(frames.sync({ c: 2 }, at(9)));
    expect([...made.items]).toEqual([["c", 2]]);
  });

  it("is live after a replay only at the head (G4)", () => {
    const made = liveFollower();
    made.detach();
    made.join("s");
    expect(made.take(frames.resumed(at(4), at(6)))).toEqual({ kind: "resumed" });
    expect(made.phase).toBe("replaying");
    made.take(frames.set("a", 2, at(5)));
    expect(made.phase).toBe("replaying");
    made.take(frames.set("a", 3, at(6)));
    expect(made.phase).toBe("live");
  });

  it("is live at once when it missed nothing", () => {
    const made = liveFollower();
    made.detach();
    made.join("s");
    made.take(frames.resumed(at(4), at(4)));
    expect(made.phase).toBe("live");
  });

  it("resumes from a saved state, with its items at once", () => {
    const saved = liveFollower().save();
    expect(saved).toEqual({ position: at(4), items: [["a", 1]] });
    const made = follower(JSON.parse(JSON.stringify(saved)));
    expect([...made.items]).toEqual([["a", 1]]);
    made.take(frames.resumed(at(4), at(4)));
    made.take(frames.set("b", 2, at(5)));
    expect(Object.fromEntries(made.items)).toEqual({ a: 1, b: 2 });
  });

  it("has nothing to save before the first snapshot", () => {
    expect(follower().save()).toBeUndefined();
  });

  it("follows a group from before its first change", () => {
    const made = follower();
    made.take(frames.sync({}, at(0, "")));
    expect(made.take(frames.heartbeat(at(0, "")))).toEqual({ kind: "heartbeat" });
    expect(made.take(frames.set("a", 1, at(1, "born")))).toMatchObject({ kind: "change" });
    expect(made.position).toEqual(at(1, "born"));
  });

  it("does not apply a change twice", () => {
    const made = liveFollower();
    expect(made.take(frames.set("a", 9, at(4)))).toEqual({ kind: "repeated" });
    expect([...made.items]).toEqual([["a", 1]]);
  });

  it.each([
    ["a change that skips a revision", frames.set("a", 2, at(6))],
    ["a change of another epoch", frames.set("a", 2, at(5, "f"))],
    ["a heartbeat ahead of the changes", frames.heartbeat(at(5))],
    ["a heartbeat of another epoch", frames.heartbeat(at(4, "f"))],
    ["a later part without the first", frames.sync({ b: 1 }, at(5), { first: false, last: true })],
    [
      "a snapshot whose ids and values differ in number",
      {
        ...frames.sync({}, at(5)),
        event: { type: "sync", data: [1], ids: [] },
      },
    ],
    ["a `resumed` from another position", frames.resumed(at(3), at(4))],
  ])("treats %s as a hole, keeps its items, and then joins without a position", (_name, frame) => {
    const made = liveFollower();
    expect(made.take(frame)).toMatchObject({ kind: "hole" });
    expect([...made.items]).toEqual([["a", 1]]);
    made.detach();
    expect(JSON.parse(made.join("s")).data).not.toHaveProperty("resume");
  });

  it("treats a change between the parts of a snapshot as a hole", () => {
    const made = liveFollower();
    made.take(frames.sync({ b: 1 }, at(9), { first: true, last: false }));
    expect(made.take(frames.set("a", 2, at(5)))).toMatchObject({ kind: "hole" });
  });

  it("passes transient events on without a change of its state", () => {
    const made = liveFollower();
    expect(made.take(frames.event("cursor", { x: 1 }))).toEqual({
      kind: "event",
      type: "cursor",
      data: { x: 1 },
    });
    expect(made.position).toEqual(at(4));
  });

  it.each([
    ["unavailable", "STORE_UNAVAILABLE", true],
    ["resource_exhausted", "OVERLOADED", true],
    ["resource_exhausted", "SNAPSHOT_TOO_LARGE", false],
    ["invalid_argument", "NAME_INVALID", false],
  ])("distinguishes temporary from permanent refusals: %s %s", (code, reason, retryable) => {
    const made = follower();
    expect(made.take(frames.refused(code, reason))).toEqual({
      kind: "refused",
      message: "No.",
      retryable,
    });
    expect(made.phase).toBe("refused");
  });

  it("treats `unauthorized` as a permanent refusal", () => {
    const frame = { ...frames.event("", null), event: { type: "unauthorized" } };
    expect(follower().take({ ...frame, subscriptionId: "s" })).toMatchObject({
      kind: "refused",
      retryable: false,
    });
  });

  it("ignores unknown kinds of frames", () => {
    const made = liveFollower();
    const frame = { ...frames.heartbeat(at(99)), event: { type: "weather" } };
    expect(made.take(frame)).toEqual({ kind: "nothing" });
  });
});

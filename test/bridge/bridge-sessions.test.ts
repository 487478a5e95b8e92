import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { promised } from "../support/gates/calls.ts";
import { connect } from "./line.ts";
import { first, of, send } from "./notices.ts";
import {
  TIMEOUT_MS,
  type Scene,
  openScene,
  newGroup,
  greet,
  join,
  cut,
  leavesOf,
  left,
  joinsOf,
  passTimeout,
} from "./session-scene.ts";

/** A server whose sessions wait for long. */
let patient: Scene;
/** A server whose sessions end soon. */
let brief: Scene;

beforeAll(async () => {
  patient = await openScene();
  brief = await openScene(TIMEOUT_MS);
});
afterAll(async () => {
  await patient?.gated.server.close();
  await brief?.gated.server.close();
});

describe("a session", () => {
  it("goes on with its connection id and its secret when its client comes back", async () => {
    const before = await greet(patient);
    expect(before.resumed).toBe(false);
    cut(before);
    const after = await greet(patient, before.session);
    expect(after).toMatchObject({ ...before, line: after.line, resumed: true });
    cut(after);
    const again = await greet(patient, before.session);
    expect(again).toMatchObject({ ...before, line: again.line, resumed: true });
  });

  it("has no second join and no leave when its joins are made again, although gates are asked", async () => {
    const group = newGroup();
    const before = await greet(brief);
    await join(before, group);
    await join(before, group, "item", "i");
    expect(joinsOf(brief, group)).toBe(2);
    cut(before);
    const after = await greet(brief, before.session);
    await join(after, group);
    await join(after, group, "item", "i");
    await passTimeout();
    expect(await leavesOf(brief, group)).toBe(0);
    expect(joinsOf(brief, group)).toBe(2);
    const asked = brief.gated.joins.all.filter((each) => each.group_id === group.groupId);
    expect(asked.map((each) => each.connection_id)).toEqual(
      Array.from({ length: 4 }, () => before.connectionId),
    );
    after.line.socket.close();
    const ids = (await left(brief, group, 2)).map((each) => each.subscription_id);
    expect(ids.toSorted()).toEqual(["item", "s"]);
  });

  it("delivers what was committed while its client was away to joins that resume (G1)", async () => {
    const group = newGroup();
    const { service } = patient.gated;
    const before = await greet(patient);
    await join(before, group);
    await service.set({ ...group, itemId: "i", data: 1 });
    const { epoch, revision } = await first(before.line, "create");
    cut(before);
    await service.set({ ...group, itemId: "i", data: 2 });
    const after = await greet(patient, before.session);
    after.line.join({ ...group, subscriptionId: "s", resume: { epoch, revision } });
    expect((await first(after.line, "update")).event.data).toBe(2);
    await service.set({ ...group, itemId: "i", data: 3 });
    const all = await after.line.until("both", (each) => of(each, "update").length === 2);
    expect(of(all, "update").map(({ event }) => event.data)).toEqual([2, 3]);
    expect(of(all, "sync")).toEqual([]);
  });

  it("leaves for each subscription when its client does not come back, and is unknown then", async () => {
    const group = newGroup();
    const before = await greet(brief);
    await join(before, group);
    await join(before, group, "other");
    const cutMs = performance.now();
    cut(before);
    await left(brief, group, 2);
    expect(performance.now() - cutMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 50);
    const after = await greet(brief, before.session);
    expect(after.resumed).toBe(false);
    expect(after.session).not.toBe(before.session);
    expect(after.connectionId).not.toBe(before.connectionId);
    await join(after, group);
    expect(joinsOf(brief, group)).toBe(3);
  });

  it("leaves for the subscriptions that are not joined again within the timeout, and only for them", async () => {
    const group = newGroup();
    const before = await greet(brief);
    for (const id of ["same", "gone", "moved"]) await join(before, group, id);
    cut(before);
    const after = await greet(brief, before.session);
    await join(after, group, "same");
    await join(after, group, "moved", "i");
    const ids = (await left(brief, group, 2)).map((each) => each.subscription_id);
    expect(ids.toSorted()).toEqual(["gone", "moved"]);
    await passTimeout();
    expect(await leavesOf(brief, group)).toBe(2);
    expect(joinsOf(brief, group)).toBe(4);
  });

  it.each([
    ["without a code", undefined],
    ["with 1000", 1000],
    ["with 1001", 1001],
  ])("ends at once when its client closes the socket %s", async (_how, code) => {
    const group = newGroup();
    const before = await greet(patient);
    await join(before, group);
    before.line.socket.close(code);
    await left(patient, group);
    expect((await greet(patient, before.session)).resumed).toBe(false);
  });

  it("waits when its client closes the socket with a code of its own", async () => {
    const group = newGroup();
    const before = await greet(patient);
    await join(before, group);
    before.line.socket.close(4000);
    await before.line.closed;
    expect((await greet(patient, before.session)).resumed).toBe(true);
    expect(await leavesOf(patient, group)).toBe(0);
  });

  it("ends the socket that holds it with 4409, before another one gets the welcome", async () => {
    const group = newGroup();
    const before = await greet(patient);
    await join(before, group);
    const after = await greet(patient, before.session);
    expect(after.resumed).toBe(true);
    await patient.gated.service.set({ ...group, itemId: "i", data: 1 });
    expect(await before.line.closed).toBe(4409);
    expect(of(before.line.frames, "create")).toEqual([]);
    await join(after, group);
    expect(await leavesOf(patient, group)).toBe(0);
    expect(joinsOf(patient, group)).toBe(1);
  });

  it("is held by exactly one of many sockets that take it up at the same time", async () => {
    const before = await greet(patient);
    const lines = await Promise.all(
      Array.from({ length: 20 }, async () =>
        connect(patient.gated.url, "/", { headers: { user: "ann" } }),
      ),
    );
    for (const line of lines) send(line, "hello", { version: 2, session: before.session });
    expect(await before.line.closed).toBe(4409);
    const closed = await Promise.all(
      lines.map(async (line) => Promise.race([line.closed, first(line, "welcome").then(() => 0)])),
    );
    expect(closed.every((code) => code === 0 || code === 4409)).toBe(true);
    const { service } = patient.gated;
    const open = async () => lines.filter(({ socket }) => socket.readyState === socket.OPEN);
    while ((await open()).length > 1) await service.list({ streamName: "rooms", groupId: "none" });
    const [holder] = await open();
    if (holder === undefined) throw new Error("No socket holds the session.");
    holder.join({ ...newGroup(), subscriptionId: "s" });
    await first(holder, "sync");
  });

  it.each([
    ["another user", { user: "ann" }, { user: "bob" }],
    ["nobody", { user: "ann" }, { context: "1" }],
    ["another context without a user", { context: "1" }, { context: "2" }],
    ["a service", { user: "ann" }, { authorization: `Bearer ${"k".repeat(32)}` }],
  ])("is not for %s, whose hello leaves it as it is", async (_who, owner, other) => {
    const group = newGroup();
    const before = await greet(patient, undefined, owner);
    await join(before, group);
    const thief = await greet(patient, before.session, other);
    expect(thief.resumed).toBe(false);
    expect(thief.session).not.toBe(before.session);
    await patient.gated.service.set({ ...group, itemId: "i", data: 1 });
    await first(before.line, "create");
    cut(before);
    const after = await greet(patient, before.session, owner);
    expect(after.resumed).toBe(true);
    expect(await leavesOf(patient, group)).toBe(0);
  });

  it("is for services and callers without a user, too", async () => {
    for (const headers of [{ authorization: `Bearer ${"k".repeat(32)}` }, { context: "1" }]) {
      const before = await greet(patient, undefined, headers);
      cut(before);
      const after = await greet(patient, before.session, headers);
      expect(after.resumed).toBe(true);
    }
  });

  it.each(["", "unknown", "x".repeat(22)])(
    "begins anew for a secret that is none: %j",
    async (secret) => {
      expect((await greet(patient, secret)).resumed).toBe(false);
    },
  );

  it("keeps a subscription that gates refuse when it is joined again only until the timeout", async () => {
    const group = newGroup();
    const before = await greet(brief);
    await join(before, group);
    cut(before);
    const after = await greet(brief, before.session);
    brief.gated.decide = ({ group_id: id }) =>
      id === group.groupId ? { unauthorized: true } : undefined;
    onTestFinished(() => void (brief.gated.decide = () => undefined));
    after.line.join({ ...group, subscriptionId: "s" });
    await first(after.line, "unauthorized");
    await left(brief, group);
    await passTimeout();
    expect(await leavesOf(brief, group)).toBe(1);
  });

  it("continues a join that was at the gates when its connection was lost", async () => {
    const group = newGroup();
    const gate = promised();
    const before = await greet(brief);
    brief.gated.decide = async ({ group_id: id }) =>
      id === group.groupId ? gate.promise : undefined;
    onTestFinished(() => void (brief.gated.decide = () => undefined));
    before.line.join({ ...group, subscriptionId: "s" });
    await brief.gated.joins.until("the gate", (all) =>
      all.some((each) => each.group_id === group.groupId),
    );
    cut(before);
    const after = await greet(brief, before.session);
    gate.resolve();
    await brief.notified.until("the join", () => joinsOf(brief, group) === 1);
    await join(after, group);
    await passTimeout();
    expect(joinsOf(brief, group)).toBe(1);
    expect(await leavesOf(brief, group)).toBe(0);
  });

  it("does not continue what was ended while its client was away", async () => {
    const group = newGroup();
    const before = await greet(patient);
    await join(before, group);
    cut(before);
    const { service } = patient.gated;
    const { connectionId } = before;
    expect(await service.endSubscriptions({ connectionId })).toEqual({ ended: 1 });
    await left(patient, group);
    const after = await greet(patient, before.session);
    expect(after.resumed).toBe(true);
    await join(after, group);
    expect(joinsOf(patient, group)).toBe(2);
    expect(await leavesOf(patient, group)).toBe(1);
  });

  it("ends with its leaves when the service shuts down, at once", async () => {
    const scene = await openScene(600_000);
    const [lost, held] = [newGroup(), newGroup()];
    const [one, two] = [await greet(scene), await greet(scene)];
    await join(one, lost);
    await join(two, held);
    cut(one);
    const beganMs = performance.now();
    await scene.gated.server.close();
    expect(performance.now() - beganMs).toBeLessThan(5000);
    await left(scene, lost);
    await left(scene, held);
    expect(await two.line.closed).toBe(1001);
  });

  it("stands in no payload, no problem and no output", async () => {
    const group = newGroup();
    let printed = "";
    const streams = [process.stdout, process.stderr];
    const writes = streams.map(({ write }) => write);
    for (const [n, stream] of streams.entries()) {
      stream.write = ((...args: Parameters<typeof stream.write>) => {
        printed += String(args[0]);
        return (writes[n] as typeof stream.write).apply(stream, args);
      }) as typeof stream.write;
    }
    onTestFinished(() => {
      for (const [n, stream] of streams.entries()) stream.write = writes[n] as typeof stream.write;
    });
    const before = await greet(patient);
    await join(before, group);
    cut(before);
    await greet(patient, before.session, { user: "bob" });
    const after = await greet(patient, before.session);
    await join(after, group);
    send(after.line, "hello", { version: 2, session: before.session });
    const { event } = await first(after.line, "error");
    send(after.line, "hello", { version: 2, session: [before.session] });
    after.line.socket.close();
    await left(patient, group);
    const { joins, leaves, problems } = patient.gated;
    const all = [joins.all, leaves.all, patient.notified.all, problems, event, printed];
    expect(JSON.stringify(all)).not.toContain(before.session);
  });
});

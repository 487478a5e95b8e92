import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "./line.ts";
import { first, of, send } from "./notices.ts";
import {
  type Group,
  type Scene,
  joinsOf,
  left,
  leavesOf,
  newGroup,
  openScene,
} from "./session-scene.ts";

/** A server whose sessions wait for long. */
let patient: Scene;

beforeAll(async () => {
  patient = await openScene();
});
afterAll(() => patient?.gated.server.close());

/** Opens a socket whose URL requests a group. */
const open = async ({ streamName, groupId }: Group) =>
  connect(patient.gated.url, `/stream/${streamName}/${groupId}`, { headers: { user: "ann" } });

/** Opens one, says hello, and joins the group of the URL. */
async function openAndJoin(group: Group, session?: string, isLate = false) {
  const line = await open(group);
  if (isLate) await patient.notified.until("a join", () => joinsOf(patient, group) > 0);
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  line.join({ ...group, subscriptionId: "mine" });
  await line.until("its sync", (all) =>
    of(all, "sync").some(({ subscriptionId }) => subscriptionId === "mine"),
  );
  return { line, session: data["session"] as string, resumed: data["resumed"] };
}

/** Ids of the subscriptions of a group that join listeners were called for. */
const idsOf = ({ groupId }: Group) =>
  patient.notified.all.flatMap((each) => (each.group_id === groupId ? [each.subscription_id] : []));

describe("a join of a session that takes the place of the URL's subscription", () => {
  it("is the same subscription on each socket: there is one join and no leave, over three sockets", async () => {
    const group = newGroup();
    let { line, session } = await openAndJoin(group);
    for (let n = 0; n < 2; n++) {
      line.socket.terminate();
      const next = await openAndJoin(group, session);
      expect(next.resumed).toBe(true);
      ({ line, session } = next);
    }
    expect(await leavesOf(patient, group)).toBe(0);
    expect(idsOf(group)).toEqual(["mine"]);
    await patient.gated.service.set({ ...group, itemId: "i", data: 1 });
    await first(line, "create");
    expect(of(line.frames, "create")).toHaveLength(1);
    line.socket.close();
    // All that the session kept leaves with it.
    const leaves = await left(patient, group);
    expect(leaves.map((each) => each.subscription_id)).toEqual(["mine"]);
    expect(await leavesOf(patient, group)).toBe(1);
  });

  it("has a join and a leave of its own when the URL's join was announced already", async () => {
    const group = newGroup();
    const { line } = await openAndJoin(group, undefined, true);
    const leaves = await left(patient, group);
    const [url] = idsOf(group);
    expect(leaves.map((each) => each.subscription_id)).toEqual([url]);
    expect(idsOf(group)).toEqual([url, "mine"]);
    line.socket.close();
    expect(await left(patient, group, 2)).toMatchObject([{}, { subscription_id: "mine" }]);
  });

  it("leaves the URL's subscription in place when a gate refuses it", async () => {
    const group = newGroup();
    const line = await open(group);
    await first(line, "sync");
    send(line, "hello", { version: 2 });
    await first(line, "welcome");
    patient.gated.decide = ({ subscription_id: id }) =>
      id === "mine" ? { unauthorized: true } : undefined;
    line.join({ ...group, subscriptionId: "mine" });
    await first(line, "unauthorized");
    patient.gated.decide = () => undefined;
    await patient.gated.service.set({ ...group, itemId: "i", data: 1 });
    await first(line, "create");
    await patient.notified.until("the join", () => joinsOf(patient, group) === 1);
    line.socket.close();
    expect(await left(patient, group)).toHaveLength(1);
  });
});

describe("the join of the URL's subscription", () => {
  it("is announced at once when a first frame is no hello, and within a second without a frame", async () => {
    const [spoken, silent] = [newGroup(), newGroup()];
    const line = await open(spoken);
    await first(line, "sync");
    const beganMs = performance.now();
    line.leave("unknown");
    await patient.notified.until("the join", () => joinsOf(patient, spoken) === 1);
    expect(performance.now() - beganMs).toBeLessThan(900);
    await open(silent);
    await patient.notified.until("the join", () => joinsOf(patient, silent) === 1);
  });

  it("is announced before its leave when the socket closes before", async () => {
    const group = newGroup();
    const line = await open(group);
    await first(line, "sync");
    line.socket.close();
    const [leave] = await left(patient, group);
    expect(idsOf(group)).toEqual([leave?.subscription_id]);
  });

  it("is not announced twice when a join of a client without a session takes its place", async () => {
    const group = newGroup();
    const line = await open(group);
    await first(line, "sync");
    line.join({ ...group, subscriptionId: "mine" });
    await line.until("its sync", (all) => of(all, "sync").length === 2);
    line.socket.close();
    await left(patient, group);
    expect(joinsOf(patient, group)).toBe(1);
    expect(await leavesOf(patient, group)).toBe(1);
  });
});

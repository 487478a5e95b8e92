import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { AuthRequest } from "../../src/core/auth.ts";
import { connect } from "../bridge/line.ts";
import { DOORS } from "../support/doors/doors.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls } from "../support/gates/calls.ts";
import {
  type GatedServer,
  type JoinPayload,
  BARRIER_STREAM,
  openGatedServer,
} from "../support/gates/gated-server.ts";

const ID = /^[0-9a-f]{32}$/;

let gated: GatedServer;
let authCalls: Calls<AuthRequest>;
beforeAll(async () => {
  gated = await openGatedServer({
    authFunction: "auth",
    async setup(service) {
      await service.registerFunction("auth", (request: AuthRequest) => {
        if (request.path !== BARRIER_STREAM) authCalls.record(request);
        return {};
      });
    },
  });
});
afterAll(async () => gated?.server.close());
beforeEach(() => {
  authCalls = newCalls();
});

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
const idsIn = (payloads: readonly JoinPayload[], groupId: string) =>
  payloads.filter((each) => each.group_id === groupId).map((each) => each.connection_id);
const authIds = () => authCalls.all.map((each) => each.connection_id);
/** Resolves with the ids in the leaves of a group, once there are `count`. */
const leftIds = async (groupId: string, count: number) => {
  const all = await gated.leaves.until(
    `${count} leaves`,
    (leaves) => idsIn(leaves, groupId).length >= count,
  );
  return idsIn(all, groupId);
};

describe("the connection_id of a WebSocket", () => {
  it("is the same for auth_function and for all joins and leaves", async () => {
    const group = newGroup();
    const line = await connect(gated.url, `/stream/rooms/${group.groupId}`);
    line.join({ ...group, id: "a", subscriptionId: "s1" });
    await line.count(2);
    line.socket.terminate();
    await leftIds(group.groupId, 2);
    const [id = ""] = authIds();
    expect(id).toMatch(ID);
    expect(authIds()).toEqual([id]);
    expect(idsIn(gated.joins.all, group.groupId)).toEqual([id, id]);
    expect(await leftIds(group.groupId, 2)).toEqual([id, id]);
  });

  it("distinguishes a reconnected client from its earlier connection, whose leave comes late", async () => {
    const group = newGroup();
    const before = await connect(gated.url, "/");
    before.join({ ...group, subscriptionId: "mine" });
    await before.count(1);
    // After a network failure, the service may not have noticed that the first connection is dead.
    const after = await connect(gated.url, "/");
    after.join({ ...group, subscriptionId: "mine" });
    await after.count(1);
    before.socket.terminate();
    const [first, second] = idsIn(gated.joins.all, group.groupId);
    expect(first).not.toBe(second);
    expect(await leftIds(group.groupId, 1)).toEqual([first]);
  });
});

describe.each(DOORS.filter(({ name }) => name !== "library"))(
  "the connection_id over $name",
  (door) => {
    it("identifies the connection in joins, leaves and for auth_function", async () => {
      const group = newGroup();
      for (let client = 0; client < 2; client++) {
        const caller = door.client(gated);
        onTestFinished(() => caller.close());
        const frames = await caller.subscribe(group);
        await frames.next();
        await frames.return();
      }
      const left = await leftIds(group.groupId, 2);
      const joined = idsIn(gated.joins.all, group.groupId);
      // Clients of grpc-js share the connections of their process.
      expect(new Set(joined).size).toBe(door.name === "grpc-js" ? 1 : 2);
      expect(joined.every((id) => ID.test(id))).toBe(true);
      expect(left.toSorted()).toEqual(joined.toSorted());
      expect(authIds()).toEqual(joined);
    });

    it("is shared by calls of one HTTP/2 connection", async () => {
      if (!["grpc", "connect-h2-binary", "connect-h2-json"].includes(door.name)) return;
      const group = newGroup();
      const caller = door.client(gated);
      onTestFinished(() => caller.close());
      const both = [await caller.subscribe(group), await caller.subscribe(group)];
      for (const frames of both) await frames.next();
      expect(new Set(idsIn(gated.joins.all, group.groupId)).size).toBe(1);
      for (const frames of both) await frames.return();
    });
  },
);

describe("the connection_id of a library call", () => {
  it("is unique, unless the caller passes one", async () => {
    const group = newGroup();
    for (const auth of [{}, {}, { connection_id: "mine" }]) {
      const frames = await gated.service.subscribe({ ...group, auth });
      await frames.return?.();
    }
    const [first = "", second = "", third] = idsIn(gated.joins.all, group.groupId);
    expect([first, second]).toEqual([expect.stringMatching(ID), expect.stringMatching(ID)]);
    expect(first).not.toBe(second);
    expect(third).toBe("mine");
  });
});

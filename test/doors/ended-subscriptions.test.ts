import { EventEmitter, once } from "node:events";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { type Door, DoorError, type Frames } from "../support/doors/door.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";

const SECRET = "a secret of at least thirty-two bytes";
const tokenOf = async (sub: string) =>
  new SignJWT({ sub, exp: Math.floor(Date.now() / 1000) + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(SECRET));

let server: TestServer;
const tokens = new Map<string, string>();
beforeAll(async () => {
  server = await startServer("memory", {
    auth: {
      keys: [
        { name: "backend", key: "backend-key" },
        { name: "reader", key: "reader-key", allow: [{ actions: ["read", "subscribe"] }] },
      ],
      jwt: [{ algorithms: ["HS256"], secret: SECRET }],
      rules: [{ actions: ["subscribe"], stream: "rooms" }],
    },
  });
  for (const name of ["ann", "bob"]) tokens.set(name, `Bearer ${await tokenOf(name)}`);
});
afterAll(() => server.close());

const DOORS = SUBSCRIPTION_DOORS.filter(({ name }) => name !== "library");
let groups = 0;
const newGroup = () => ({ streamName: "rooms", groupId: `g${++groups}` });

/** The reason with which a subscription ends, and the frames before it. */
async function untilEnd(frames: Frames): Promise<{ kinds: string[]; reason: string }> {
  const kinds: string[] = [];
  for (;;) {
    try {
      const { value } = await frames.next();
      if (value === undefined) return { kinds, reason: "done" };
      kinds.push(value.kind);
    } catch (error) {
      if (!(error instanceof DoorError)) throw error;
      return { kinds, reason: error.reason ?? error.message };
    }
  }
}

describe.each(DOORS)("subscriptions that are ended over $name", (door: Door) => {
  const follow = async (user: string, group: ReturnType<typeof newGroup>) => {
    const authorization = tokens.get(user);
    const client = door.client({ url: server.url, service: server.service, authorization });
    const frames = await client.subscribe(group);
    await frames.next();
    return { frames, close: () => client.close() };
  };
  // Sockets without hello cannot be given a reason.
  const reason = door.name === "websocket" ? "JOIN_REFUSED" : "SUBSCRIPTION_ENDED";

  it("receive nothing that is committed after the response, and others go on (G11)", async () => {
    const group = newGroup();
    const ann = await follow("ann", group);
    const bob = await follow("bob", group);
    await server.service.set({ ...group, itemId: "before", data: 1 });
    expect(await server.service.endSubscriptions({ user: "ann" }, "Ann left.")).toEqual({
      ended: 1,
    });
    await server.service.set({ ...group, itemId: "after", data: 2 });
    const { kinds, reason: received } = await untilEnd(ann.frames);
    expect(kinds.length).toBeLessThanOrEqual(1);
    expect(received).toBe(reason);
    for (const itemId of ["before", "after"])
      expect((await bob.frames.next()).value).toMatchObject({ kind: "change", itemId });
    await ann.close();
    await bob.close();
  });

  it("are rechecked by the join gates, with recheck in the payload (G11)", async () => {
    const group = newGroup();
    const rechecks: unknown[] = [];
    let answer: object = {};
    const gate = await server.service.registerFunction(`gate-${group.groupId}`, async (payload) => {
      const { group_id: groupId, recheck } = payload as Record<string, unknown>;
      if (groupId !== group.groupId) return {};
      if (recheck === true) rechecks.push((payload as { user: string }).user);
      return answer;
    });
    const trigger = await server.service.registerTrigger({
      type: "stream:join",
      function_id: `gate-${group.groupId}`,
    });
    const ann = await follow("ann", group);
    const bob = await follow("bob", group);
    const filter = { groupId: group.groupId };
    expect(await server.service.recheckSubscriptions(filter)).toEqual({ kept: 2, ended: 0 });
    expect(rechecks.sort((a, b) => String(a).localeCompare(String(b)))).toEqual(["ann", "bob"]);
    answer = { unauthorized: true };
    expect(await server.service.recheckSubscriptions({ ...filter, user: "ann" })).toEqual({
      kept: 0,
      ended: 1,
    });
    await server.service.set({ ...group, itemId: "after", data: 1 });
    expect(await untilEnd(ann.frames)).toEqual({ kinds: [], reason });
    expect((await bob.frames.next()).value).toMatchObject({ kind: "change", itemId: "after" });
    await trigger.unregister();
    await gate.unregister();
    await ann.close();
    await bob.close();
  });

  it("count while their gates are being asked (G11)", async () => {
    const group = newGroup();
    let open = () => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    let asked = () => {};
    const isAsked = new Promise<void>((resolve) => (asked = resolve));
    const gate = await server.service.registerFunction(`slow-${group.groupId}`, async (payload) => {
      if ((payload as { group_id: string }).group_id !== group.groupId) return {};
      asked();
      await opened;
      return {};
    });
    const trigger = await server.service.registerTrigger({
      type: "stream:join",
      function_id: `slow-${group.groupId}`,
    });
    const authorization = tokens.get("ann");
    const client = door.client({ url: server.url, service: server.service, authorization });
    const subscribing = client.subscribe(group);
    const ending = subscribing.then((frames) => untilEnd(frames)).catch((error: unknown) => error);
    await isAsked;
    expect(await server.service.endSubscriptions({ groupId: group.groupId })).toEqual({ ended: 1 });
    open();
    await server.service.set({ ...group, itemId: "after", data: 1 });
    const end = await ending;
    expect(end instanceof DoorError ? { kinds: [], reason: end.reason } : end).toEqual({
      kinds: [],
      reason,
    });
    await trigger.unregister();
    await gate.unregister();
    await client.close();
  });

  it("are listed with their connection and user", async () => {
    const group = newGroup();
    const ann = await follow("ann", group);
    const { entries } = await server.service.subscriptions({ filter: { groupId: group.groupId } });
    expect(entries).toEqual([
      expect.objectContaining({
        ...group,
        user: "ann",
        door: door.name === "websocket" ? "socket" : "rpc",
        connectionId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      }),
    ]);
    await server.service.endSubscriptions({ connectionId: entries[0]?.connectionId ?? "" });
    expect((await untilEnd(ann.frames)).reason).toBe(reason);
    await ann.close();
  });
});

describe("the subscription of a socket's URL", () => {
  it("is ended also after a join has taken its place (G11)", async () => {
    const group = newGroup();
    const url = `${server.url.replace("http", "ws")}/stream/rooms/${group.groupId}`;
    const headers = { authorization: tokens.get("ann") ?? "" };
    const socket = new WebSocket(url, { headers });
    const types: string[] = [];
    const received = new EventEmitter();
    socket.on("message", (bytes: Buffer) => {
      types.push((JSON.parse(bytes.toString()) as { event: { type: string } }).event.type);
      received.emit(String(types.length));
    });
    await once(received, "1");
    const data = { subscriptionId: "mine", streamName: "rooms", groupId: group.groupId };
    socket.send(JSON.stringify({ type: "join", data }));
    await once(received, "2");
    expect(await server.service.endSubscriptions({ groupId: group.groupId })).toEqual({ ended: 1 });
    await server.service.set({ ...group, itemId: "after", data: 1 });
    if (types.length < 3) await once(received, "3");
    expect(types).toEqual(["sync", "sync", "unauthorized"]);
    const filter = { groupId: group.groupId };
    expect((await server.service.subscriptions({ filter })).entries).toEqual([]);
    socket.terminate();
  });
});

describe("ending subscriptions", () => {
  it("needs a filter with a field, and a short reason", async () => {
    await expect(server.service.endSubscriptions({})).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      message: expect.stringContaining("filter has no field"),
    });
    await expect(server.service.recheckSubscriptions({})).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
    });
    await expect(
      server.service.endSubscriptions({ user: "ann" }, "x".repeat(1001)),
    ).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  });

  it("is a function, too, which names what is wrong", async () => {
    const call = (name: string, payload: object) =>
      server.service.trigger({ function_id: `millrace::subscriptions::${name}`, payload });
    expect(await call("end", { filter: { user: "nobody" } })).toEqual({ ended: 0 });
    expect(await call("recheck", { filter: { user: "nobody" } })).toEqual({ kept: 0, ended: 0 });
    const none = { subscriptions: [], next_page_token: "" };
    expect(await call("list", { filter: { user: "nobody" } })).toEqual(none);
    await expect(call("end", {})).rejects.toMatchObject({
      code: "SUBSCRIPTIONS_ERROR",
      message: expect.stringContaining("REQUEST_INVALID"),
    });
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AuthRequest } from "../../src/core/auth.ts";
import { DEFAULT_SUBSCRIBER_QUEUE_LIMITS } from "../../src/live/frame-queue.ts";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { hmacToken } from "../support/rights/issuer.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { newCalls } from "../support/gates/calls.ts";
import type { ServerOptions } from "millrace/server";
import { type GatedServer, openGatedServer } from "../support/gates/gated-server.ts";
import { type Frame, type Line, connect, story } from "./line.ts";
import { first, hello, kindOf, of, send } from "./notices.ts";

const ISSUER = { algorithms: ["HS256"], secret: "s".repeat(32), allowClaim: "allow" } as const;
const GRACE_MS = 300;

/** A server with the default grace period. */
let patient: GatedServer;
/** A server with a short one. */
let brief: GatedServer;
let authCalls = newCalls<AuthRequest>();
/** Result of auth_function. */
let answer: (request: AuthRequest) => unknown = () => ({});

async function open(options: ServerOptions = {}): Promise<GatedServer> {
  return openGatedServer({
    auth: { jwt: [ISSUER], local: true },
    authFunction: "auth",
    async setup(service) {
      await service.registerFunction("auth", (request: AuthRequest) => {
        if (request.path !== "/") return {};
        authCalls.record(request);
        return answer(request);
      });
    },
    ...options,
  });
}

beforeAll(async () => {
  patient = await open();
  brief = await open({ bridge: { renewalGraceMs: GRACE_MS } });
});
afterAll(async () => {
  await patient?.server.close();
  await brief?.server.close();
});
beforeEach(() => {
  authCalls = newCalls();
  answer = () => ({});
  patient.decide = () => undefined;
});

/** A token for a user who may follow a stream. Its end is the next moment in whole seconds. */
const tokenOf = async (user: string, ttlMs: number, stream = "*") => {
  const allow = [{ actions: ["subscribe"], stream }];
  return signDevelopmentToken(ISSUER, { user, ttlMs, allow }, Date.now());
};

/** A token that expires in a moment: development tokens end with a whole second. */
const shortToken = (user: string, ttlMs = 700, stream = "*") => {
  const allow = [{ actions: ["subscribe"], stream }];
  const exp = (Date.now() + ttlMs) / 1000;
  return hmacToken('{"alg":"HS256"}', JSON.stringify({ sub: user, exp, allow }), ISSUER.secret);
};

const connectWith = async (token: string, path = "/", at = patient): Promise<Line> =>
  connect(at.url, path, { headers: { authorization: `Bearer ${token}` } });

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
const set = async (group: ReturnType<typeof newGroup>, data: number | string, at = patient) =>
  at.service.set({ ...group, itemId: "i", data });

/** Writes numbers from 0 until it is stopped. */
function writeOn(group: ReturnType<typeof newGroup>, at = patient) {
  let count = 0;
  let isOver = false;
  const done = (async () => {
    for (; !isOver; count++) {
      await set(group, count, at);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  return async () => {
    isOver = true;
    await done;
    return count;
  };
}

describe("a socket whose credentials expire", () => {
  it("gets unauthorized for each subscription and is closed with 4401 when it said no hello", async () => {
    const [one, two] = [newGroup(), newGroup()];
    const line = await connectWith(shortToken("ann"), `/stream/rooms/${one.groupId}`);
    line.join({ ...two, subscriptionId: "two" });
    await line.count(2);
    expect(await line.closed).toBe(4401);
    expect(line.frames.slice(2)).toEqual(
      [one, two].map((group) => ({
        ...{ type: "stream", timestamp: 0, ...group, id: null },
        subscriptionId: group === two ? "two" : expect.any(String),
        event: { type: "unauthorized" },
      })),
    );
    await patient.leaves.until("both leaves", (all) =>
      [one, two].every(({ groupId }) => all.some((each) => each.group_id === groupId)),
    );
  });

  it("gets expired once when it said hello, and is closed with 4401 after the grace period", async () => {
    const group = newGroup();
    const token = shortToken("ann");
    const line = await connectWith(token, "/", brief);
    hello(line);
    line.join({ ...group, subscriptionId: "s" });
    const welcome = await first(line, "welcome");
    await first(line, "expired");
    const expiredAtMs = Date.now();
    expect(expiredAtMs).toBeGreaterThanOrEqual(welcome.data["expiresAt"] as number);
    await set(group, 1, brief);
    expect(await line.closed).toBe(4401);
    expect(Date.now() - expiredAtMs).toBeGreaterThanOrEqual(GRACE_MS - 100);
    expect(line.frames.map(kindOf)).toEqual(["welcome", "sync", "expired"]);
    await brief.leaves.until("the leave", (all) =>
      all.some((each) => each.group_id === group.groupId),
    );
  });

  it.each([
    ["before its credentials expire", 0],
    ["within the grace period after it", 600],
  ])(
    "misses no change, repeats none and gets no sync when it renews %s (G1)",
    async (_when, waitMs) => {
      const group = newGroup();
      const line = await connectWith(shortToken("ann", 400));
      hello(line);
      await set(group, -1);
      line.join({ ...group, subscriptionId: "s" });
      await first(line, "sync");
      const stop = writeOn(group);
      if (waitMs > 0) {
        const { timestamp: _, ...expired } = await first(line, "expired");
        expect(expired).toEqual({ type: "expired" });
        const held = line.frames.length;
        await set({ ...group, groupId: `${group.groupId}-other` }, 1);
        await new Promise((resolve) => setTimeout(resolve, 100));
        expect(line.frames).toHaveLength(held);
      }
      send(line, "token", { token: await tokenOf("ann", 60_000) });
      const renewed = await first(line, "token");
      expect(renewed.data["expiresAt"]).toBeGreaterThan(Date.now() + 50_000);
      await new Promise((resolve) => setTimeout(resolve, 600));
      const count = await stop();
      const changes = (all: readonly Frame[]) => of(all, "update").map(({ event }) => event.data);
      await line.until("all changes", (all) => changes(all).at(-1) === count - 1);
      expect(changes(line.frames)).toEqual(Array.from({ length: count }, (_, n) => n));
      expect(of(line.frames, "sync")).toHaveLength(1);
      expect(of(line.frames, "expired")).toHaveLength(waitMs > 0 ? 1 : 0);
    },
  );

  it("misses no change when its bounded queue overflows before it renews (G3, G7)", async () => {
    const group = newGroup();
    const line = await connectWith(shortToken("ann"));
    hello(line);
    line.join({ ...group, subscriptionId: "s", heartbeat: true });
    await first(line, "expired");
    const count = 400;
    const data = "x".repeat((2 * DEFAULT_SUBSCRIBER_QUEUE_LIMITS.maxBytes) / count);
    await Promise.all(Array.from({ length: count }, () => set(group, data)));
    send(line, "token", { token: await tokenOf("ann", 60_000) });
    await line.until("all changes", (all) => all.at(-1)?.revision === count);
    const after = line.frames.slice(line.frames.findIndex((frame) => kindOf(frame) === "token"));
    expect(after.map(({ revision }) => revision)).toEqual([
      undefined,
      ...Array.from({ length: count }, (_, n) => n + 1),
    ]);
    expect(of(line.frames, "sync")).toHaveLength(1);
  });

  it("gets nothing that is committed after the moment, although changes are made all the time", async () => {
    const group = newGroup();
    const line = await connectWith(shortToken("ann", 400), "/", brief);
    hello(line);
    const welcome = await first(line, "welcome");
    const stop = writeOn(group, brief);
    line.join({ ...group, subscriptionId: "s" });
    expect(await line.closed).toBe(4401);
    await stop();
    const timestamps = of(line.frames, "update").map(({ timestamp }) => timestamp);
    expect(timestamps).not.toEqual([]);
    expect(Math.max(...timestamps)).toBeLessThanOrEqual(welcome.data["expiresAt"] as number);
  });

  it.each([
    ["of another user", async () => tokenOf("bob", 60_000), "AUTH_REFUSED"],
    ["of nobody", async () => "garbage", "AUTH_REFUSED"],
    ["with a wrong signature", async () => `${await tokenOf("ann", 60_000)}x`, "AUTH_REFUSED"],
    ["that has expired", async () => shortToken("ann", -1000), "AUTH_REFUSED"],
    ["that is empty", async () => "", "REQUEST_INVALID"],
  ])("stays as it is when a token comes %s", async (_what, newToken, reason) => {
    const group = newGroup();
    const line = await connectWith(shortToken("ann", 500));
    hello(line);
    line.join({ ...group, subscriptionId: "s" });
    await first(line, "sync");
    const token = await newToken();
    send(line, "token", { token });
    const { event } = await first(line, "error");
    expect(event).toMatchObject({ type: "error", reason });
    if (token !== "") expect(JSON.stringify(event)).not.toContain(token);
    await set(group, 1);
    await first(line, "create");
    await first(line, "expired");
    send(line, "token", { token });
    await line.until("a second error", (all) => of(all, "error").length === 2);
    line.join({ ...group, subscriptionId: "later" });
    const errors = await line.until("a third", (all) => of(all, "error").length === 3);
    expect(of(errors, "error").at(-1)?.event.reason).toBe("AUTH_EXPIRED");
    expect(of(line.frames, "token")).toEqual([]);
  });

  it("ends the subscriptions that the new token gives no right to, with their leaves, and continues the others", async () => {
    const [kept, lost] = [newGroup(), { ...newGroup(), streamName: "halls" }];
    const line = await connectWith(shortToken("ann", 300));
    hello(line);
    line.join({ ...kept, subscriptionId: "kept" });
    line.join({ ...lost, subscriptionId: "lost" });
    line.join({ ...lost, id: "i", subscriptionId: "lost item" });
    await line.until("three syncs", (all) => of(all, "sync").length === 3);
    await first(line, "expired");
    await set(lost, 1);
    await set(kept, 1);
    send(line, "token", { token: await tokenOf("ann", 60_000, "rooms") });
    await first(line, "create");
    await set(lost, 2);
    await set(kept, 2);
    await first(line, "update");
    const after = line.frames.slice(5);
    expect(after.map(kindOf)).toEqual(["ended", "ended", "token", "create", "update"]);
    expect(after.slice(0, 2)).toEqual(
      ["lost", "lost item"].map((subscriptionId) => ({
        ...{ type: "stream", timestamp: 0, ...lost, id: subscriptionId === "lost" ? null : "i" },
        subscriptionId,
        event: {
          type: "ended",
          code: "permission_denied",
          reason: "SUBSCRIPTION_ENDED",
          message: expect.stringMatching(/^The subscription has ended\. .* no right to subscribe/),
        },
      })),
    );
    expect(after.slice(3).every(({ groupId }) => groupId === kept.groupId)).toBe(true);
    const left = await patient.leaves.until(
      "two leaves",
      (all) => all.filter((each) => each.group_id === lost.groupId).length === 2,
    );
    expect(left.filter((each) => each.group_id === kept.groupId)).toEqual([]);
    line.join({ ...lost, subscriptionId: "again" });
    expect((await first(line, "error")).event).toMatchObject({ reason: "ACTION_DENIED" });
  });

  it("refuses a join that is at the gates during a renewal without the right", async () => {
    const group = newGroup();
    let open = () => {};
    patient.decide = ({ group_id: groupId }) =>
      groupId === group.groupId ? new Promise<void>((resolve) => (open = resolve)) : undefined;
    const line = await connectWith(shortToken("ann", 5000));
    hello(line);
    line.join({ ...group, subscriptionId: "s" });
    await patient.joins.until("the join", (all) => all.some((e) => e.group_id === group.groupId));
    send(line, "token", { token: await tokenOf("ann", 60_000, "halls") });
    await first(line, "token");
    open();
    expect((await first(line, "error")).event).toMatchObject({ reason: "ACTION_DENIED" });
    await set(group, 1);
    send(line, "leave", { subscriptionId: "" });
    await line.until("the response to a later frame", (all) => of(all, "error").length === 2);
    expect(story(of(line.frames, "create"))).toEqual([]);
  });

  it("refuses joins with AUTH_EXPIRED until it is renewed", async () => {
    const group = newGroup();
    const line = await connectWith(shortToken("ann"));
    hello(line);
    await first(line, "expired");
    line.join({ ...group, subscriptionId: "s" });
    expect(await first(line, "error")).toMatchObject({
      ...group,
      subscriptionId: "s",
      event: { code: "unauthenticated", reason: "AUTH_EXPIRED" },
    });
    send(line, "token", { token: await tokenOf("ann", 60_000) });
    await first(line, "token");
    line.join({ ...group, subscriptionId: "s" });
    await first(line, "sync");
  });

  it("refuses a join that takes over the subscription of its URL while it is expired", async () => {
    const group = newGroup();
    const line = await connectWith(shortToken("ann"), `/stream/rooms/${group.groupId}`);
    hello(line);
    await first(line, "expired");
    line.join({ ...group, subscriptionId: "s" });
    expect((await first(line, "error")).event).toMatchObject({ reason: "AUTH_EXPIRED" });
    send(line, "token", { token: await tokenOf("ann", 60_000) });
    await set(group, 1);
    await first(line, "create");
    expect(of(line.frames, "sync")).toHaveLength(1);
  });
});

describe("a socket whose credentials auth_function gave an end", () => {
  it("is asked about anew, with the headers of the handshake and the token as authorization", async () => {
    let expiresAt = Date.now() + 300;
    answer = () => ({ user: "ann", expires_at: expiresAt });
    const group = newGroup();
    const line = await connect(patient.url, "/", {
      protocols: ["Authorization", "token-1"],
      headers: { "x-room": "attic" },
    });
    hello(line);
    line.join({ ...group, subscriptionId: "s" });
    const welcome = await first(line, "welcome");
    expect(welcome.data["expiresAt"]).toBe(expiresAt);
    await first(line, "expired");
    await set(group, 1);
    expiresAt = Date.now() + 60_000;
    send(line, "token", { token: "token-2" });
    expect((await first(line, "token")).data).toEqual({ expiresAt });
    await first(line, "create");
    expect(authCalls.all.map(({ headers }) => headers["authorization"])).toEqual([
      "token-1",
      "token-2",
    ]);
    const [before, after] = authCalls.all;
    expect({ ...after, headers: { ...after?.headers, authorization: "token-1" } }).toEqual(before);
  });

  it.each([
    ["another user", () => ({ user: "bob", expires_at: Date.now() + 60_000 })],
    ["null", () => null],
    ["an end that has passed", () => ({ user: "ann", expires_at: Date.now() - 1 })],
  ])("stays expired when the function returns %s for the new token", async (_what, second) => {
    answer = () => ({ user: "ann", expires_at: Date.now() + 300 });
    const line = await connect(patient.url, "/", { headers: { authorization: "Bearer one" } });
    hello(line);
    await first(line, "expired");
    answer = second;
    send(line, "token", { token: "two" });
    expect((await first(line, "error")).event).toMatchObject({ reason: "AUTH_REFUSED" });
    line.join({ ...newGroup(), subscriptionId: "s" });
    const errors = await line.until("a second error", (all) => of(all, "error").length === 2);
    expect(of(errors, "error").at(-1)?.event.reason).toBe("AUTH_EXPIRED");
    expect(authCalls.all.at(-1)?.headers["authorization"]).toBe("Bearer two");
  });

  it("may be renewed on this machine, without credentials at the handshake, and for ever", async () => {
    answer = () => ({ user: "ann", expires_at: Date.now() + 300 });
    const line = await connect(patient.url, "/");
    hello(line);
    await first(line, "expired");
    answer = () => ({ user: "ann" });
    send(line, "token", { token: "two" });
    expect((await first(line, "token")).data).toEqual({ expiresAt: null });
    line.join({ ...newGroup(), subscriptionId: "s" });
    await first(line, "sync");
    send(line, "token", { token: "three" });
    await line.until("a second response", (all) => of(all, "token").length === 2);
  });

  it("is renewed by a token that came in time although its verification ends later", async () => {
    answer = () => ({ user: "ann", expires_at: Date.now() + 200 });
    const line = await connect(brief.url, "/");
    hello(line);
    await first(line, "expired");
    answer = async () => {
      await new Promise((resolve) => setTimeout(resolve, 2 * GRACE_MS));
      return { user: "ann", expires_at: Date.now() + 60_000 };
    };
    send(line, "token", { token: "two" });
    send(line, "token", { token: "three" });
    expect((await first(line, "error")).event.message).toMatch(/an earlier one is verified/);
    await first(line, "token");
    line.join({ ...newGroup(), subscriptionId: "s" });
    await first(line, "sync");
  });
});

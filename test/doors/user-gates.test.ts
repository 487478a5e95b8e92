import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { SignJWT } from "jose";
import { AdminService } from "millrace/v1";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CALL_DOORS, doorNamed } from "../support/doors/doors.ts";
import type { DoorClient } from "../support/doors/door.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";

const SECRET = "a secret of at least thirty-two bytes";
const ROOM = { streamName: "rooms", groupId: "attic" };
const NETWORK_DOORS = CALL_DOORS.filter(({ name }) => name !== "library");

let server: TestServer;
let token: string;
/** What the gates answer, and what they were asked. */
let writeAnswer: (payload: Record<string, unknown>) => unknown;
let readAnswer: unknown;
let asked: Record<string, unknown>[] = [];
beforeAll(async () => {
  server = await startServer("memory", {
    gateTimeoutMs: 400,
    auth: {
      keys: [
        { name: "backend", key: "backend-key" },
        { name: "limited", key: "limited-key", allow: [{ actions: ["read", "write"] }] },
      ],
      jwt: [{ algorithms: ["HS256"], secret: SECRET }],
      rules: [{ actions: ["read", "write", "send", "subscribe"], stream: "rooms" }],
    },
    async setup(service) {
      await service.registerFunction("write-gate", (payload) => {
        asked.push(payload as Record<string, unknown>);
        return writeAnswer(payload as Record<string, unknown>);
      });
      await service.registerFunction("join-gate", (payload) => {
        asked.push(payload as Record<string, unknown>);
        return readAnswer;
      });
      await service.registerTrigger({
        type: "stream:write",
        function_id: "write-gate",
        config: { stream_name: "rooms" },
      });
      await service.registerTrigger({ type: "stream:join", function_id: "join-gate" });
    },
  });
  token = await new SignJWT({ sub: "ann", exp: Math.floor(Date.now() / 1000) + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(SECRET));
});
afterAll(() => server.close());
beforeEach(() => {
  writeAnswer = () => null;
  readAnswer = null;
  asked = [];
});

async function as<R>(
  doorName: string,
  credential: string,
  act: (client: DoorClient) => Promise<R>,
): Promise<R> {
  const client = doorNamed(doorName).client({
    url: server.url,
    service: server.service,
    authorization: `Bearer ${credential}`,
  });
  try {
    return await act(client);
  } finally {
    await client.close();
  }
}

describe.each(NETWORK_DOORS)("gates of a user over $name", ({ name }) => {
  it("stamp what the user writes", async () => {
    writeAnswer = ({ data, user }) => ({ data: { text: data, from: user } });
    const done = await as(name, token, (client) =>
      client.set({ ...ROOM, itemId: "m", data: "hello" }),
    );
    expect(done.newValue).toEqual({ text: "hello", from: "ann" });
    expect(asked).toEqual([
      expect.objectContaining({
        action: "set",
        stream_name: "rooms",
        group_id: "attic",
        id: "m",
        data: "hello",
        user: "ann",
        connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      }),
    ]);
  });

  it.each<[string, () => unknown]>([
    ["refuses", () => ({ unauthorized: true })],
    ["throws", () => Promise.reject(new Error("No."))],
    ["answers nonsense", () => 42],
    ["gives data that is no value", () => ({ data: { ["__proto__x"]: "\ud800" } })],
    ["hangs", () => new Promise(() => {})],
  ])("that %s stores nothing", async (how, answer) => {
    writeAnswer = answer;
    const before = await server.service.list(ROOM);
    const all = [
      (client: DoorClient) => client.set({ ...ROOM, itemId: "x", data: 1 }),
      (client: DoorClient) => client.delete({ ...ROOM, itemId: "m" }),
      (client: DoorClient) =>
        client.batch({ ...ROOM, mutations: [{ set: { itemId: "x", data: 1 } }] }),
    ];
    for (const act of how === "hangs" ? all.slice(0, 1) : all) {
      await expect(as<unknown>(name, token, act)).rejects.toMatchObject({
        reason: "WRITE_REFUSED",
        code: "permission_denied",
        message: expect.not.stringContaining("No.") as string,
      });
    }
    expect(await server.service.list(ROOM)).toEqual(before);
  });

  it("decide about reads, once for 10 s and connection", async () => {
    await as(name, token, async (client) => {
      await client.get({ ...ROOM, itemId: "m" });
      await client.history({ ...ROOM, itemId: "m" });
    });
    const reads = asked.filter(({ action }) => action === "read");
    // HTTP/1.1 clients may use a connection for each call.
    expect(reads.length).toBeGreaterThanOrEqual(1);
    expect(reads.length).toBeLessThanOrEqual(2);
    expect(reads[0]).toMatchObject({ group_id: "attic", id: "m", user: "ann" });
    readAnswer = { unauthorized: true };
    for (const read of [
      (client: DoorClient) => client.list(ROOM),
      (client: DoorClient) => client.history(ROOM),
      (client: DoorClient) => client.history({ ...ROOM, itemId: "m" }),
    ]) {
      await expect(as<unknown>(name, token, read)).rejects.toMatchObject({
        reason: "JOIN_REFUSED",
      });
    }
  });

  it("are not asked about services, limited or not", async () => {
    writeAnswer = () => ({ unauthorized: true });
    readAnswer = { unauthorized: true };
    for (const key of ["backend-key", "limited-key"]) {
      await as(name, key, async (client) => {
        await client.set({ ...ROOM, itemId: "s", data: 1 });
        await client.get({ ...ROOM, itemId: "s" });
      });
    }
    expect(asked).toEqual([]);
  });
});

describe("writes that wait for a gate", () => {
  it("are refused when the token expires meanwhile, and store nothing", async () => {
    const brief = await new SignJWT({ sub: "ann", exp: Math.floor(Date.now() / 1000) + 1 })
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode(SECRET));
    const { exp } = JSON.parse(Buffer.from(brief.split(".")[1] ?? "", "base64url").toString()) as {
      exp: number;
    };
    writeAnswer = async () => {
      await new Promise((resolve) =>
        setTimeout(resolve, Math.max(0, exp * 1000 - Date.now()) + 20),
      );
      return null;
    };
    const item = { ...ROOM, itemId: "too-late" };
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, exp * 1000 - Date.now() - 200)));
    await expect(
      as("grpc", brief, (client) => client.set({ ...item, data: 1 })),
    ).rejects.toMatchObject({ reason: expect.stringMatching(/^(?:AUTH_EXPIRED|WRITE_REFUSED)$/) });
    expect(await server.service.get(item)).toBeUndefined();
  });

  it("are limited in bytes for a connection, and others are served", async () => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    writeAnswer = () => opened.then(() => null);
    const data = "x".repeat(900_000);
    // Together less than 10 MB: beyond that, Node's HTTP/2 client resets streams itself.
    await as("grpc", token, async (client) => {
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, (_, i) => {
          if (i === 9) setTimeout(open, 100);
          return client.set({ ...ROOM, itemId: `big${i}`, data });
        }),
      );
      const reasons = results.map((result) =>
        result.status === "fulfilled" ? "stored" : (result.reason as { reason: string }).reason,
      );
      expect(reasons.filter((reason) => reason === "OVERLOADED").length).toBeGreaterThan(0);
      expect(reasons.filter((reason) => reason !== "stored" && reason !== "OVERLOADED")).toEqual(
        [],
      );
    });
  });

  it("are checked before a gate is asked: a batch of too many is not", async () => {
    const mutations = Array.from({ length: 1001 }, () => ({ delete: { itemId: "x" } }));
    await expect(
      as("grpc", token, (client) => client.batch({ ...ROOM, mutations })),
    ).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
    expect(asked).toEqual([]);
  });
});

describe("the AdminService", () => {
  const clientOf = (credential: string) =>
    createClient(
      AdminService,
      createConnectTransport({
        baseUrl: server.url,
        httpVersion: "2",
        interceptors: [
          (next) => (request) => {
            request.header.set("authorization", `Bearer ${credential}`);
            return next(request);
          },
        ],
      }),
    );

  it("lists connections and subscriptions page by page", async () => {
    const groups = ["g1", "g2", "g3"];
    await as("grpc", token, async (client) => {
      const all = await Promise.all(
        groups.map((groupId) => client.subscribe({ streamName: "rooms", groupId })),
      );
      for (const frames of all) await frames.next();
      const admin = clientOf("backend-key");
      const found: string[] = [];
      for (let pageToken = ""; ;) {
        const page = await admin.listSubscriptions({ pageSize: 2, pageToken });
        found.push(...page.subscriptions.map(({ groupId }) => groupId));
        if ((pageToken = page.nextPageToken) === "") break;
      }
      expect(found.sort((a, b) => a.localeCompare(b))).toEqual(groups);
      const { connections } = await admin.listConnections({ filter: { user: "ann" } });
      expect(connections).toEqual([
        expect.objectContaining({ user: "ann", door: "rpc", subscriptions: 3 }),
      ]);
      expect(await admin.endSubscriptions({ filter: { groupId: "g2" } })).toMatchObject({
        ended: 1,
      });
      for (const frames of all) await frames.return().catch(() => {});
    });
  });

  it("is for callers with the right for admin", async () => {
    for (const credential of [token, "limited-key"]) {
      await expect(clientOf(credential).listSubscriptions({})).rejects.toMatchObject({
        message: expect.stringContaining("no right to admin") as string,
      });
    }
    await expect(clientOf("unknown").listSubscriptions({})).rejects.toMatchObject({
      message: expect.stringContaining("[unauthenticated]") as string,
    });
  });
});

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { AuthRequest } from "../../src/core/auth.ts";
import { startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type GatedServer, openGatedServer } from "../support/gates/gated-server.ts";
import { type Line, connect } from "./line.ts";

let server: GatedServer;
/** Ids of the connections that auth_function was asked about. */
const connections: string[] = [];
beforeAll(async () => {
  server = await openGatedServer({
    authFunction: "auth",
    bridge: { pingIntervalMs: 12_345 },
    async setup(service) {
      await service.registerFunction("auth", (request: AuthRequest) => {
        connections.push(request.connection_id);
        return {};
      });
    },
  });
});
afterAll(async () => server?.server.close());

const send = ({ socket }: Line, frame: object | string) =>
  socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
const HELLO = { type: "hello", data: { version: 2 } };

/** The data of the welcome, which is the first frame. */
async function welcomeOf(line: Line): Promise<Record<string, unknown>> {
  const [welcome] = await line.count(1);
  const { type, data, ...rest } = welcome as unknown as Record<string, unknown>;
  expect({ type, rest }).toEqual({ type: "welcome", rest: {} });
  return data as Record<string, unknown>;
}

describe("a hello", () => {
  it("brings trusted callers the authors of events", async () => {
    await server.service.registerFunction("bot", async () => {
      await server.service.set({ streamName: "authored", groupId: "g", itemId: "i", data: 1 });
    });
    const authors: unknown[] = [];
    for (const saysHello of [true, false]) {
      const line = await connect(server.url, "/");
      if (saysHello) send(line, HELLO);
      const data = { subscriptionId: "s", streamName: "authored", groupId: "g" };
      send(line, { type: "join", data });
      const before = saysHello ? 2 : 1;
      await line.count(before);
      await server.service.trigger({ function_id: "bot" });
      const frames = await line.count(before + 1);
      authors.push((frames.at(-1) as unknown as Record<string, unknown>)["author"]);
    }
    expect(authors).toEqual(["function:bot", undefined]);
  });

  it.each([
    ["without a session", HELLO.data],
    ["with a session, which is ignored", { version: 2, session: "abc" }],
    ["with unknown fields", { version: 2, session: null, more: [1] }],
  ])(
    "is answered by a welcome with the id of the connection and a new session: %s",
    async (_, data) => {
      const line = await connect(server.url, "/");
      const beforeMs = Date.now();
      send(line, { type: "hello", data });
      const welcome = await welcomeOf(line);
      expect(welcome).toEqual({
        connectionId: connections.at(-1),
        session: expect.stringMatching(/^[\w-]{22}$/),
        resumed: false,
        expiresAt: null,
        pingInterval: 12_345,
        serverTime: expect.any(Number),
      });
      const { serverTime } = welcome;
      expect(serverTime).toBeGreaterThanOrEqual(beforeMs);
      expect(serverTime).toBeLessThanOrEqual(Date.now());
    },
  );

  it("gives each socket a session of its own", async () => {
    const sessions = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const line = await connect(server.url, "/");
        send(line, HELLO);
        return (await welcomeOf(line))["session"];
      }),
    );
    expect(new Set(sessions).size).toBe(20);
  });

  it("may be followed by joins at once, and comes after the sync of the URL's subscription", async () => {
    const group = { streamName: "rooms", groupId: uniqueName("g") };
    const line = await connect(server.url, `/stream/rooms/${group.groupId}`);
    await line.count(1);
    send(line, HELLO);
    line.join({ ...group, subscriptionId: "s" });
    expect((await line.count(3)).map(({ type }) => type)).toEqual(["stream", "welcome", "stream"]);
  });

  it.each([
    ["of another version", { ...HELLO, data: { version: 3 } }, /^version is not supported/],
    ["without a version", { ...HELLO, data: {} }, /^version is not supported/],
    ["without data", { type: "hello" }, /^data is not an object/],
    ["with a session that is none", { ...HELLO, data: { version: 2, session: 7 } }, /^session is/],
    [
      "with a session that is too long",
      { ...HELLO, data: { version: 2, session: "s".repeat(300) } },
      /^session is/,
    ],
  ])("is refused %s, and not taken later", async (_what, frame, sentence) => {
    const line = await connect(server.url, "/");
    send(line, frame);
    send(line, HELLO);
    const [first, second] = await line.count(2);
    for (const each of [first, second]) {
      expect(each).toEqual({
        ...{ type: "stream", timestamp: 0, streamName: "", groupId: "", id: null },
        event: {
          type: "error",
          code: "invalid_argument",
          reason: "REQUEST_INVALID",
          message: expect.any(String),
        },
      });
    }
    expect(first?.event.message).toMatch(sentence);
    expect(second?.event.message).toBe(
      "hello is not the first frame of the socket; it may be that, once.",
    );
    line.join({ streamName: "rooms", groupId: uniqueName("g"), subscriptionId: "s" });
    expect((await line.count(3)).at(-1)?.event.type).toBe("sync");
  });

  it.each([
    ["twice", HELLO],
    ["after a leave", { type: "leave", data: { subscriptionId: "s" } }],
    ["after a malformed frame", "{"],
  ])("is refused when it comes late: %s", async (_what, earlier) => {
    const line = await connect(server.url, "/");
    send(line, earlier);
    send(line, HELLO);
    const all = await line.until("an error", (each) =>
      each.some(({ event }) => event?.message?.startsWith("hello is not the first") === true),
    );
    expect(all.at(-1)?.event.reason).toBe("REQUEST_INVALID");
  });

  it("counts as malformed when it is refused", async () => {
    const line = await connect(server.url, "/");
    for (let n = 0; n < 11; n++) send(line, HELLO);
    expect(await line.closed).toBe(4400);
  });

  it("keeps the socket open after a join that fails for now, as other extensions do", async () => {
    const gateless = await startServer("memory", { joinGate: "required" });
    onTestFinished(async () => gateless.close());
    const join = { streamName: "rooms", groupId: "g", subscriptionId: "s" };
    const plain = await connect(gateless.url, "/");
    plain.join(join);
    expect(await plain.closed).toBe(1013);
    const line = await connect(gateless.url, "/");
    send(line, HELLO);
    line.join(join);
    await line.count(2);
    await gateless.service.registerFunction("gate", () => undefined);
    await gateless.service.registerTrigger({ type: "stream:join", function_id: "gate" });
    line.join(join);
    expect((await line.count(3)).at(-1)?.event.type).toBe("sync");
  });
});

describe("a token", () => {
  it.each([
    ["without a hello", false, /^token came without a hello/],
    ["of a caller whose credentials do not expire", true, /^token is not needed/],
  ])("is malformed %s", async (_what, saysHello, sentence) => {
    const line = await connect(server.url, "/");
    if (saysHello) send(line, HELLO);
    send(line, { type: "token", data: { token: "secret" } });
    const all = await line.until("an error", (each) =>
      each.some(({ event }) => event?.type === "error"),
    );
    const { event } = all.at(-1) ?? {};
    expect(event?.reason).toBe("REQUEST_INVALID");
    expect(event?.message).toMatch(sentence);
  });

  it("and no other new frame is named to clients that said no hello", async () => {
    const sentences = await Promise.all(
      [false, true].map(async (saysHello) => {
        const line = await connect(server.url, "/");
        if (saysHello) send(line, HELLO);
        send(line, { type: "nonsense", data: {} });
        return (await line.count(saysHello ? 2 : 1)).at(-1)?.event.message;
      }),
    );
    expect(sentences).toEqual([
      "type is unknown; it may be join or leave.",
      "type is unknown; it may be join, leave, presence, call or token.",
    ]);
  });
});

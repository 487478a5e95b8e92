import { once } from "node:events";
import { runInNewContext } from "node:vm";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { type Server, createServer } from "millrace/server";
import { comparable } from "./comparable.ts";
import { isSocketFrame, placeOf, readMarkdown } from "./markdown.ts";

const protocol = await readMarkdown("docs/protocol.md");
const readme = await readMarkdown("README.md");
const blocks = protocol.snippets.filter(isSocketFrame);
const pages = readme.snippets.filter(({ language }) => language === "js");

const ORDER = { streamName: "orders", groupId: "eu", itemId: "o-7" };
const ANSWER = { streamName: "chat", groupId: "room", itemId: "answer" };
const TARGET = { streamName: "orders", groupId: "eu" };

/** A block of the document, as JSON. */
function documented(label: string): JsonObject {
  const block = blocks.find((each) => each.label === label);
  if (block === undefined) throw new Error(`docs/protocol.md has no block "${label}".`);
  return JSON.parse(block.code) as JsonObject;
}

/** A frame without what differs from run to run, except whether its timestamp is 0. */
function comparableFrame(frame: JsonObject): JsonObject {
  const { timestamp, ...rest } = frame;
  return { isTimed: timestamp !== 0, ...(comparable(rest) as JsonObject) };
}

/** The fields of a frame, each with the type of its value. */
function shapeOf({ data = {}, ...frame }: JsonObject): JsonObject {
  const types = Object.entries(data as JsonObject).map(([name, value]) => [name, typeof value]);
  return { ...frame, data: Object.fromEntries(types) as JsonObject };
}

interface Line {
  send(frame: JsonObject): void;
  /** The next received frame. */
  next(): Promise<JsonObject>;
  /** Cuts the connection. */
  cut(): void;
}

async function connect(server: Server, path: string, headers = {}): Promise<Line> {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}${path}`, { headers });
  onTestFinished(() => socket.terminate());
  const frames: JsonObject[] = [];
  socket.on("message", (data: Buffer) => frames.push(JSON.parse(data.toString()) as JsonObject));
  await once(socket, "open");
  return {
    send: (frame) => socket.send(JSON.stringify(frame)),
    next: async () => {
      if (frames.length === 0) await once(socket, "message");
      return frames.shift() ?? {};
    },
    cut: () => socket.terminate(),
  };
}

/** The documented join that resumes, with the position of a received frame. */
function resumeFrom(frame: JsonObject): JsonObject {
  const join = documented("ClientFrame join and resume");
  const { epoch = "", revision = 0 } = frame;
  return { ...join, data: { ...(join["data"] as JsonObject), resume: { epoch, revision } } };
}

describe("the frames in docs/protocol.md", () => {
  let server: Server;
  const received = new Map<string, JsonObject>();
  const sent = new Set<string>();

  beforeAll(async () => {
    server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      heartbeatIntervalMs: 200,
    });
  });
  afterAll(async () => server?.close());

  it("are the frames that a client and the service exchange", async () => {
    const receive = async (label: string, line: Line) => {
      const frame = await line.next();
      received.set(label, frame);
      expect({ label, ...comparableFrame(frame) }).toEqual({
        label,
        ...comparableFrame(documented(`ServerFrame ${label}`)),
      });
      return frame;
    };
    const send = (label: string, line: Line) => {
      sent.add(label);
      line.send(documented(`ClientFrame ${label}`));
    };
    const { service } = server;
    for (const itemId of ["o-7", "o-8"])
      await service.set({ ...ORDER, itemId, data: { id: itemId, state: "new" } });

    const one = await connect(server, "/");
    send("join", one);
    await receive("sync of an item", one);
    const all = await connect(server, "/ws/streams");
    all.send({ type: "join", data: { ...TARGET, subscriptionId: "s2" } });
    await receive("sync", all);
    const parts = await connect(server, "/");
    parts.send({ type: "join", data: { ...TARGET, subscriptionId: "s3", parts: true } });
    await receive("sync in parts", parts);
    const window = await connect(server, "/");
    send("join of a window", window);
    const { event } = await receive("sync of a window", window);
    const pageToken = (event as JsonObject)["olderPageToken"] as string;
    const older = await service.list({ ...TARGET, descending: true, pageToken });
    expect(older.items.map(({ itemId }) => itemId)).toEqual(["o-7"]);

    await service.set({ ...ORDER, data: { id: "o-7", state: "paid" } });
    await receive("update", one);
    expect(await all.next()).toEqual(received.get("update"));
    await service.send({ ...TARGET, type: "typing", data: { user: "ann" } });
    await receive("event", all);

    const resuming = await connect(server, "/");
    sent.add("join and resume");
    resuming.send(resumeFrom(received.get("update") ?? {}));
    await receive("resumed", resuming);
    await receive("heartbeat", resuming);

    await service.set({ ...ANSWER, data: { text: "Once upon a".padEnd(100, ".") } });
    const deltas = await connect(server, "/");
    send("join with deltas", deltas);
    await deltas.next();
    await service.update({ ...ANSWER, ops: [{ type: "append", path: ["text"], value: " time" }] });
    await receive("delta", deltas);

    send("leave", one);
    one.send({ type: "subscribe" });
    await receive("error", one);
  });

  it("are those of a client that says hello and renews its credentials", async () => {
    const issuer = { algorithms: ["HS256"], secret: "s".repeat(32), allowClaim: "allow" } as const;
    const tokenFor = async (stream: string, ttlMs: number) => {
      const allow = [{ actions: ["subscribe"], stream }];
      return signDevelopmentToken(issuer, { user: "ann", ttlMs, allow }, Date.now());
    };
    const guarded = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      auth: { jwt: [issuer] },
    });
    onTestFinished(async () => guarded.close());
    const receive = async (label: string) => {
      const frame = await line.next();
      received.set(label, frame);
      const expected = documented(`ServerFrame ${label}`);
      expect({ label, ...shapeOf(frame) }).toEqual({ label, ...shapeOf(expected) });
      return frame;
    };
    const authorization = `Bearer ${await tokenFor("orders", 100)}`;
    const line = await connect(guarded, "/", { authorization });
    const hello = documented("ClientFrame hello");
    sent.add("hello");
    line.send(hello);
    await receive("welcome");
    line.send({ type: "join", data: { ...TARGET, subscriptionId: "s2" } });
    await line.next();
    await receive("expired");
    sent.add("token");
    const token = documented("ClientFrame token");
    line.send({ ...token, data: { token: await tokenFor("lobby", 60_000) } });
    // The sentence, too, is what the service says.
    expect(await receive("ended")).toEqual(documented("ServerFrame ended"));
    await receive("token");
  });

  it("are those of a client that comes back with its session and makes calls", async () => {
    const fresh = await createServer({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(async () => fresh.close());
    for (const itemId of ["o-7", "o-8"])
      await fresh.service.set({ ...ORDER, itemId, data: { id: itemId, state: "new" } });
    const before = await connect(fresh, "/");
    before.send(documented("ClientFrame hello"));
    const { session } = (await before.next())["data"] as JsonObject;
    before.cut();
    const line = await connect(fresh, "/");
    const label = "hello of a client that comes back";
    sent.add(label);
    const hello = documented(`ClientFrame ${label}`);
    line.send({ ...hello, data: { ...(hello["data"] as JsonObject), session: session ?? null } });
    expect((await line.next())["data"]).toMatchObject({ session, resumed: true });
    sent.add("call that binds an item");
    line.send(documented("ClientFrame call that binds an item"));
    expect((await line.next())["data"]).toMatchObject({ id: 3, result: { created: true } });
    sent.add("call");
    line.send(documented("ClientFrame call"));
    line.send({ type: "call", data: { id: 2, method: "Nonsense", params: {} } });
    for (const each of ["result of a call that failed", "result"]) {
      const frame = await line.next();
      received.set(each, frame);
      const expected = documented(`ServerFrame ${each}`);
      expect({ each, frame: comparable(frame) }).toEqual({ each, frame: comparable(expected) });
    }
  });

  it("are those of a client that is present, and of one that sees it", async () => {
    const fresh = await createServer({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(async () => fresh.close());
    const watcher = await connect(fresh, "/stream/millrace%3Apresence%3Aorders/eu");
    await watcher.next();
    const line = await connect(fresh, "/");
    line.send(documented("ClientFrame hello"));
    const { connectionId = "" } = (await line.next())["data"] as JsonObject;
    sent.add("join with presence");
    line.send(documented("ClientFrame join with presence"));
    const created = await watcher.next();
    received.set("create of presence", created);
    const known = documented("ServerFrame create of presence");
    const comparablePresence = (frame: JsonObject) =>
      JSON.stringify(comparable(frame)).replaceAll(/"id":"[0-9a-f]{32}"|"since":\d{13}/g, "");
    expect(created["id"]).toBe(connectionId);
    expect(comparablePresence(created)).toBe(comparablePresence(known));
    sent.add("presence");
    const presence = documented("ClientFrame presence");
    line.send(presence);
    const { event } = await watcher.next();
    expect(((event as JsonObject)["data"] as JsonObject)["data"]).toEqual(
      (presence["data"] as JsonObject)["data"],
    );
  });

  it("are all frames in the document", () => {
    const labels = [
      ...[...sent].map((label) => `ClientFrame ${label}`),
      ...[...received.keys()].map((label) => `ServerFrame ${label}`),
    ];
    expect(blocks.map(({ label }) => label).toSorted()).toEqual(labels.toSorted());
  });

  it("include a sync under the client's id for a join of the URL's subscription", async () => {
    const line = await connect(server, "/stream/orders/eu/o-7");
    const first = await line.next();
    line.send(documented("ClientFrame join"));
    const second = await line.next();
    expect(second).toEqual({ ...first, subscriptionId: "s1" });
    // The join took over the URL's subscription, so this leave ends the only one.
    line.send(documented("ClientFrame leave"));
    line.send({ type: "nonsense" });
    await line.next();
    await server.service.set({ ...ORDER, data: { id: "o-7", state: "sent" } });
    line.send(documented("ClientFrame join"));
    expect((await line.next())["event"]).toMatchObject({ type: "sync", data: { state: "sent" } });
  });
});

describe("the page in README.md", () => {
  it("is the only JavaScript block", () => {
    expect(pages).toHaveLength(1);
  });

  it.each(pages.map((page) => [placeOf(page), page.code]))(
    "shows the group: %s",
    async (_, code) => {
      const server = await createServer({ port: 0, store: { kind: "in_memory" } });
      onTestFinished(async () => server.close());
      const item = { streamName: "chat", groupId: "lobby", itemId: "m1" };
      const shown: string[] = [];
      let wake = () => {};
      const shows = async (count: number) => {
        while (shown.length < count) await new Promise<void>((resolve) => (wake = resolve));
      };
      const log = (items: unknown) => {
        shown.push(JSON.stringify(items));
        wake();
      };
      await server.service.set({ ...item, data: { text: "hello" } });
      runInNewContext(code.replaceAll("3112", String(server.port)), {
        WebSocket,
        console: { log },
      });
      await shows(1);
      await server.service.set({ ...item, itemId: "m2", data: "again" });
      await server.service.delete(item);
      await shows(3);
      expect(shown).toEqual([
        '{"m1":{"text":"hello"}}',
        '{"m1":{"text":"hello"},"m2":"again"}',
        '{"m2":"again"}',
      ]);
    },
  );
});

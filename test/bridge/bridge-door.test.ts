import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { connect, story, upgrade } from "./line.ts";
import { within } from "./within.ts";

const encoded = (...names: string[]) => names.map(encodeURIComponent).join("/");

describe("the WebSocket bridge", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({ port: 0, store: { kind: "in_memory" } });
    const { service } = server;
    await service.set({ ...ITEM, data: { id: "o-7", state: "new" } });
    await service.set({ ...ITEM, itemId: "o-8", data: { id: "o-8", state: "new" } });
    await service.set({ ...STRANGE, data: { id: "strange" } });
  });
  afterAll(async () => server?.close());

  const ITEM = { streamName: "orders", groupId: "eu", itemId: "o-7" };
  const STRANGE = { streamName: "a/b", groupId: "100% é?#", itemId: "../x y" };

  it.each(["/stream/orders/eu", "/stream/orders/eu/", "/stream/orders/eu?from=page"])(
    "follows the group of the URL %s",
    async (path) => {
      const line = await connect(server.url, path);
      const [sync] = await line.count(1);
      expect(sync).toMatchObject({
        type: "stream",
        streamName: "orders",
        groupId: "eu",
        id: null,
        revision: 2,
        subscriptionId: expect.stringMatching(/./) as string,
        event: {
          type: "sync",
          data: [
            { id: "o-7", state: "new" },
            { id: "o-8", state: "new" },
          ],
          ids: ["o-7", "o-8"],
        },
      });
    },
  );

  it.each(["/stream/orders/eu/o-7", "/stream/orders/eu/o-7/"])(
    "follows the item of the URL %s",
    async (path) => {
      const line = await connect(server.url, path);
      const [sync] = await line.count(1);
      expect(sync).toMatchObject({
        id: "o-7",
        event: { type: "sync", data: { id: "o-7", state: "new" }, ids: ["o-7"] },
      });
    },
  );

  it("sends null and no id for an item that does not exist", async () => {
    const line = await connect(server.url, "/stream/orders/eu/missing");
    const [sync] = await line.count(1);
    expect(sync).toMatchObject({ id: "missing", event: { type: "sync", data: null, ids: [] } });
  });

  it("accepts names with encoded slashes, dots and other characters unchanged", async () => {
    const { streamName, groupId, itemId } = STRANGE;
    const group = await connect(server.url, `/stream/${encoded(streamName, groupId)}`);
    const item = await connect(server.url, `/stream/${encoded(streamName, groupId, itemId)}/`);
    expect((await group.count(1))[0]).toMatchObject({
      streamName,
      groupId,
      id: null,
      event: { type: "sync", data: [{ id: "strange" }], ids: [itemId] },
    });
    expect((await item.count(1))[0]).toMatchObject({
      streamName,
      groupId,
      id: itemId,
      event: { type: "sync", data: { id: "strange" }, ids: [itemId] },
    });
  });

  it.each(["/", "/ws/streams", "/ws/streams/", "/?token=x"])(
    "starts without a subscription at %s, and accepts joins",
    async (path) => {
      const line = await connect(server.url, path);
      line.join({ subscriptionId: "s1", streamName: "orders", groupId: "eu" });
      const frames = await line.count(1);
      expect(story(frames)).toEqual(["sync"]);
      expect(frames[0]?.subscriptionId).toBe("s1");
    },
  );

  it.each([
    "/stream/orders/%zz",
    "/stream/orders/%E0%A4%A",
    "/stream/orders/eu/%",
    "/stream",
    "/stream/",
    "/stream/orders",
    "/stream/orders/",
    "/stream//eu",
    "/stream/orders//o-7",
    "/stream/orders/eu/o-7/more",
  ])("refuses the URL %s with 400 and names the valid forms", async (path) => {
    const { status, sentence } = await upgrade(server.url, path);
    expect(status).toBe(400);
    expect(sentence).toContain("/stream/{stream_name}/{group_id}");
  });

  it.each([
    "/stream/./eu",
    "/stream/../eu",
    "/stream/orders/.",
    "/stream/orders/..",
    "/stream/orders/../eu",
    "/stream/orders/eu/.",
    "/stream/orders/eu/..",
    "/stream/orders/eu/../",
    "/stream/orders/%2e",
    "/stream/orders/%2E%2e",
    "/stream/%2E./eu",
    "/stream/orders/eu/.%2E?a=1",
    "/stream/../healthz",
  ])(
    "refuses the URL %s with 400 instead of following the path that it resolves to",
    async (path) => {
      const { status, sentence } = await upgrade(server.url, path);
      expect(status).toBe(400);
      expect(sentence).toMatch(/^The path has the name "\.\.?", .* send a join frame for it\.\n$/);
    },
  );

  it("accepts names that only look like dot segments, and dot names in a join frame", async () => {
    for (const name of ["...", ".a", "%2E", "%2e%2e"]) {
      const line = await connect(server.url, `/stream/${encoded("orders", name)}`);
      expect((await line.count(1))[0]).toMatchObject({ groupId: name });
    }
    const line = await connect(server.url, "/");
    for (const name of [".", ".."]) {
      const target = { streamName: name, groupId: name, id: name };
      await server.service.set({ ...target, itemId: name, data: { id: name } });
      line.join({ ...target, subscriptionId: name });
      const frames = await line.until(name, (all) =>
        all.some(({ subscriptionId }) => subscriptionId === name),
      );
      expect(frames.at(-1)).toMatchObject({ ...target, event: { data: { id: name } } });
    }
  });

  it.each(["/../stream/orders/eu", "//stream/orders/eu", "/./stream/orders/eu", "/x/../"])(
    "responds with 404 at %s, because it never resolves a path",
    async (path) => {
      expect((await upgrade(server.url, path)).status).toBe(404);
    },
  );

  it.each(["/other", "/ws", "/streams/orders/eu", "/streamorders/eu", "/ws/streams/orders"])(
    "responds with 404 at %s",
    async (path) => {
      expect((await upgrade(server.url, path)).status).toBe(404);
    },
  );

  it.each(["https://pages.example", "http://127.0.0.1.example", "null"])(
    "refuses a page of the origin %s with 403",
    async (origin) => {
      for (const path of ["/", "/ws/streams", "/stream/orders/eu"])
        expect((await upgrade(server.url, path, { origin })).status).toBe(403);
    },
  );

  it("admits pages of this machine", async () => {
    const line = await connect(server.url, "/stream/orders/eu", {
      origin: "http://localhost:5173",
    });
    expect(story(await line.count(1))).toEqual(["sync"]);
  });

  it("accepts the sub-protocol Authorization, with which browsers send a token", async () => {
    const line = await connect(server.url, "/", { protocols: ["Authorization", "s3cret"] });
    expect(line.socket.protocol).toBe("Authorization");
  });

  it("accepts no other sub-protocol", async () => {
    const { status, headers } = await upgrade(server.url, "/", {
      "sec-websocket-protocol": "graphql-ws, chat",
    });
    expect(status).toBe(101);
    expect(headers["sec-websocket-protocol"]).toBeUndefined();
  });

  it("leaves a plain request that merely offers h2c to HTTP/1.1", async () => {
    const body = JSON.stringify({ streamName: "plain", groupId: "g", itemId: "i", data: { n: 1 } });
    const socket = connectTcp(server.port, "127.0.0.1");
    onTestFinished(() => {
      socket.destroy();
    });
    socket.write(
      [
        "POST /millrace.v1.StreamService/Set HTTP/1.1",
        `Host: 127.0.0.1:${server.port}`,
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Content-Type: application/json",
        `Content-Length: ${Buffer.byteLength(body)}`,
        "",
        body,
      ].join("\r\n"),
    );
    let response = "";
    socket.setEncoding("utf8");
    const responded = new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", resolve);
      socket.on("data", (text: string) => {
        response += text;
        if (response.includes('"created":true')) resolve();
      });
    });
    await within(responded, () => `a response; it received ${response}`);
    expect(response).toMatch(/^HTTP\/1\.1 200 /);
    expect(response).toContain('"created":true');
    const got = await server.service.get({ streamName: "plain", groupId: "g", itemId: "i" });
    expect(JSON.stringify(got)).toContain('{"n":1}');
  });
});

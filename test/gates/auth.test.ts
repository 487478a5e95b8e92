import { connect as connectTcp } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { StreamService as StreamServiceDesc } from "millrace/v1";
import type { AuthRequest } from "../../src/core/auth.ts";
import { connect, upgrade } from "../bridge/line.ts";
import { OPCODE, clientFrame } from "../bridge/raw-line.ts";
import { DOORS } from "../support/doors/doors.ts";
import { rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { RAW_PROTOCOLS } from "../support/doors/raw-protocol.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import {
  type GatedServer,
  BARRIER_STREAM,
  openGatedServer,
  visit,
} from "../support/gates/gated-server.ts";

const REFUSED = { code: "unauthenticated", reason: "AUTH_REFUSED" };
const SUBSCRIBE = "/millrace.v1.StreamService/Subscribe";
const KEY = Buffer.alloc(16, 7).toString("base64");
const ITEM = { streamName: "rooms", groupId: "g", itemId: "a" };

let gated: GatedServer;
let authCalls = newCalls<AuthRequest>();
/** Result of auth_function. */
let answer: (request: AuthRequest) => unknown = () => ({});

beforeAll(async () => {
  gated = await openGatedServer({
    authFunction: "auth",
    gateTimeoutMs: 10_000,
    async setup(service) {
      await service.registerFunction("auth", (request: AuthRequest) => {
        if (request.path === BARRIER_STREAM) return {};
        authCalls.record(request);
        return answer(request);
      });
    },
  });
});
afterAll(async () => gated?.server.close());
beforeEach(() => {
  authCalls = newCalls();
  answer = () => ({});
});

/** A separate group for a test. */
const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
const joinsOf = (groupId: string) => gated.joins.all.filter((each) => each.group_id === groupId);
const leavesOf = async (groupId: string) =>
  (await gated.leavesSoFar()).filter((each) => each.group_id === groupId);

/** Whether a header's name is not in lower case. */
const isOdd = (name: string) => name !== name.toLowerCase() || name.startsWith(":");

/** An upgrade request, as bytes. */
function handshakeOf(path: string, headers: readonly string[] = []): string {
  return [
    `GET ${path} HTTP/1.1`,
    "Host: millrace.example:80",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${KEY}`,
    ...headers,
    "\r\n",
  ].join("\r\n");
}

/** Sends a raw upgrade request. @returns The head of the response, and the client's address. */
async function handshake(path: string, headers: readonly string[] = []) {
  const socket = connectTcp(gated.server.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.write(handshakeOf(path, headers));
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  await new Promise<void>((resolve) => {
    socket.on("data", () => {
      if (text.includes("\r\n\r\n")) resolve();
    });
    socket.on("close", resolve);
  });
  return { head: text.split("\r\n\r\n", 1)[0] ?? "", from: `127.0.0.1:${socket.localPort}` };
}

describe("auth_function", () => {
  it("is called once per socket, and its context is in all joins and leaves of the socket", async () => {
    const context = { user: "ann", roles: ["a", "b"] };
    answer = () => ({ context });
    const { streamName, groupId } = newGroup();
    const line = await connect(gated.url, `/stream/${streamName}/${groupId}`);
    line.join({ streamName, groupId, id: "a", subscriptionId: "s1" });
    line.join({ streamName, groupId, id: "b", subscriptionId: "s2" });
    await line.count(3);
    expect(authCalls.all).toHaveLength(1);
    line.socket.terminate();
    await gated.leaves.until(
      "three leaves",
      (all) => all.filter((each) => each.group_id === groupId).length >= 3,
    );
    const received = [...joinsOf(groupId), ...(await leavesOf(groupId))];
    expect(received).toHaveLength(6);
    expect(received.map((each) => each.context)).toStrictEqual(received.map(() => context));
  });

  it("receives the headers of a handshake in lower case, the path, the query as lists, and the address", async () => {
    const query = "a=1&a=2&b=%C3%A9+x&c=&d&%3D=%26&__proto__=p";
    const headers = ["X-Trace: A b", "x-Many: 1", "X-MANY: 2", "Cookie: a=1; b=2", "COOKIE: c=3"];
    const { head, from } = await handshake(`/stream/a%2Fb/c/?${query}`, headers);
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    const [request] = authCalls.all;
    expect(Object.keys(request ?? {}).toSorted()).toEqual([
      "addr",
      "connection_id",
      "headers",
      "path",
      "query_params",
    ]);
    expect(request?.headers).toStrictEqual({
      host: "millrace.example:80",
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": KEY,
      "x-trace": "A b",
      "x-many": "1, 2",
      cookie: "a=1; b=2; c=3",
    });
    expect(request?.path).toBe("/stream/a%2Fb/c/");
    expect(Object.entries(request?.query_params ?? {})).toEqual([
      ["a", ["1", "2"]],
      ["b", ["é x"]],
      ["c", [""]],
      ["d", [""]],
      ["=", ["&"]],
      ["__proto__", ["p"]],
    ]);
    expect(request?.addr).toBe(from);
  });

  it.each(RAW_PROTOCOLS.filter((protocol) => protocol.can("subscribe")))(
    "receives the same for a Subscribe call in $name, and its refusal is UNAUTHENTICATED / AUTH_REFUSED (G8)",
    async (protocol) => {
      answer = () => ({ unauthorized: true });
      const client = (protocol.httpVersion === "2" ? rawHttp2 : rawHttp1)(gated.url);
      onTestFinished(() => client.close());
      const { input } = StreamServiceDesc.method.subscribe;
      const message = protocol.json
        ? Buffer.from(JSON.stringify(ITEM))
        : toBinary(input, create(input, ITEM));
      const request = protocol.request("subscribe", message);
      const response = await client.request({
        ...request,
        path: `${request.path}?tenant=a&tenant=%20`,
        headers: { ...request.headers, "x-trace": "A b", authorization: "Bearer t" },
      });
      expect(protocol.refusal(response)).toMatchObject(REFUSED);
      expect(authCalls.all).toEqual([
        {
          headers: expect.objectContaining({
            "x-trace": "A b",
            authorization: "Bearer t",
            "content-type": protocol.contentType,
            host: new URL(gated.url).host,
          }) as object,
          path: SUBSCRIBE,
          query_params: { tenant: ["a", " "] },
          addr: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
          connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        },
      ]);
      expect(Object.keys(authCalls.all[0]?.headers ?? {}).filter(isOdd)).toEqual([]);
    },
  );

  it.each(DOORS)(
    "is called once per Subscribe call over $name, and not for other calls",
    async (door) => {
      answer = () => ({ context: "ann" });
      const client = door.client(gated);
      onTestFinished(() => client.close());
      const group = newGroup();
      await client.set({ ...group, itemId: "a", data: 1 });
      await client.list(group);
      expect(authCalls.all).toEqual([]);
      for (const count of [1, 2]) {
        const frames = await client.subscribe(group);
        expect((await frames.next()).value).toMatchObject({ kind: "sync" });
        expect(authCalls.all).toHaveLength(count);
        await frames.return();
      }
      for (const request of door.name === "library" ? [] : authCalls.all) {
        expect(request).toStrictEqual({
          headers: expect.objectContaining({
            host: new URL(gated.url).host,
            "content-type": expect.stringMatching(/^application\/(?:grpc|connect)/) as string,
            "user-agent": expect.stringMatching(/./) as string,
          }) as object,
          path: SUBSCRIBE,
          query_params: {},
          addr: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
          connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        });
        expect(Object.keys(request.headers).filter(isOdd)).toEqual([]);
      }
      await gated.leaves.until(
        "two leaves",
        (all) => all.filter((each) => each.group_id === group.groupId).length >= 2,
      );
      const received = [...joinsOf(group.groupId), ...(await leavesOf(group.groupId))];
      expect(received.map(({ context }) => context)).toEqual(Array(4).fill("ann"));
    },
  );

  it("receives for a library call the fields that the caller gives, and nothing else", async () => {
    const group = newGroup();
    await visit(gated.service, group);
    await visit(gated.service, {
      ...group,
      auth: { headers: { authorization: "t" }, addr: "10.0.0.1:9" },
    });
    const id = expect.stringMatching(/^[0-9a-f]{32}$/) as string;
    const nothing = { headers: {}, path: "", query_params: {}, addr: "", connection_id: id };
    expect(authCalls.all).toStrictEqual([
      nothing,
      { ...nothing, headers: { authorization: "t" }, addr: "10.0.0.1:9" },
    ]);
  });

  it("is not called for requests that are refused anyway", async () => {
    expect((await upgrade(gated.url, "/", { origin: "https://pages.example" })).status).toBe(403);
    expect((await upgrade(gated.url, "/stream/rooms")).status).toBe(400);
    expect((await upgrade(gated.url, "/elsewhere")).status).toBe(404);
    await expect(visit(gated.service, { ...ITEM, groupId: "" })).rejects.toMatchObject({
      reason: "NAME_INVALID",
    });
    expect(authCalls.all).toEqual([]);
  });

  it("delays no other handshakes when it is slow for one", async () => {
    const slow = promised<unknown>();
    answer = ({ path }) => (path === "/" ? slow.promise : {});
    const group = newGroup();
    const late = connect(gated.url, "/");
    await authCalls.count(1);
    const line = await connect(gated.url, `/stream/rooms/${group.groupId}`);
    await line.count(1);
    slow.resolve({ context: "late" });
    const other = await late;
    other.join({ ...group, subscriptionId: "s1" });
    await other.count(1);
    expect(joinsOf(group.groupId).map(({ context }) => context)).toEqual([null, "late"]);
  });

  it("does not lose the frames that a client sends meanwhile", async () => {
    const slow = promised<unknown>();
    answer = () => slow.promise;
    const { streamName, groupId } = newGroup();
    const socket = connectTcp(gated.server.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(handshakeOf("/"));
    await authCalls.count(1);
    const data = { streamName, groupId, subscriptionId: "early" };
    const frame = Buffer.from(JSON.stringify({ type: "join", data }));
    socket.write(clientFrame(OPCODE.text, frame), () => slow.resolve({ context: 1 }));
    await gated.joins.until("the join", () => joinsOf(groupId).length === 1);
    expect(joinsOf(groupId)).toMatchObject([{ subscription_id: "early", context: 1 }]);
  });

  it("leads to as many leaves as joins when it allows a client that has disconnected", async () => {
    const slow = promised<unknown>();
    answer = () => slow.promise;
    const { groupId } = newGroup();
    const gone = connectTcp(gated.server.port, "127.0.0.1");
    gone.write(handshakeOf(`/stream/rooms/${groupId}`));
    await authCalls.count(1);
    gone.destroy();
    const line = connect(gated.url, "/");
    await authCalls.count(2);
    slow.resolve({});
    (await line).join({ streamName: "rooms", groupId: `${groupId}-b`, subscriptionId: "s1" });
    await (await line).count(1);
    const count = joinsOf(groupId).length;
    await gated.leaves.until(
      "as many leaves",
      (all) => all.filter((each) => each.group_id === groupId).length >= count,
    );
    expect(await leavesOf(groupId)).toHaveLength(count);
    expect(joinsOf(groupId)).toHaveLength(count);
  });
});

describe("the context of a caller", () => {
  it.each([
    [{ context: { a: [1, null] } }, { a: [1, null] }],
    [{ context: "ann", unauthorized: false }, "ann"],
    [{ context: 0 }, 0],
    [{ context: false }, false],
    [{ context: "" }, ""],
    [{ context: [] }, []],
    [{ context: null, unauthorized: null }, null],
    [{ user: "ann" }, null],
    [{ error: null, statusCode: 200 }, null],
    [{}, null],
  ])("from a result of %j is %j in joins and leaves", async (result, context) => {
    answer = () => result;
    const group = newGroup();
    await visit(gated.service, group);
    await gated.leaves.until("the leave", (all) =>
      all.some((each) => each.group_id === group.groupId),
    );
    const received = [...joinsOf(group.groupId), ...(await leavesOf(group.groupId))];
    expect(received.map((each) => each.context)).toStrictEqual([context, context]);
  });
});

describe("a caller for whom auth_function returns", () => {
  const cases: [string, () => unknown][] = [
    ["unauthorized: true", () => ({ unauthorized: true, context: "ann" })],
    ...["yes", "", "false", 0, 1, [], {}].map((unauthorized): [string, () => unknown] => [
      `unauthorized: ${JSON.stringify(unauthorized)}`,
      () => ({ unauthorized }),
    ]),
    ["nothing", () => undefined],
    ...[null, true, false, 0, 1, "", "ann", [], [{}]].map((value): [string, () => unknown] => [
      JSON.stringify(value),
      () => value,
    ]),
    ...["forbidden", "", false, {}].map((error): [string, () => unknown] => [
      `error: ${JSON.stringify(error)}`,
      () => ({ error, context: "ann" }),
    ]),
    ["statusCode: 403", () => ({ statusCode: 403, context: "ann" })],
    ["a value that is not JSON", () => () => {}],
    ["a context too large", () => ({ context: "x".repeat(64 * 1024) })],
    [
      "an error",
      () => {
        throw new Error("ann has not paid");
      },
    ],
  ];
  it.each(cases)(
    "%s is refused: 401 on a handshake, AUTH_REFUSED in the library (G8)",
    async (_, result) => {
      answer = result;
      const { groupId } = newGroup();
      const problems = gated.problems.length;
      const { head } = await handshake(`/stream/rooms/${groupId}`);
      expect(head).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
      const refusal = visit(gated.service, { streamName: "rooms", groupId });
      await expect(refusal).rejects.toMatchObject({
        ...REFUSED,
        message: expect.not.stringMatching(/ann|paid/) as string,
      });
      expect(joinsOf(groupId)).toEqual([]);
      expect(await leavesOf(groupId)).toEqual([]);
      const received = gated.problems.slice(problems);
      expect(received.map(({ kind, functionId }) => `${kind} ${functionId}`)).toEqual(
        Array(2).fill("auth_refused auth"),
      );
    },
  );
});

describe("a token that a browser offers as a sub-protocol", () => {
  const protocolOf = (head: string) =>
    /^sec-websocket-protocol: (.*)$/im.exec(head.replaceAll("\r", ""))?.[1];

  it.each([
    ["reaches auth_function unchanged", "Authorization, s3cret.to-ken_", [], "s3cret.to-ken_"],
    ["may follow without a space", "Authorization,s3cret", [], "s3cret"],
    [
      "yields to an authorization header",
      "Authorization, s3cret",
      ["AUTHORIZATION: Bearer t"],
      "Bearer t",
    ],
    ["is missing when only the name is offered", "Authorization", [], undefined],
  ])("%s", async (_, offered, more, authorization) => {
    const { head } = await handshake("/", [`Sec-WebSocket-Protocol: ${offered}`, ...more]);
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(protocolOf(head)).toBe("Authorization");
    const [request] = authCalls.all;
    expect(request?.headers["authorization"]).toBe(authorization);
    expect(request?.headers["sec-websocket-protocol"]).toBe(offered);
  });

  it("is ignored beside another sub-protocol, which is not selected", async () => {
    const { head } = await handshake("/", ["Sec-WebSocket-Protocol: graphql-ws, s3cret"]);
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(protocolOf(head)).toBeUndefined();
    expect(authCalls.all[0]?.headers).not.toHaveProperty("authorization");
  });
});

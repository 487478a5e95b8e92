import { once } from "node:events";
import { StreamError } from "millrace";
import { StreamService } from "millrace/v1";
import { WebSocket } from "ws";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RawClient, rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { RAW_PROTOCOLS, type RawProtocol, type Refusal } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { utf8 } from "../wire/request/raw-wire.ts";
import { FRAMING } from "./bad-input/framing.ts";
import { IDEMPOTENCY } from "./bad-input/idempotency.ts";
import { NAMES } from "./bad-input/names.ts";
import { OPERATIONS } from "./bad-input/operations.ts";
import { LIFETIMES } from "./bad-input/lifetimes.ts";
import { LISTINGS } from "./bad-input/listings.ts";
import { REQUESTS } from "./bad-input/requests.ts";
import { RESERVED } from "./bad-input/reserved.ts";
import { GROUP, KEY, type Row, message } from "./bad-input/row.ts";
import { VALUES } from "./bad-input/values.ts";
import { WINDOWS } from "./bad-input/windows.ts";

/** Every bad request. */
const ROWS: readonly Row[] = [
  ...NAMES,
  ...RESERVED,
  ...VALUES,
  ...OPERATIONS,
  ...LISTINGS,
  ...REQUESTS,
  ...IDEMPOTENCY,
  ...LIFETIMES,
  ...WINDOWS,
  ...FRAMING,
];

/** Internals that no error message may expose. */
const INTERNAL =
  /node_modules|\.[jt]s\b|\bat \S+:\d|Error:|protobuf-es|connectrpc|cannot (?:decode|encode|parse)|premature|wire ?type|Unexpected|undefined|\[object|NaN is not/i;

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
  await server.service.set({ ...KEY, data: "as it was" });
});
afterAll(() => server.close());

/** All data of the service. */
async function allData() {
  const { streams, count } = await server.service.listAll({ pageSize: 1000 });
  const { items, position } = await server.service.list(GROUP);
  return { streams, count, items, position };
}

function expectRefusal(row: Row, refusal: Refusal) {
  const { code = "invalid_argument", reason, field, metadata = {}, says, status } = row;
  expect(refusal).toMatchObject({ code, reason, metadata });
  if (status !== undefined) expect(refusal.status).toBe(status);
  if (says !== undefined) expect(refusal.message).toMatch(says);
  expect(refusal.message).not.toMatch(INTERNAL);
  if (reason === undefined) return;
  expect(refusal.message).toMatch(/^\S.+[.?]$/su);
  if (field === undefined) return;
  expect(refusal.message).toContain(field);
  // Other errors name the field in the message only; their metadata holds the actual values.
  if (code === "invalid_argument") expect(refusal.metadata["field"]).toContain(field);
}

describe.each(RAW_PROTOCOLS)("bad input over $name", (protocol) => {
  let client: RawClient;
  beforeAll(() => {
    client = protocol.httpVersion === "2" ? rawHttp2(server.url) : rawHttp1(server.url);
  });
  afterAll(() => client.close());

  const rows = ROWS.flatMap((row) => {
    const request = requestOf(row, protocol);
    return request === undefined ? [] : [{ title: row.title, row, request }];
  });

  it.each(rows)("is refused: $title", async ({ row, request }) => {
    const before = await allData();
    const refusal = protocol.refusal(await client.request(request()));
    if (refusal === undefined) throw new Error("the request was accepted");
    expectRefusal(row, refusal);
    expect(await allData()).toEqual(before);
    const kept = await client.request({
      path: "/millrace.v1.StreamService/Get",
      headers: { "content-type": "application/json" },
      body: utf8(JSON.stringify(KEY)),
    });
    expect(JSON.parse(kept.body.toString())).toMatchObject({ item: { data: "as it was" } });
  });
});

function requestOf(row: Row, protocol: RawProtocol) {
  if (row.request !== undefined) {
    const { request } = row;
    return request(protocol) === undefined ? undefined : () => request(protocol) ?? { path: "/" };
  }
  if (!protocol.can(row.method)) return undefined;
  const bytes = protocol.json ? row.json : row.binary;
  if (bytes === undefined) return undefined;
  // Bytes that would break an enclosing message can only be sent on their own.
  if (row.alone === true && protocol.name.startsWith("a write")) return undefined;
  return () => protocol.request(row.method, typeof bytes === "string" ? utf8(bytes) : bytes);
}

describe("bad input in calls over a socket", () => {
  let socket: WebSocket;
  beforeAll(async () => {
    socket = new WebSocket(server.url.replace("http", "ws"));
    await once(socket, "open");
    socket.send(JSON.stringify({ type: "hello", data: { version: 2 } }));
    await once(socket, "message");
  });
  afterAll(() => socket.terminate());
  const resultOf = async (method: string, params: string) => {
    socket.send(`{"type":"call","data":{"id":1,"method":"${method}","params":${params}}}`);
    const [bytes] = (await once(socket, "message")) as [Buffer];
    return (JSON.parse(bytes.toString()) as { data: { error?: Omit<Refusal, "status"> } }).data;
  };
  const rows = ROWS.flatMap((row) => {
    const { title, method, json } = row;
    const isCall = method !== "subscribe" && method !== "listAll";
    return isCall && typeof json === "string" && isObject(json) ? [{ title, row, json }] : [];
  });

  it.each(rows)("is refused: $title", async ({ row, json }) => {
    const before = await allData();
    const { error } = await resultOf(StreamService.method[row.method].name, json);
    if (error === undefined) throw new Error("the request was accepted");
    expectRefusal(row, { status: row.status ?? 0, ...error });
    expect(await allData()).toEqual(before);
  });
});

function isObject(json: string): boolean {
  try {
    const value = JSON.parse(json) as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

describe("bad input to the library", () => {
  const rows = ROWS.filter(({ library }) => library !== undefined);

  it.each(rows)("is refused: $title", async (row) => {
    const before = await allData();
    const call = server.service[row.method] as (request: object) => Promise<unknown>;
    const outcome = await call(row.library ?? {}).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!(outcome instanceof StreamError)) throw new Error("no StreamError", { cause: outcome });
    const { code, reason, metadata, message } = outcome;
    expectRefusal(row, { status: 0, code, reason, metadata, message });
    expect(await allData()).toEqual(before);
  });
});

describe("input at the limits", () => {
  const accepted: readonly (readonly [string, Parameters<typeof message>])[] = [
    [
      "names of 256 bytes",
      ["get", { streamName: "x".repeat(256), groupId: "é".repeat(128), itemId: "💧".repeat(64) }],
    ],
    [
      "a revision of 2^53-1",
      ["subscribe", { ...GROUP, resumeFrom: { epoch: "e", revision: "9007199254740991" } }],
    ],
    ["an event type of 256 bytes", ["send", { ...GROUP, data: null, type: "é".repeat(128) }]],
    [
      "steps that fail without failing the call",
      [
        "update",
        {
          streamName: "almost",
          groupId: "g",
          itemId: "i",
          ops: [{ merge: { value: 1 } }, { set: { path: "__proto__" } }],
        },
      ],
    ],
    [
      "1,000 steps",
      [
        "update",
        {
          streamName: "almost",
          groupId: "g",
          itemId: "i",
          ops: Array.from({ length: 1000 }, () => ({ remove: { path: "a" } })),
        },
      ],
    ],
  ];

  it.each(accepted)("is accepted over every protocol: %s", async (_, args) => {
    const { method, json, binary } = message(...args);
    for (const protocol of RAW_PROTOCOLS) {
      if (!protocol.can(method) || method === "subscribe") continue;
      const client = protocol.httpVersion === "2" ? rawHttp2(server.url) : rawHttp1(server.url);
      const bytes = protocol.json ? utf8(String(json)) : binary;
      const response = await client.request(protocol.request(method, bytes));
      expect(protocol.refusal(response)).toBeUndefined();
      client.close();
    }
  });
});

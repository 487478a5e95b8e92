import { create } from "@bufbuild/protobuf";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import {
  AdminService,
  ConnectRequestSchema,
  DeleteTriggerRequestSchema,
  EndSubscriptionsRequestSchema,
  ListConnectionsRequestSchema,
  ListDeadLettersRequestSchema,
  ListSubscriptionsRequestSchema,
  ListTriggersRequestSchema,
  RecheckSubscriptionsRequestSchema,
  ReplayDeadLetterRequestSchema,
  WorkerService,
} from "millrace/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { AsyncQueue } from "../support/doors/async-queue.ts";
import { connectDoors, h1Door, h2Door } from "../support/doors/connect-doors.ts";
import { type DoorClient, DoorError } from "../support/doors/door.ts";
import { grpcJsDoor } from "../support/doors/grpc-js-door.ts";
import type { Stub } from "../support/doors/rpc-client.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { socketCallDoor } from "../support/doors/socket-call-door.ts";
import { websocketDoor } from "../support/doors/websocket-door.ts";
import {
  CALLERS,
  type CallerName,
  MINE,
  NEWS,
  NOTES,
  PROFILES,
  ROOMS_AUTH,
  THEIRS,
  authorizationsOf,
} from "../support/rights/rooms.ts";

/* Every action, at every door, by every kind of caller. Prints what happened as a table. */

type Outcome = "allowed" | "ACTION_DENIED" | "AUTH_REFUSED";
/** An action on a resource, and the callers that may do it beside those that may do everything. */
type Row<Client> = readonly [string, (client: Client) => Promise<unknown>, readonly CallerName[]];

const ACTIONS: readonly Row<DoorClient>[] = [
  ["Set in a room of the user", (c) => c.set({ ...MINE, itemId: "a", data: 1 }), ["user"]],
  ["Set in another room", (c) => c.set({ ...THEIRS, itemId: "a", data: 1 }), []],
  ["Set of the own profile", (c) => c.set({ ...PROFILES, itemId: "ann", data: 1 }), ["user"]],
  ["Set of another profile", (c) => c.set({ ...PROFILES, itemId: "bob", data: 1 }), []],
  [
    "Set of a profile whose name begins alike",
    (c) => c.set({ ...PROFILES, itemId: "ann2", data: 1 }),
    [],
  ],
  ["Set in the news", (c) => c.set({ ...NEWS, itemId: "a", data: 1 }), []],
  ["Repeated Set with a key in a room of the user", setTwice(MINE), ["user"]],
  ["Repeated Set with a key in another room", setTwice(THEIRS), []],
  [
    "Update in a room of the user",
    (c) => c.update({ ...MINE, itemId: "n", ops: [{ type: "set", path: "a", value: 1 }] }),
    ["user"],
  ],
  [
    "Update in another room",
    (c) => c.update({ ...THEIRS, itemId: "n", ops: [{ type: "set", path: "a", value: 1 }] }),
    [],
  ],
  ["Delete in a room of the user", (c) => c.delete({ ...MINE, itemId: "none" }), ["user"]],
  ["Delete in another room", (c) => c.delete({ ...THEIRS, itemId: "none" }), []],
  [
    "Batch in a room of the user",
    (c) => c.batch({ ...MINE, mutations: [{ set: { itemId: "b", data: 1 } }] }),
    ["user"],
  ],
  [
    "Batch of the own profile and another",
    (c) =>
      c.batch({
        ...PROFILES,
        mutations: [{ set: { itemId: "ann", data: 2 } }, { delete: { itemId: "bob" } }],
      }),
    [],
  ],
  ["Send to a room of the user", (c) => c.send({ ...MINE, data: 1 }), ["user"]],
  ["Send about an item of the room", (c) => c.send({ ...MINE, itemId: "a", data: 1 }), ["user"]],
  ["Send to another room", (c) => c.send({ ...THEIRS, data: 1 }), []],
  ["Get in a room of the user", (c) => c.get({ ...MINE, itemId: "a" }), ["limited key", "user"]],
  ["Get in another room", (c) => c.get({ ...THEIRS, itemId: "a" }), ["limited key"]],
  ["Get of the own profile", (c) => c.get({ ...PROFILES, itemId: "ann" }), []],
  ["List of a room of the user", (c) => c.list(MINE), ["limited key", "user"]],
  ["List of another room", (c) => c.list(THEIRS), ["limited key"]],
  ["List of the news", (c) => c.list(NEWS), ["anonymous"]],
  ["History of a room of the user", (c) => c.history(MINE), ["limited key", "user"]],
  ["History of another room", (c) => c.history(THEIRS), ["limited key"]],
  [
    "History of an item of another room",
    (c) => c.history({ ...THEIRS, itemId: "a" }),
    ["limited key"],
  ],
  ["History of the own notes", (c) => c.history({ ...NOTES, itemId: "ann" }), ["user"]],
  ["History of all notes", (c) => c.history(NOTES), []],
  ["History of the news", (c) => c.history(NEWS), ["anonymous"]],
  ["ListGroups of the rooms", (c) => c.listGroups({ streamName: "chat" }), ["limited key"]],
  ["ListGroups of the news", (c) => c.listGroups({ streamName: "news" }), ["anonymous"]],
];
/** What no socket can ask for. */
const WHOLE_SERVICE: readonly Row<DoorClient>[] = [["ListAll", (c) => c.listAll({}), []]];
const SUBSCRIPTIONS: readonly Row<DoorClient>[] = [
  ["Subscribe to a room of the user", follow(MINE), ["limited key", "user"]],
  ["Subscribe to an item of the room", follow({ ...MINE, itemId: "a" }), ["limited key", "user"]],
  ["Subscribe to another room", follow(THEIRS), ["limited key"]],
  ["Subscribe to an item of another room", follow({ ...THEIRS, itemId: "a" }), ["limited key"]],
  [
    "Resume another room",
    follow({ ...THEIRS, resumeFrom: { epoch: "", revision: 0 } }),
    ["limited key"],
  ],
  ["Subscribe to the news", follow(NEWS), ["anonymous"]],
  ["Subscribe to the profiles", follow(PROFILES), []],
];

/** The key is the same for all callers: that of one is none of another. */
function setTwice(group: typeof MINE) {
  const request = { ...group, itemId: "keyed", data: 1, idempotencyKey: "once" };
  return async (client: DoorClient) => {
    await client.set(request);
    await client.set(request);
  };
}

function follow(request: Parameters<DoorClient["subscribe"]>[0]) {
  return async (client: DoorClient) => {
    const frames = await client.subscribe(request);
    await frames.next();
    await frames.return();
  };
}

const WRITE_STREAMS: readonly Row<DoorClient>[] = [
  ["Write of a set in a room of the user", writeSet(MINE), ["user"]],
  ["Write of a set in another room", writeSet(THEIRS), []],
];

function writeSet(group: typeof MINE) {
  return async (client: DoorClient) => {
    const stream = client.write();
    stream.send({ requestId: "1", set: { ...group, itemId: "a", data: 1 } });
    const response = (await stream.next()) as { error?: { code: string; reason: string } };
    await stream.cancel();
    const { error } = response;
    if (error !== undefined)
      throw new DoorError(error.code, error.reason, { ...error, metadata: {} }, undefined);
  };
}

const { listConnections, listSubscriptions, endSubscriptions, recheckSubscriptions } =
  AdminService.method;
const { listTriggers, deleteTrigger, listDeadLetters, replayDeadLetter } = AdminService.method;
const filter = { user: "nobody" };
const ADMIN: readonly Row<Stub>[] = [
  [
    "ListConnections (admin)",
    (stub) => stub.unary(listConnections, create(ListConnectionsRequestSchema, {})),
    ["admin key"],
  ],
  [
    "ListSubscriptions (admin)",
    (stub) => stub.unary(listSubscriptions, create(ListSubscriptionsRequestSchema, {})),
    ["admin key"],
  ],
  [
    "EndSubscriptions (admin)",
    (stub) => stub.unary(endSubscriptions, create(EndSubscriptionsRequestSchema, { filter })),
    ["admin key"],
  ],
  [
    "RecheckSubscriptions (admin)",
    (stub) =>
      stub.unary(recheckSubscriptions, create(RecheckSubscriptionsRequestSchema, { filter })),
    ["admin key"],
  ],
  [
    "ListTriggers (admin)",
    (stub) => stub.unary(listTriggers, create(ListTriggersRequestSchema, {})),
    ["admin key"],
  ],
  [
    "DeleteTrigger (admin)",
    (stub) => stub.unary(deleteTrigger, create(DeleteTriggerRequestSchema, { durable: "none" })),
    ["admin key"],
  ],
  [
    "ListDeadLetters (admin)",
    (stub) => stub.unary(listDeadLetters, create(ListDeadLettersRequestSchema, {})),
    ["admin key"],
  ],
  [
    "ReplayDeadLetter (admin)",
    async (stub) => {
      const names = { functionId: "none", deadLetterId: "none" };
      const request = create(ReplayDeadLetterRequestSchema, names);
      const error = await stub.unary(replayDeadLetter, request).catch((caught: unknown) => caught);
      // There is no such letter: who learns that had the right.
      if (!String(error).includes("dead_letter_id")) throw error;
    },
    ["admin key"],
  ],
];
const BE_A_WORKER = "Be a worker (work)";
const WORK: readonly Row<Stub>[] = [
  [
    BE_A_WORKER,
    async (stub) => {
      const requests = new AsyncQueue<ReturnType<typeof hello>>();
      requests.push(hello());
      const call = stub.bidiStream(WorkerService.method.connect, requests);
      try {
        for await (const { message } of call.responses) return expect(message.case).toBe("welcome");
      } finally {
        call.cancel();
      }
    },
    [],
  ],
];

function hello() {
  return create(ConnectRequestSchema, { message: { case: "hello", value: {} } });
}

const compressed = { sendCompression: compressionGzip, compressMinBytes: 0 };
/** Compressed calls and calls by GET take other paths through the service. */
const RPC_DOORS = [
  ...connectDoors,
  h1Door("connect-get", (options) => createConnectTransport({ ...options, useHttpGet: true })),
  h1Door("connect-gzip", (options) => createConnectTransport({ ...options, ...compressed })),
  h2Door("grpc-gzip", (options) => createGrpcTransport({ ...options, ...compressed })),
];

/** A service on which callers without credentials are anonymous, and one on which they are local. */
let strict: TestServer;
let lenient: TestServer;
let authorizations: ReadonlyMap<CallerName, string | undefined>;
beforeAll(async () => {
  strict = await startServer("memory", { auth: ROOMS_AUTH });
  lenient = await startServer("memory", { auth: { ...ROOMS_AUTH, local: true } });
  authorizations = await authorizationsOf();
});
afterAll(() => Promise.all([strict.close(), lenient.close()]));

function targetOf(caller: CallerName) {
  const { url, service } = caller === "local" ? lenient : strict;
  return { url, service, authorization: authorizations.get(caller) };
}

function expected(caller: CallerName, allowed: readonly CallerName[]): Outcome {
  if (caller === "expired token" || caller === "foreign token" || caller === "unknown key")
    return "AUTH_REFUSED";
  if (caller === "key" || caller === "local" || allowed.includes(caller)) return "allowed";
  return "ACTION_DENIED";
}

/** Doors by action, caller and outcome. */
const matrix = new Map<string, Map<CallerName, Map<string, string[]>>>();
afterAll(() => {
  const doors = new Set<string>();
  const cells = (row: Map<CallerName, Map<string, string[]>>) =>
    CALLERS.map((caller) => {
      const outcomes = [...(row.get(caller) ?? [])];
      for (const [, names] of outcomes) for (const name of names) doors.add(name);
      const words = outcomes.map(([outcome, names]) =>
        outcomes.length === 1 ? `${outcome} ${names.length}` : `${outcome} (${names.join()})`,
      );
      return words.join(" ").padEnd(17);
    }).join("");
  const rows = [...matrix].map(([action, row]) => `${action.padEnd(46)}${cells(row)}`);
  const heads = `${"".padEnd(46)}${CALLERS.map((name) => name.padEnd(17)).join("")}`;
  console.info(
    [heads, ...rows, `The numbers count doors, of ${[...doors].join(", ")}.`].join("\n"),
  );
});

/** Does what rows say as a caller, and compares what happens with what is expected. */
async function compare<Client>(
  door: string,
  caller: CallerName,
  rows: readonly Row<Client>[],
  client: Client,
  toOutcome: (error: unknown) => string | undefined,
) {
  const outcomes: Record<string, string> = {};
  const all: Record<string, string> = {};
  for (const [action, act, allowed] of rows) {
    let outcome = "allowed";
    try {
      await act(client);
    } catch (error) {
      const reason = toOutcome(error);
      if (reason === undefined) throw error;
      outcome = reason;
    }
    outcomes[action] = outcome;
    all[action] = expected(caller, allowed);
    const row = matrix.get(action) ?? new Map<CallerName, Map<string, string[]>>();
    const cell = row.get(caller) ?? new Map<string, string[]>();
    matrix.set(action, row.set(caller, cell.set(outcome, [...(cell.get(outcome) ?? []), door])));
  }
  expect(outcomes).toEqual(all);
}

/** The reason of a refusal. A refused handshake has an HTTP status only. */
function reasonOf(error: unknown): string | undefined {
  if (error instanceof DoorError && error.reason !== undefined) return error.reason;
  const status = /^Unexpected server response: (\d+)$/.exec((error as Error).message)?.[1];
  return { "401": "AUTH_REFUSED", "403": "ACTION_DENIED" }[status ?? ""];
}

describe.each([...RPC_DOORS, grpcJsDoor, socketCallDoor, websocketDoor])(
  "callers over $name",
  (door) => {
    const rows = [
      ...(door === websocketDoor ? [] : ACTIONS),
      ...(door === websocketDoor || door === socketCallDoor ? [] : WHOLE_SERVICE),
      ...(door === socketCallDoor ? [] : SUBSCRIPTIONS),
      ...(door.can.write === "yes" ? WRITE_STREAMS : []),
    ];
    it.each(CALLERS)("may do what the rules say: %s", async (caller) => {
      const client = door.client(targetOf(caller));
      await compare(door.name, caller, rows, client, reasonOf);
      await client.close();
    });
  },
);

describe.each(RPC_DOORS)("operators and workers over $name", (door) => {
  const rows = [...ADMIN, ...(door.can.write === "yes" ? WORK : [])];
  it.each(CALLERS)("need the right: %s", async (caller) => {
    const stub = door.stub(targetOf(caller));
    await compare(door.name, caller, rows, stub, (error) => reasonOf(stub.toError(error)));
    await stub.close();
  });
});

describe("workers at /worker", () => {
  it.each(CALLERS)("need the right: %s", async (caller) => {
    const { url, authorization } = targetOf(caller);
    const headers = authorization === undefined ? {} : { authorization };
    const open = (address: string) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(address, { headers });
        socket.once("error", reject).once("open", () => resolve(socket.terminate()));
      });
    const rows: readonly Row<string>[] = [[BE_A_WORKER, open, []]];
    await compare("/worker", caller, rows, `${url.replace("http", "ws")}/worker`, reasonOf);
  });
});

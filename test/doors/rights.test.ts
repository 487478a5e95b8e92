import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_DOORS, DOORS, SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { type Door, type DoorClient, DoorError } from "../support/doors/door.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";

const SECRET = "a secret of at least thirty-two bytes";
const CALLERS = [
  "key",
  "limited key",
  "user",
  "anonymous",
  "expired token",
  "foreign token",
  "unknown key",
] as const;
type CallerName = (typeof CALLERS)[number];
type Outcome = "allowed" | "ACTION_DENIED" | "AUTH_REFUSED";

const sign = (claims: Record<string, unknown>, secret = SECRET) =>
  new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));

/** Rules: members write and read their rooms, users write their profile, anybody reads the news. */
const AUTH = {
  keys: [
    { name: "backend", key: "backend-key" },
    {
      name: "reader",
      key: "reader-key",
      allow: [{ actions: ["read", "subscribe"], stream: "chat" }],
    },
  ],
  jwt: [{ algorithms: ["HS256" as const], secret: SECRET }],
  rules: [
    { actions: ["subscribe", "read", "write", "send"], stream: "chat", group: "{claims.rooms}" },
    { actions: ["write"], stream: "profiles", group: "all", item: "{user}" },
    { actions: ["read"], stream: "notes", group: "all", item: "{user}" },
  ],
  anonymous: [{ actions: ["subscribe", "read"], stream: "news" }],
};

const MINE = { streamName: "chat", groupId: "mine" };
const THEIRS = { streamName: "chat", groupId: "theirs" };
const NEWS = { streamName: "news", groupId: "today" };
const PROFILES = { streamName: "profiles", groupId: "all" };

/** The origin whose pages may use the service. */
const PAGE = "https://app.example";

type Act = (client: DoorClient) => Promise<unknown>;
/** Every action on a resource, with the callers that may do it. */
const ACTIONS: readonly (readonly [string, Act, readonly CallerName[]])[] = [
  ["Set in a room of the user", (c) => c.set({ ...MINE, itemId: "a", data: 1 }), ["key", "user"]],
  ["Set in another room", (c) => c.set({ ...THEIRS, itemId: "a", data: 1 }), ["key"]],
  [
    "Set of the own profile",
    (c) => c.set({ ...PROFILES, itemId: "ann", data: 1 }),
    ["key", "user"],
  ],
  ["Set of another profile", (c) => c.set({ ...PROFILES, itemId: "bob", data: 1 }), ["key"]],
  [
    "Set of a profile whose name begins alike",
    (c) => c.set({ ...PROFILES, itemId: "ann2", data: 1 }),
    ["key"],
  ],
  ["Set in the news", (c) => c.set({ ...NEWS, itemId: "a", data: 1 }), ["key"]],
  [
    "Update in a room of the user",
    (c) => c.update({ ...MINE, itemId: "n", ops: [{ type: "set", path: "a", value: 1 }] }),
    ["key", "user"],
  ],
  [
    "Update in another room",
    (c) => c.update({ ...THEIRS, itemId: "n", ops: [{ type: "set", path: "a", value: 1 }] }),
    ["key"],
  ],
  ["Delete in a room of the user", (c) => c.delete({ ...MINE, itemId: "none" }), ["key", "user"]],
  ["Delete in another room", (c) => c.delete({ ...THEIRS, itemId: "none" }), ["key"]],
  [
    "Batch in a room of the user",
    (c) => c.batch({ ...MINE, mutations: [{ set: { itemId: "b", data: 1 } }] }),
    ["key", "user"],
  ],
  [
    "Batch of the own profile and another",
    (c) =>
      c.batch({
        ...PROFILES,
        mutations: [{ set: { itemId: "ann", data: 2 } }, { delete: { itemId: "bob" } }],
      }),
    ["key"],
  ],
  ["Send to a room of the user", (c) => c.send({ ...MINE, data: 1 }), ["key", "user"]],
  [
    "Send about an item of the room",
    (c) => c.send({ ...MINE, itemId: "a", data: 1 }),
    ["key", "user"],
  ],
  ["Send to another room", (c) => c.send({ ...THEIRS, data: 1 }), ["key"]],
  [
    "Get in a room of the user",
    (c) => c.get({ ...MINE, itemId: "a" }),
    ["key", "limited key", "user"],
  ],
  ["Get in another room", (c) => c.get({ ...THEIRS, itemId: "a" }), ["key", "limited key"]],
  ["Get of the own profile", (c) => c.get({ ...PROFILES, itemId: "ann" }), ["key"]],
  ["List of a room of the user", (c) => c.list(MINE), ["key", "limited key", "user"]],
  ["List of another room", (c) => c.list(THEIRS), ["key", "limited key"]],
  ["List of the news", (c) => c.list(NEWS), ["key", "anonymous"]],
  ["History of a room of the user", (c) => c.history(MINE), ["key", "limited key", "user"]],
  ["History of another room", (c) => c.history(THEIRS), ["key", "limited key"]],
  [
    "History of an item of another room",
    (c) => c.history({ ...THEIRS, itemId: "a" }),
    ["key", "limited key"],
  ],
  [
    "History of the own notes",
    (c) => c.history({ streamName: "notes", groupId: "all", itemId: "ann" }),
    ["key", "user"],
  ],
  ["History of all notes", (c) => c.history({ streamName: "notes", groupId: "all" }), ["key"]],
  ["History of the news", (c) => c.history(NEWS), ["key", "anonymous"]],
  ["ListGroups of the rooms", (c) => c.listGroups({ streamName: "chat" }), ["key", "limited key"]],
  ["ListGroups of the news", (c) => c.listGroups({ streamName: "news" }), ["key", "anonymous"]],
  ["ListAll", (c) => c.listAll({}), ["key"]],
];
const SUBSCRIPTIONS: typeof ACTIONS = [
  ["Subscribe to a room of the user", follow(MINE), ["key", "limited key", "user"]],
  [
    "Subscribe to an item of the room",
    follow({ ...MINE, itemId: "a" }),
    ["key", "limited key", "user"],
  ],
  ["Subscribe to another room", follow(THEIRS), ["key", "limited key"]],
  [
    "Subscribe to an item of another room",
    follow({ ...THEIRS, itemId: "a" }),
    ["key", "limited key"],
  ],
  [
    "Resume another room",
    follow({ ...THEIRS, resumeFrom: { epoch: "", revision: 0 } }),
    ["key", "limited key"],
  ],
  ["Subscribe to the news", follow(NEWS), ["key", "anonymous"]],
  ["Subscribe to the profiles", follow(PROFILES), ["key"]],
];

function follow(request: Parameters<DoorClient["subscribe"]>[0]): Act {
  return async (client) => {
    const frames = await client.subscribe(request);
    await frames.next();
    await frames.return();
  };
}

function expected(caller: CallerName, allowed: readonly CallerName[]): Outcome {
  if (caller === "expired token" || caller === "foreign token" || caller === "unknown key")
    return "AUTH_REFUSED";
  return allowed.includes(caller) ? "allowed" : "ACTION_DENIED";
}

async function outcomeOf(act: Act, client: DoorClient): Promise<string> {
  try {
    await act(client);
    return "allowed";
  } catch (error) {
    if (!(error instanceof DoorError)) throw error;
    return error.reason ?? error.message;
  }
}

let server: TestServer;
const authorizations = new Map<CallerName, string | undefined>();
beforeAll(async () => {
  server = await startServer("memory", { auth: AUTH, allowedOrigins: [PAGE] });
  const nowS = Math.floor(Date.now() / 1000);
  const ann = { sub: "ann", rooms: ["mine", "*"], exp: nowS + 3600 };
  authorizations
    .set("key", "Bearer backend-key")
    .set("limited key", "Bearer reader-key")
    .set("user", `Bearer ${await sign(ann)}`)
    .set("anonymous", undefined)
    .set("expired token", `Bearer ${await sign({ ...ann, exp: nowS - 1 })}`)
    .set("foreign token", `Bearer ${await sign(ann, `${SECRET}, but another`)}`)
    .set("unknown key", "Bearer backend-ke");
});
afterAll(() => server.close());

/** Outcomes by door, printed as a table at the end. */
const matrix: Record<string, Record<string, string>> = {};
afterAll(() => {
  const rows = Object.entries(matrix).map(
    ([action, row]) =>
      `${action.padEnd(42)}${CALLERS.map((name) => (row[name] ?? "").padEnd(16)).join("")}`,
  );
  console.log(
    [`${"".padEnd(42)}${CALLERS.map((name) => name.padEnd(16)).join("")}`, ...rows].join("\n"),
  );
});

const NETWORK_DOORS = (doors: readonly Door[]) => doors.filter(({ name }) => name !== "library");

const EVERY_DOOR = Array.from(new Set([...CALL_DOORS, ...SUBSCRIPTION_DOORS]));

describe.each(NETWORK_DOORS(EVERY_DOOR))("the rights of callers over $name", (door) => {
  const actions = actionsOver(door);
  it.each(CALLERS)("are what the rules say: %s", async (caller) => {
    const client = door.client({
      url: server.url,
      service: server.service,
      authorization: authorizations.get(caller),
    });
    const outcomes: Record<string, string> = {};
    const all: Record<string, string> = {};
    for (const [name, act, allowed] of actions) {
      const outcome = await outcomeOf(act, client);
      outcomes[name] = bridgeOutcome(outcome);
      all[name] = expected(caller, allowed);
      (matrix[name] ??= {})[caller] = outcomes[name];
    }
    await client.close();
    expect(outcomes).toEqual(all);
  });
});

function actionsOver(door: Door): typeof ACTIONS {
  if (DOORS.includes(door)) return [...ACTIONS, ...SUBSCRIPTIONS];
  // No socket can ask for what the whole service holds.
  return CALL_DOORS.includes(door) ? ACTIONS.filter(([name]) => name !== "ListAll") : SUBSCRIPTIONS;
}

/** A refused handshake has an HTTP status only. */
function bridgeOutcome(outcome: string): string {
  return outcome === "Unexpected server response: 401" ? "AUTH_REFUSED" : outcome;
}

describe("a user with the right to write and not to read", () => {
  it.each(NETWORK_DOORS(CALL_DOORS))("gets no values over $name", async (door) => {
    const client = door.client({
      url: server.url,
      service: server.service,
      authorization: authorizations.get("user"),
    });
    await server.service.set({ ...PROFILES, itemId: "ann", data: "secret" });
    const done = await client.set({ ...PROFILES, itemId: "ann", data: "new" });
    expect(done).toMatchObject({ created: false });
    expect(JSON.stringify(done)).not.toMatch(/secret|new/);
    await client.close();
  });
});

describe("writes of callers", () => {
  it("have the author that the service knows, and no other", async () => {
    const door = DOORS.find(({ name }) => name === "grpc") as Door;
    const frames = await server.service.subscribe({ streamName: "chat", groupId: "mine" });
    await frames.next();
    const authors: string[] = [];
    for (const caller of ["key", "user"] as const) {
      const client = door.client({
        url: server.url,
        service: server.service,
        authorization: authorizations.get(caller),
      });
      await client.set({ ...MINE, itemId: "authored", data: caller });
      const { value: frame } = await frames.next();
      if (frame?.kind === "change") authors.push(frame.author);
      await client.close();
    }
    await frames.return?.();
    expect(authors).toEqual(["key:backend", "user:ann"]);
  });
});

describe("the authors of a history", () => {
  it.each(NETWORK_DOORS(DOORS))("are for services, not for users, over $name", async (door) => {
    const itemId = `of-${door.name}`;
    const clientOf = (caller: CallerName) =>
      door.client({
        url: server.url,
        service: server.service,
        authorization: authorizations.get(caller),
      });
    const [key, user] = [clientOf("key"), clientOf("user")];
    await key.set({ ...MINE, itemId, data: 1 });
    await user.set({ ...MINE, itemId, data: 2 });
    const authors = async (client: DoorClient) =>
      (await client.history({ ...MINE, itemId })).changes.map(({ author }) => author);
    expect(await authors(key)).toEqual(["key:backend", "user:ann"]);
    expect(await authors(user)).toEqual(["", ""]);
    await Promise.all([key.close(), user.close()]);
  });
});

describe("a page with the token of a user", () => {
  const post = (method: string, body: object, origin: string) =>
    fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: authorizations.get("user") ?? "",
        origin,
      },
      body: JSON.stringify(body),
    });

  it("writes and sends over Connect from a configured origin", async () => {
    for (const [method, body] of [
      ["Set", { ...MINE, itemId: "page", data: 1 }],
      ["Send", { ...MINE, data: 1 }],
    ] as const) {
      const response = await post(method, body, PAGE);
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
    }
    const preflight = await fetch(`${server.url}/millrace.v1.StreamService/Set`, {
      method: "OPTIONS",
      headers: {
        origin: PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,connect-protocol-version",
      },
    });
    expect(preflight.headers.get("access-control-allow-headers")?.toLowerCase()).toMatch(
      /authorization|\*/,
    );
  });

  it("is refused from another origin, and nothing is stored", async () => {
    const before = await server.service.list(MINE);
    const response = await post(
      "Set",
      { ...MINE, itemId: "evil", data: 1 },
      "https://evil.example",
    );
    expect(response.status).toBe(403);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(await response.json()).toMatchObject({ code: "permission_denied" });
    expect(await server.service.list(MINE)).toEqual(before);
  });
});

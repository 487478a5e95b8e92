import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Door, DoorClient } from "../support/doors/door.ts";
import { CALL_DOORS, DOORS } from "../support/doors/doors.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import {
  type CallerName,
  MINE,
  PROFILES,
  ROOMS_AUTH,
  authorizationsOf,
} from "../support/rights/rooms.ts";

/** The origin whose pages may use the service. */
const PAGE = "https://app.example";

let server: TestServer;
let authorizations: ReadonlyMap<CallerName, string | undefined>;
beforeAll(async () => {
  server = await startServer("memory", { auth: ROOMS_AUTH, allowedOrigins: [PAGE] });
  authorizations = await authorizationsOf();
});
afterAll(() => server.close());

const networkDoors = (doors: readonly Door[]) => doors.filter(({ name }) => name !== "library");
const clientOf = (door: Door, caller: CallerName) =>
  door.client({
    url: server.url,
    service: server.service,
    authorization: authorizations.get(caller),
  });

describe("a user with the right to write and not to read", () => {
  it.each(networkDoors(CALL_DOORS))("gets no values over $name", async (door) => {
    const client = clientOf(door, "user");
    await server.service.set({ ...PROFILES, itemId: "ann", data: "secret" });
    const done = await client.set({ ...PROFILES, itemId: "ann", data: "new" });
    expect(done).toMatchObject({ created: false });
    expect(JSON.stringify(done)).not.toMatch(/secret|new/);
    await client.close();
  });
});

describe("the authors of a history", () => {
  it.each(networkDoors(DOORS))("are for services, not for users, over $name", async (door) => {
    const itemId = `of-${door.name}`;
    const [key, user] = [clientOf(door, "key"), clientOf(door, "user")];
    await key.set({ ...MINE, itemId, data: 1 });
    await user.set({ ...MINE, itemId, data: 2 });
    const authors = async (client: DoorClient) =>
      (await client.history({ ...MINE, itemId })).changes.map(({ author }) => author);
    expect(await authors(key)).toEqual(["key:backend", "user:ann"]);
    expect(await authors(user)).toEqual(["", ""]);
    await Promise.all([key.close(), user.close()]);
  });
});

describe("the message of a refusal", () => {
  const messageOf = async (caller: CallerName, method: string, body: object) => {
    const authorization = authorizations.get(caller) ?? "";
    const response = await fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(403);
    return ((await response.json()) as { message: string }).message;
  };

  it("names the resource that the caller may not use", async () => {
    expect(await messageOf("user", "List", PROFILES)).toMatch(
      /no right to read stream "profiles", group "all";/,
    );
    expect(await messageOf("user", "ListAll", {})).toMatch(/no right to read everything;/);
  });

  it("names none when the caller may do the action nowhere", async () => {
    expect(await messageOf("admin key", "List", PROFILES)).toMatch(/no right to read;/);
  });
});

describe("writes of callers", () => {
  it("have the author that the service knows, and no other", async () => {
    const door = DOORS.find(({ name }) => name === "grpc") as Door;
    const frames = await server.service.subscribe({ streamName: "chat", groupId: "mine" });
    await frames.next();
    const authors: string[] = [];
    for (const caller of ["key", "user"] as const) {
      const client = clientOf(door, caller);
      await client.set({ ...MINE, itemId: "authored", data: caller });
      const { value: frame } = await frames.next();
      if (frame?.kind === "change") authors.push(frame.author);
      await client.close();
    }
    await frames.return?.();
    expect(authors).toEqual(["key:backend", "user:ann"]);
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

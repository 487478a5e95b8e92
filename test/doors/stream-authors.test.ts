import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../bridge/line.ts";
import type { Door } from "../support/doors/door.ts";
import { CALL_DOORS, DOORS } from "../support/doors/doors.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { type CallerName, ROOMS_AUTH, authorizationsOf } from "../support/rights/rooms.ts";

const SHOWN = { streamName: "shown", groupId: "g" };
const HIDDEN = { streamName: "hidden", groupId: "g" };

let server: TestServer;
let authorizations: ReadonlyMap<CallerName, string | undefined>;
beforeAll(async () => {
  const rule = (stream: string) => ({ actions: ["subscribe", "read", "write"], stream });
  const auth = {
    ...ROOMS_AUTH,
    rules: [rule("shown"), rule("hidden")],
    anonymous: [{ actions: ["subscribe", "read"] }],
  };
  server = await startServer("memory", { auth, streams: { shown: { authors: true } } });
  authorizations = await authorizationsOf();
  for (const group of [SHOWN, HIDDEN]) {
    for (const caller of ["key", "user"] as const) {
      await fetch(`${server.url}/millrace.v1.StreamService/Set`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: authorizations.get(caller) ?? "",
        },
        body: JSON.stringify({ ...group, itemId: caller, data: 1 }),
      });
    }
  }
});
afterAll(() => server.close());

const networkDoors = (doors: readonly Door[]) => doors.filter(({ name }) => name !== "library");
const clientOf = (door: Door, caller: CallerName) =>
  door.client({
    url: server.url,
    service: server.service,
    authorization: authorizations.get(caller),
  });

const BOTH = ["key:backend", "user:ann"];
const NONE = ["", ""];

describe("the authors of a stream that shows them", () => {
  it.each(networkDoors(CALL_DOORS))(
    "are visible to users too, in calls over $name",
    async (door) => {
      const client = clientOf(door, "user");
      const read = async (group: typeof SHOWN) => [
        await client.get({ ...group, itemId: "key" }),
        ...(await client.list(group)).items,
        ...(await client.history(group)).changes,
      ];
      const authors = async (group: typeof SHOWN) =>
        (await read(group)).map((each) => each?.author);
      expect(await authors(SHOWN)).toEqual(["key:backend", ...BOTH, ...BOTH]);
      expect(await authors(HIDDEN)).toEqual(["", ...NONE, ...NONE]);
      await client.close();
    },
  );

  it.each(networkDoors(DOORS))(
    "are visible to users too, in subscriptions over $name",
    async (door) => {
      for (const [group, authors] of [
        [SHOWN, BOTH],
        [HIDDEN, NONE],
      ] as const) {
        const client = clientOf(door, "user");
        const frames = await client.subscribe(group);
        const { value: frame } = await frames.next();
        expect(frame?.kind === "sync" && frame.items.map(({ author }) => author)).toEqual(authors);
        await frames.return();
        await client.close();
      }
    },
  );

  it("are not visible to callers without credentials", async () => {
    const door = networkDoors(DOORS)[0] as Door;
    const client = clientOf(door, "anonymous");
    expect((await client.list(SHOWN)).items.map(({ author }) => author)).toEqual(NONE);
    await client.close();
  });

  it("are visible to users of sockets that said hello", async () => {
    const headers = { authorization: authorizations.get("user") ?? "" };
    for (const [group, says, author] of [
      [SHOWN, true, "key:backend"],
      [SHOWN, false, undefined],
      [HIDDEN, true, undefined],
    ] as const) {
      const line = await connect(server.url, "/", { headers });
      if (says) line.socket.send(JSON.stringify({ type: "hello", data: { version: 2 } }));
      line.join({ subscriptionId: "s", ...group, items: true });
      const frames = await line.until("sync", (all) =>
        all.some(({ event }) => event?.type === "sync"),
      );
      const sync = frames.find(({ event }) => event?.type === "sync");
      expect(sync?.event.items?.[0]?.author).toBe(author);
      line.socket.close();
      await line.closed;
    }
  });
});

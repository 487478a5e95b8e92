import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { connect } from "../bridge/line.ts";
import { of, send } from "../bridge/notices.ts";
import { type SocketClient, openClient } from "../support/lifetimes/socket-client.ts";
import {
  changeTo,
  joinWith,
  presenceOf,
  watchPresence,
} from "../support/presence/presence-watch.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
const deep = (levels: number): object => (levels === 1 ? {} : { a: deep(levels - 1) });
/** An object whose JSON text has this length in bytes. */
const sized = (bytes: number) => ({ t: "é".repeat((bytes - 8) / 2) });

/** The errors that a socket has received, once there are `count` of them. */
async function errorsOf({ line }: Pick<SocketClient, "line">, count: number) {
  const all = await line.until(`${count} errors`, (each) => of(each, "error").length >= count);
  return of(all, "error");
}

const BAD: readonly (readonly [string, unknown, string])[] = [
  ["a number", 1, "REQUEST_INVALID"],
  ["an array", [], "REQUEST_INVALID"],
  ["text", "me", "REQUEST_INVALID"],
  ["true", true, "REQUEST_INVALID"],
  ["an object of more than 4 KiB", sized(4098), "VALUE_TOO_LARGE"],
  ["an object of 30 levels, which the item around it makes 31", deep(30), "VALUE_TOO_DEEP"],
  ["an object of 200 levels", deep(200), "VALUE_TOO_DEEP"],
  ["an object with half a character", { a: "\ud800" }, "VALUE_INVALID"],
];

describe("the presence of a join", () => {
  it.each(BAD)(
    "is refused if it is %s, together with the join",
    async (_what, presence, reason) => {
      const group = newGroup();
      const ann = await openClient(server.url);
      send(ann.line, "join", { ...group, subscriptionId: "s", presence });
      const [error] = await errorsOf(ann, 1);
      expect(error).toMatchObject({ subscriptionId: "s", event: { reason } });
      expect(error?.event.message).toMatch(/^presence .*\.$/);
      await joinWith(ann, group);
      expect((await server.service.list(presenceOf(group))).items).toEqual([]);
    },
  );

  it("is refused if it has a key __proto__", async () => {
    const ann = await openClient(server.url);
    const data = `{"streamName":"rooms","groupId":"g","subscriptionId":"s","presence":{"__proto__":1}}`;
    ann.line.socket.send(`{"type":"join","data":${data}}`);
    expect((await errorsOf(ann, 1))[0]?.event.reason).toBe("VALUE_INVALID");
  });

  it("may have 4 KiB of JSON and 29 levels", async () => {
    const ann = await openClient(server.url);
    for (const presence of [sized(4096), deep(29)]) {
      const group = newGroup();
      await joinWith(ann, group, presence as never, group.groupId);
      const { items } = await server.service.list(presenceOf(group));
      expect(items).toMatchObject([{ data: { data: presence } }]);
    }
  });

  it("is absent if it is null", async () => {
    const group = newGroup();
    await joinWith(await openClient(server.url), group, null);
    expect((await server.service.list(presenceOf(group))).items).toEqual([]);
  });

  it("is refused to a socket that has not said hello, and so is a presence frame", async () => {
    const line = await connect(server.url, "/");
    send(line, "join", { ...newGroup(), subscriptionId: "s", presence: {} });
    send(line, "presence", { subscriptionId: "s", data: {} });
    const errors = await errorsOf({ line }, 2);
    expect(errors.map(({ event }) => event.message)).toEqual([
      "presence is given without a hello; it may be given by clients that have said hello.",
      "type is unknown; it may be join or leave.",
    ]);
  });

  it("takes the place of the URL's subscription with it", async () => {
    const group = newGroup();
    const ann = await openClient(server.url, {
      path: `/stream/${group.streamName}/${group.groupId}`,
    });
    await joinWith(ann, group, { n: 1 });
    const watch = await watchPresence(server.url, group);
    await watch.until(ann.connectionId);
    ann.line.leave("s");
    await watch.until();
  });

  it("belongs to the subscription that replaces one with the same id", async () => {
    const [one, two] = [newGroup(), newGroup()];
    const watches = [await watchPresence(server.url, one), await watchPresence(server.url, two)];
    const ann = await openClient(server.url);
    await joinWith(ann, one, {});
    await watches[0]?.until(ann.connectionId);
    await joinWith(ann, two, {});
    await watches[0]?.until();
    await watches[1]?.until(ann.connectionId);
    await joinWith(ann, two);
    await watches[1]?.until();
  });
});

describe("a presence frame", () => {
  it.each(BAD)("is refused if its data is %s, and changes nothing", async (_what, data, reason) => {
    const group = newGroup();
    const ann = await openClient(server.url);
    await joinWith(ann, group, { n: 1 });
    changeTo(ann, data as never);
    const [error] = await errorsOf(ann, 1);
    expect(error).toMatchObject({ subscriptionId: "s", event: { reason } });
    expect(error?.event.message).toMatch(/^data .*\.$/);
    const { items } = await server.service.list(presenceOf(group));
    expect(items).toMatchObject([{ data: { data: { n: 1 } } }]);
  });

  it("is refused without a subscription id", async () => {
    const ann = await openClient(server.url);
    send(ann.line, "presence", { data: {} });
    expect((await errorsOf(ann, 1))[0]?.event.message).toMatch(/^subscriptionId is not an id/);
  });

  it("is refused, but not malformed, for an unknown subscription and for one without presence", async () => {
    const group = newGroup();
    const ann = await openClient(server.url);
    await joinWith(ann, group, undefined, "silent");
    for (let i = 0; i < 20; i++) changeTo(ann, {}, i % 2 === 0 ? "unknown" : "silent");
    const errors = await errorsOf(ann, 20);
    expect(new Set(errors.map(({ event }) => event.message))).toEqual(
      new Set([
        "subscriptionId is unknown; it may be that of a subscription that was joined with presence.",
        "subscriptionId is of a subscription without presence; it may be that of a subscription that was joined with presence.",
      ]),
    );
    expect(errors[0]?.subscriptionId).toBe("unknown");
    await joinWith(ann, group, {}, "silent");
    expect((await server.service.list(presenceOf(group))).items).toHaveLength(1);
  });

  it("takes effect after the join sent before it, and before the leave sent after it", async () => {
    const group = newGroup();
    const watch = await watchPresence(server.url, group);
    const ann = await openClient(server.url);
    send(ann.line, "join", { ...group, subscriptionId: "s", presence: { n: 1 } });
    changeTo(ann, { n: 2 });
    await watch.untilShown(ann.connectionId, { n: 2 });
    ann.line.leave("s");
    changeTo(ann, { n: 3 });
    await watch.until();
    expect((await errorsOf(ann, 1))[0]?.event.message).toMatch(/^subscriptionId is unknown/);
  });

  it("counts against the rate of frames", async () => {
    const slow = await startServer("memory", {
      bridge: { maxFramesPerSecond: 1, maxFrameBurst: 10 },
    });
    const ann = await openClient(slow.url);
    await joinWith(ann, newGroup(), {});
    for (let n = 0; n < 20; n++) changeTo(ann, { n });
    expect(await ann.line.closed).toBe(4429);
    await slow.close();
  });
});

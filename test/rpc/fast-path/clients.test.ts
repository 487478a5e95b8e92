import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { SetResult } from "../../../src/service/requests.ts";
import { doorNamed } from "../../support/doors/doors.ts";
import { type FastPathServer, startFastPathServer } from "../../support/doors/fast-path-server.ts";

let server: FastPathServer;
beforeAll(async () => {
  server = await startFastPathServer();
});
afterAll(async () => server?.close());

describe.each(["grpc", "grpc-js"])("the %s client on the fast path", (name) => {
  it("uses it for calls, subscriptions and streams of writes", async () => {
    const client = doorNamed(name).client({ url: server.url } as never);
    const group = { streamName: "s", groupId: name };
    const frames = await client.subscribe(group);
    expect((await frames.next()).value).toMatchObject({ kind: "sync" });
    await client.set({ ...group, itemId: "a", data: { n: 1 } });
    expect((await frames.next()).value).toMatchObject({
      kind: "change",
      type: "create",
      itemId: "a",
    });
    expect(await client.get({ ...group, itemId: "a" })).toMatchObject({ data: { n: 1 } });
    await frames.return();
    const writes = client.write();
    writes.send({ requestId: "7", send: { ...group, type: "t", data: 1 } });
    expect(await writes.next()).toMatchObject({ requestId: "7", send: {} });
    writes.end();
    expect(await writes.next()).toBeUndefined();
    await client.close();
    expect(server.missed).toEqual([]);
  });
});

describe("a stream of writes on the fast path", () => {
  it("fails only the request whose result cannot be encoded, and continues", async () => {
    const broken = await startFastPathServer({ set: async () => ({}) as SetResult });
    onTestFinished(() => broken.close());
    const client = doorNamed("grpc").client({ url: broken.url } as never);
    const group = { streamName: "s", groupId: "broken" };
    const writes = client.write();
    writes.send({ requestId: "1", set: { ...group, itemId: "a", data: 1 } });
    expect(await writes.next()).toMatchObject({ requestId: "1", error: { reason: "INTERNAL" } });
    writes.send({ requestId: "2", send: { ...group, type: "t", data: 1 } });
    expect(await writes.next()).toMatchObject({ requestId: "2", send: {} });
    writes.end();
    expect(await writes.next()).toBeUndefined();
    await client.close();
  });
});

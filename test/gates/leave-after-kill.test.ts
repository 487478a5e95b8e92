import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { openLmdbStore } from "../../src/stores/lmdb/lmdb-store.ts";
import { connect } from "../bridge/line.ts";
import { doorNamed } from "../support/doors/doors.ts";
import type { JoinPayload } from "../support/gates/gated-server.ts";
import {
  type LeaveChildOptions,
  idsOf,
  leavesSoFar,
  remote,
  startLeaveChild,
} from "../support/gates/leave-child.ts";

const STREAM = "rooms";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-leaves-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
});

/** Starts a server on the folder of the test. */
const start = (options: Omit<LeaveChildOptions, "store">) =>
  startLeaveChild({ store: { kind: "file_based", folder }, ...options });

describe("a service on disk, restarted after kill -9,", { timeout: 60_000 }, () => {
  it("delivers the leaves of the open subscriptions, and no others (G6)", async () => {
    const first = await start({ gate: true });
    const line = await connect(first.url, `/stream/${STREAM}/url?user=ann`);
    await line.count(1);
    for (const id of ["a", "b", "c"])
      line.join({ streamName: STREAM, groupId: "g", id, subscriptionId: id });
    await line.count(4);
    const client = doorNamed("grpc").client(remote(first));
    onTestFinished(() => client.close());
    const frames = await client.subscribe({ streamName: STREAM, groupId: "rpc" });
    await frames.next();
    const over = await client.subscribe({ streamName: STREAM, groupId: "over" });
    await over.next();
    await over.return();
    line.leave("b");
    const before = await first.leaves.count(2);
    await leavesSoFar(first);
    // The store settles a leave shortly after its delivery.
    await client.set({ streamName: STREAM, groupId: "g", itemId: "i", data: 1 });
    await first.end("SIGKILL");

    const open = first.joins.all.filter(
      ({ subscription_id: id }) => !id.startsWith("barrier-") && !idsOf(before).includes(id),
    );
    expect(open.map(({ group_id: groupId }) => groupId).toSorted()).toEqual([
      "g",
      "g",
      "rpc",
      "url",
    ]);
    const second = await start({ gate: true });
    const received = await leavesSoFar(second);
    const sorted = (all: readonly JoinPayload[]) =>
      all.map((each) => JSON.stringify(each)).toSorted();
    expect(sorted(received)).toEqual(sorted(open));
    // One WebSocket and one gRPC connection, with the ids of their joins.
    const connections = received.map((each) => each.connection_id);
    expect(connections).toEqual(connections.map(() => expect.stringMatching(/^[0-9a-f]{32}$/)));
    expect(new Set(connections).size).toBe(2);
    expect(new Set(received.map(({ context }) => JSON.stringify(context)))).toEqual(
      new Set(['{"user":"ann"}', '{"user":null}']),
    );

    // Delivered leaves are not delivered again.
    await second.end("SIGTERM");
    const third = await start({ gate: true });
    expect(await leavesSoFar(third)).toEqual([]);
  });

  it("delivers a leave in delivery again", async () => {
    const first = await start({ gate: false, stuck: "stuck" });
    const line = await connect(first.url, `/stream/${STREAM}/stuck`);
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    line.socket.close();
    expect(idsOf(await first.leaves.count(1))).toEqual([id]);
    await first.end("SIGKILL");
    const second = await start({ gate: false });
    expect(idsOf(await leavesSoFar(second))).toEqual([id]);
  });

  it("delivers the leaves of subscriptions that opened before the leave trigger was registered", async () => {
    const first = await start({ gate: false, late: true });
    const line = await connect(first.url, `/stream/${STREAM}/g`);
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    await first.registerLeaveTrigger();
    await first.end("SIGKILL");
    const second = await start({ gate: false });
    expect(idsOf(await leavesSoFar(second))).toEqual([id]);
  });

  it("refuses joins until the gate is registered again (G8)", async () => {
    const first = await start({ gate: true });
    await first.end("SIGKILL");
    const second = await start({ gate: false });
    const line = await connect(second.url, `/stream/${STREAM}/g`);
    expect((await line.count(1)).map(({ event }) => event.type)).toEqual(["unauthorized"]);
    expect(await line.closed).toBe(1013);
    const client = doorNamed("connect-h1-json").client(remote(second));
    onTestFinished(() => client.close());
    const following = client.subscribe({ streamName: STREAM, groupId: "g" });
    await expect(following.then((frames) => frames.next())).rejects.toMatchObject({
      reason: "JOIN_REFUSED",
    });
    await second.end("SIGKILL");
    const third = await start({ gate: true });
    expect(await leavesSoFar(third)).toEqual([]);
  });

  it("delivers leaves that an earlier version recorded without connection_id, once", async () => {
    // Stores the leave trigger.
    await (await start({ gate: false })).end("SIGTERM");
    const store = await openLmdbStore({ folder });
    // The format of that version.
    const noted =
      '{"subscription_id":"old","stream_name":"rooms","group_id":"g","id":null,"context":{"user":"ann"}}';
    await store.serviceState.put("lease/5f2c0d8e-1", noted);
    await store.close();
    const next = await start({ gate: false });
    expect(await leavesSoFar(next)).toEqual([JSON.parse(noted)]);
    await next.end("SIGTERM");
    const last = await start({ gate: false });
    expect(await leavesSoFar(last)).toEqual([]);
  });
});

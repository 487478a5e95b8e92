import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { connect } from "../bridge/line.ts";
import type { DoorTarget } from "../support/doors/door.ts";
import { doorNamed } from "../support/doors/doors.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls, promised } from "../support/gates/calls.ts";
import type { JoinPayload } from "../support/gates/gatehouse.ts";

const SCRIPT = fileURLToPath(new URL("../support/gates/leave-child.mjs", import.meta.url));
const STREAM = "rooms";

interface ChildOptions {
  readonly gate: boolean;
  readonly late?: boolean;
  readonly stuck?: string;
}

interface Child {
  readonly url: string;
  readonly joins: Calls<JoinPayload>;
  readonly leaves: Calls<JoinPayload>;
  /** Has it ask to be told of leaves, if it was started late. */
  askForLeaves(): Promise<void>;
  /** Ends it. @returns when it is gone. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-leaves-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
});

/** Starts a server on the folder of the test. */
async function start(options: ChildOptions): Promise<Child> {
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify({ folder, ...options })], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const errors: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  const exited = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  const [joins, leaves] = [newCalls<JoinPayload>(), newCalls<JoinPayload>()];
  const asked = promised();
  const url = await new Promise<string>((resolve, reject) => {
    void exited.then(([code]) =>
      reject(new Error(`the server ended with ${code}: ${errors.join("")}`)),
    );
    createInterface(child.stdout).on("line", (text) => {
      const line = JSON.parse(text) as { kind: string; url: string; payload: JoinPayload };
      if (line.kind === "listening") resolve(line.url);
      else if (line.kind === "asked") asked.resolve();
      else (line.kind === "join" ? joins : leaves).record(line.payload);
    });
  });
  return {
    url,
    joins,
    leaves,
    async askForLeaves() {
      child.kill("SIGUSR2");
      await asked.promise;
    },
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

/** A service in another process, for doors that reach it by its address. */
const remote = ({ url }: Child): DoorTarget => ({
  url,
  get service(): never {
    throw new Error("it is in another process");
  },
});

const idsOf = (payloads: readonly JoinPayload[]) => payloads.map((each) => each.subscription_id);

/** All leaves up to now, without the one that is made to know that. */
async function leavesSoFar({ url, leaves }: Child): Promise<JoinPayload[]> {
  const mark = uniqueName("mark");
  const line = await connect(url, "/");
  line.join({ streamName: STREAM, groupId: mark, subscriptionId: mark });
  await line.count(1);
  line.socket.terminate();
  const all = await leaves.until("the mark", (told) => idsOf(told).includes(mark));
  return all.filter((each) => !each.subscription_id.startsWith("mark-"));
}

describe("after kill -9 of a service on disk", { timeout: 60_000 }, () => {
  it("the leaves of the subscriptions that were open are told at the next start, and of no others (G6)", async () => {
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
    // What is told is noted a moment later than it is done.
    await client.set({ streamName: STREAM, groupId: "g", itemId: "i", data: 1 });
    await first.end("SIGKILL");

    const open = first.joins.all.filter(
      ({ subscription_id: id }) => !id.startsWith("mark-") && !idsOf(before).includes(id),
    );
    expect(open.map(({ group_id: groupId }) => groupId).toSorted()).toEqual([
      "g",
      "g",
      "rpc",
      "url",
    ]);
    const second = await start({ gate: true });
    const told = await leavesSoFar(second);
    const sorted = (all: readonly JoinPayload[]) =>
      all.map((each) => JSON.stringify(each)).toSorted();
    expect(sorted(told)).toEqual(sorted(open));
    expect(new Set(told.map(({ context }) => JSON.stringify(context)))).toEqual(
      new Set(['{"user":"ann"}', '{"user":null}']),
    );

    // Once they were told, that is that.
    await second.end("SIGTERM");
    const third = await start({ gate: true });
    expect(await leavesSoFar(third)).toEqual([]);
  });

  it("a leave that was being told is told again", async () => {
    const first = await start({ gate: false, stuck: "stuck" });
    const line = await connect(first.url, `/stream/${STREAM}/stuck`);
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    line.socket.close();
    expect(idsOf(await first.leaves.count(1))).toEqual([id]);
    await first.end("SIGKILL");
    const second = await start({ gate: false });
    expect(idsOf(await leavesSoFar(second))).toEqual([id]);
  });

  it("who asked to be told of leaves when somebody was in already is told of them", async () => {
    const first = await start({ gate: false, late: true });
    const line = await connect(first.url, `/stream/${STREAM}/g`);
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    await first.askForLeaves();
    await first.end("SIGKILL");
    const second = await start({ gate: false });
    expect(idsOf(await leavesSoFar(second))).toEqual([id]);
  });

  it("a gate that is not registered again keeps everybody out until it is (G8)", async () => {
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
});

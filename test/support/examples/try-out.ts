import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createServer } from "millrace/server";
import { expect, onTestFinished } from "vitest";
import { PROJECT } from "../../docs/markdown.ts";
import { type Running, start } from "../../docs/processes.ts";
import { openProxy } from "../doors/proxy.ts";

/** The example programs of one language. */
export interface Programs {
  /** Prefix of its functions, such as `go`. */
  readonly prefix: string;
  /** What it prints when it crashes. */
  readonly crash: string;
  /** Shell command that starts one. @param address Of the service, `host:port`. */
  readonly command: (program: "worker" | "subscriber", address: string) => string;
}

/**
 * Tests a worker and a subscriber: they work, reconnect after a cut and after a restart of the
 * service, and shut down gracefully.
 */
export async function tryOut({ prefix, crash, command }: Programs): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), `millrace-${prefix}-`));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const open = (port: number) => createServer({ port, store: { kind: "file_based", folder } });
  let server = await open(0);
  onTestFinished(() => server.close());
  const proxy = await openProxy(server.port);
  onTestFinished(() => proxy.close());

  const chat = { streamName: "chat", groupId: "lobby" };
  const post = (itemId: string, text: string) =>
    server.service.set({ ...chat, itemId, data: { text } });
  const isShouted = (itemId: string, text: string) =>
    expect
      .poll(() => server.service.get({ ...chat, streamName: "loud", itemId }), { timeout: 20_000 })
      .toMatchObject({ data: { text } });
  const shout = (text: string) =>
    server.service.trigger({ function_id: `${prefix}::shout`, payload: { text } });

  const worker = program(command("worker", new URL(proxy.url).host));
  const subscriber = program(command("subscriber", new URL(proxy.url).host));
  await isReady(worker, 1);
  await shows(subscriber, {});
  expect(await shout("hello")).toEqual({ text: "HELLO!" });
  await post("m1", "hello");
  await shows(subscriber, { m1: { text: "hello" } });
  await isShouted("m1", "HELLO!");

  proxy.cut();
  await post("m2", "again");
  await shows(subscriber, { m1: { text: "hello" }, m2: { text: "again" } });
  await isShouted("m2", "AGAIN!");
  await isReady(worker, 2);

  await server.close();
  server = await open(server.port);
  await server.service.delete({ ...chat, itemId: "m1" });
  await post("m3", "back");
  await shows(subscriber, { m2: { text: "again" }, m3: { text: "back" } });
  await isShouted("m3", "BACK!");
  await isReady(worker, 3);
  expect(await shout("still here")).toEqual({ text: "STILL HERE!" });
  expect(await server.service.get({ ...chat, streamName: "loud", itemId: "m1" })).toBeUndefined();

  await worker.stop();
  const left = await worker.ended();
  expect(left.status).toBe(0);
  await expect(shout("gone")).rejects.toMatchObject({ code: "function_not_found" });
  await subscriber.stop();
  const { stdout, stderr } = await subscriber.ended();
  expect(stdout.match(/^resumed at revision \d+$/gm)).toEqual([
    "resumed at revision 1",
    "resumed at revision 2",
  ]);
  expect(left.stderr + stderr).not.toContain(crash);
}

/** Starts a program that is stopped after the test. */
function program(command: string): Running {
  const running = start(`exec ${command}`, PROJECT);
  onTestFinished(() => running.stop());
  return running;
}

/** Waits until a worker has registered everything for the n-th time. */
async function isReady(worker: Running, times: number): Promise<void> {
  await worker.shows((printed) => (printed.match(/^ready$/gm) ?? []).length >= times);
}

/** Waits until the last state that a subscriber printed is the expected one. */
async function shows(subscriber: Running, state: object): Promise<void> {
  await subscriber.shows((printed) => {
    const last = printed.match(/^\{.*\}$/gm)?.at(-1);
    return last !== undefined && isDeepStrictEqual(JSON.parse(last), state);
  });
}

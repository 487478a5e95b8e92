import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createServer } from "millrace/server";
import { type TestContext, expect, it, onTestFinished } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { type Running, run, start } from "../docs/processes.ts";
import { openProxy } from "../support/doors/proxy.ts";

const CACHE = join(PROJECT, ".cache", "go");
/** A copy of what the module needs: others read the project while stubs are generated here. */
const TREE = join(CACHE, "tree");
const MODULE = join(TREE, "examples", "go");

it("the programs of examples/go work, come back and leave", async (context) => {
  await withLock(
    join(PROJECT, ".cache", "go-lock"),
    () => {},
    () => build(context),
  );
  await tryOut();
  // The first time, modules are downloaded and compiled, with Go's own library.
}, 240_000);

async function tryOut(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-go-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const open = (port: number) => createServer({ port, store: { kind: "file_based", folder } });
  let server = await open(0);
  onTestFinished(() => server.close());
  const line = await openProxy(server.port);
  onTestFinished(() => line.close());

  const chat = { streamName: "chat", groupId: "lobby" };
  const say = (itemId: string, text: string) =>
    server.service.set({ ...chat, itemId, data: { text } });
  const isShouted = (itemId: string, text: string) =>
    expect
      .poll(() => server.service.get({ ...chat, streamName: "loud", itemId }), { timeout: 20_000 })
      .toMatchObject({ data: { text } });
  const shout = (text: string) =>
    server.service.trigger({ function_id: "go::shout", payload: { text } });

  const worker = program("worker", line.url);
  const subscriber = program("subscriber", line.url);
  await isReady(worker, 1);
  await shows(subscriber, {});
  expect(await shout("hello")).toEqual({ text: "HELLO!" });
  await say("m1", "hello");
  await shows(subscriber, { m1: { text: "hello" } });
  await isShouted("m1", "HELLO!");

  line.cut();
  await say("m2", "again");
  await shows(subscriber, { m1: { text: "hello" }, m2: { text: "again" } });
  await isShouted("m2", "AGAIN!");
  await isReady(worker, 2);

  await server.close();
  server = await open(server.port);
  await server.service.delete({ ...chat, itemId: "m1" });
  await say("m3", "back");
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
  expect(left.stderr + stderr).not.toContain("panic");
}

/** Starts one of the programs. It is ended with the test. */
function program(name: string, url: string): Running {
  const running = start(`exec '${CACHE}/${name}' ${new URL(url).host}`, PROJECT);
  onTestFinished(() => running.stop());
  return running;
}

/** Waits until a worker has registered everything for the n-th time. */
async function isReady(worker: Running, times: number): Promise<void> {
  await worker.shows((printed) => (printed.match(/^ready$/gm) ?? []).length >= times);
}

/** Waits until the state that a subscriber printed last is as wanted. */
async function shows(subscriber: Running, state: object): Promise<void> {
  await subscriber.shows((printed) => {
    const last = printed.match(/^\{.*\}$/gm)?.at(-1);
    return last !== undefined && isDeepStrictEqual(JSON.parse(last), state);
  });
}

/** Builds the programs. Where Go or its modules cannot be had, the test is skipped and says so. */
async function build(context: TestContext): Promise<void> {
  await rm(TREE, { recursive: true, force: true });
  for (const path of ["buf.yaml", "proto", "third_party", "examples/go"])
    await cp(join(PROJECT, path), join(TREE, path), { recursive: true });
  await symlink(join(PROJECT, "node_modules"), join(TREE, "node_modules"));
  const go = await run("go version", MODULE);
  if (go.status !== 0) context.skip("go is not installed here");
  const modules = await run("go mod download", MODULE);
  if (modules.status !== 0)
    context.skip(`go cannot get its modules here: ${modules.stderr.trim().split("\n").at(-1)}`);
  await succeeds("./generate.sh");
  await succeeds(`go build -buildvcs=false -o '${CACHE}/' ./worker ./subscriber`);
}

async function succeeds(code: string): Promise<void> {
  const { status, stdout, stderr } = await run(code, MODULE);
  if (status !== 0) throw new Error(`${code} ended with ${status}:\n${stdout}${stderr}`);
}

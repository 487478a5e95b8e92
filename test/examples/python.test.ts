import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createServer } from "millrace/server";
import { type TestContext, expect, it, onTestFinished } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { type Running, run, start } from "../docs/processes.ts";
import { openProxy } from "../support/doors/proxy.ts";

const VENV = ".cache/python";
const PYTHON = `${VENV}/bin/python`;
const STUBS = `${VENV}/stubs`;

it("the programs of examples/python work, come back and leave", async (context) => {
  // The tests of the documents use the same environment: one run at a time in it.
  const lock = join(PROJECT, ".cache", "python-lock");
  await withLock(
    lock,
    () => {},
    async () => {
      await prepare(context);
      await tryOut();
    },
  );
  // Another run may hold the lock while it downloads what is missing.
}, 240_000);

async function tryOut(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-python-"));
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
    server.service.trigger({ function_id: "python::shout", payload: { text } });

  const worker = program("worker.py", line.url);
  const subscriber = program("subscriber.py", line.url);
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
  expect(left.stderr + stderr).not.toContain("Traceback");
}

/** Starts one of the programs. It is ended with the test. */
function program(file: string, url: string): Running {
  const address = new URL(url).host;
  const code = `PYTHONPATH=${STUBS} exec ${PYTHON} examples/python/${file} ${address}`;
  const running = start(code, PROJECT);
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

/** Installs what is missing. Where it cannot be had, the test is skipped and says so. */
async function prepare(context: TestContext): Promise<void> {
  const installed = await run(`${PYTHON} -c 'import grpc, grpc_tools'`, PROJECT);
  if (installed.status !== 0) {
    const venv = await run("python3 -c 'import venv, ensurepip'", PROJECT);
    if (venv.status !== 0) context.skip("python3 with venv and ensurepip is not installed here");
    await succeeds(`python3 -m venv ${VENV}`);
    const pip = await run(`${PYTHON} -m pip install --quiet grpcio-tools`, PROJECT);
    if (pip.status !== 0)
      context.skip(`pip cannot get grpcio-tools here: ${pip.stderr.trim().split("\n").at(-1)}`);
  }
  await succeeds(
    `mkdir -p ${STUBS} && ${PYTHON} -m grpc_tools.protoc -I proto ` +
      `--python_out=${STUBS} --grpc_python_out=${STUBS} proto/millrace/v1/*.proto`,
  );
}

async function succeeds(code: string): Promise<void> {
  const { status, stdout, stderr } = await run(code, PROJECT);
  if (status !== 0) throw new Error(`${code} ended with ${status}:\n${stdout}${stderr}`);
}

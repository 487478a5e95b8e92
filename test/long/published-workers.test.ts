import { join } from "node:path";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { type TestContext, expect, it } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { run, start } from "../docs/processes.ts";
import { until } from "../support/hosts/test-service.ts";
import { LONG } from "../support/long/violations.ts";

/*
 * Workers that use the published SDKs of Python and Rust, unchanged. The Rust worker runs only in
 * the long form: its build takes minutes.
 */

const PROGRAMS = "test/support/workers/published";
const VENV = ".cache/iii-python";
const PYTHON = `${VENV}/bin/python`;
/** The newest tested version. */
const PYTHON_SDK = "iii-sdk==0.25.0";
const TARGET = ".cache/rust-worker";

// Another run may hold the lock during its installation or build.
const PYTHON_TIMEOUT_MS = 120_000;
const RUST_TIMEOUT_MS = 1_200_000;

it(
  "a worker of the published Python SDK is called, receives its trigger and calls back",
  async (context) => {
    await alone("iii-python-lock", async () => {
      await preparePython(context);
      await tryOut((url) => `${PYTHON} ${PROGRAMS}/worker.py ${url}`);
    });
  },
  PYTHON_TIMEOUT_MS,
);

it(
  "a worker of the published Rust SDK is called, receives its trigger and calls back",
  async (context) => {
    if (!LONG) context.skip("cargo builds the SDK for minutes: npm run test:long -- published");
    await alone("rust-worker-lock", async () => {
      await prepareRust(context);
      await tryOut((url) => `${TARGET}/debug/published-worker ${url}`);
    });
  },
  RUST_TIMEOUT_MS,
);

/** Runs a worker, and uses everything that it provides. */
async function tryOut(command: (url: string) => string): Promise<void> {
  const server = await createServer({ port: 0, store: memoryStore() });
  const { service } = server;
  const worker = start(`exec ${command(`${server.url.replace("http", "ws")}/worker`)}`, PROJECT);
  try {
    const ready = await worker.shows((printed) => /^ready .*\n/m.test(printed));
    expect(ready).toContain('"published::shout"');
    const shouted = await service.trigger({
      function_id: "published::shout",
      payload: { text: "hello" },
      timeout_ms: 10_000,
    });
    expect(shouted).toEqual({ text: "HELLO" });
    await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: { n: 1 } });
    const seen = { streamName: "seen", groupId: "g", itemId: "i" };
    await until(
      () => service.triggers()[0]?.counts.fired,
      (fired) => fired === 1,
    );
    expect((await service.get(seen))?.data).toEqual({ type: "create", data: { n: 1 } });
  } finally {
    await worker.stop();
    await server.close();
  }
}

/** Allows one run at a time in an environment. */
async function alone(lock: string, work: () => Promise<void>): Promise<void> {
  await withLock(join(PROJECT, ".cache", lock), () => {}, work);
}

/** Installs the SDK if it is missing. If that is impossible, skips the test with the reason. */
async function preparePython(context: TestContext): Promise<void> {
  const version = PYTHON_SDK.split("==")[1];
  const check = `from importlib.metadata import version as v; assert v("iii-sdk") == "${version}"`;
  if ((await run(`${PYTHON} -c '${check}'`, PROJECT)).status === 0) return;
  const venv = await run("python3 -c 'import venv, ensurepip'", PROJECT);
  if (venv.status !== 0) context.skip("python3 with venv and ensurepip is not installed here");
  await run(`python3 -m venv ${VENV}`, PROJECT);
  const pip = await run(`${PYTHON} -m pip install --quiet ${PYTHON_SDK}`, PROJECT);
  if (pip.status !== 0)
    context.skip(`pip cannot get ${PYTHON_SDK} here: ${pip.stderr.trim().split("\n").at(-1)}`);
}

/** Builds the worker. If that is impossible, skips the test with the reason. */
async function prepareRust(context: TestContext): Promise<void> {
  if ((await run("cargo --version", PROJECT)).status !== 0)
    context.skip("cargo is not installed here");
  const crate = `--locked --manifest-path ${PROGRAMS}/rust/Cargo.toml`;
  if ((await run(`cargo fetch ${crate}`, PROJECT)).status !== 0)
    context.skip("cargo cannot get the crates here");
  const built = await run(`cargo build --quiet ${crate} --target-dir ${TARGET}`, PROJECT);
  expect(built.stderr).toBe("");
  expect(built.status).toBe(0);
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createServer } from "millrace/server";
import { type TestContext, expect, it } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { run } from "../docs/processes.ts";
import { startFastPathServer } from "../support/doors/fast-path-server.ts";
import { tryOut } from "../support/examples/try-out.ts";

const VENV = ".cache/python";
const PYTHON = `${VENV}/bin/python`;
const STUBS = `${VENV}/stubs`;

// Another run may hold the lock while it downloads packages.
const TIMEOUT_MS = 240_000;

it(
  "the programs of examples/python work, reconnect and shut down",
  async (context) => {
    await withPython(context, () =>
      tryOut({
        prefix: "python",
        crash: "Traceback",
        command: (program, address) =>
          `env PYTHONPATH=${STUBS} ${PYTHON} examples/python/${program}.py ${address}`,
      }),
    );
  },
  TIMEOUT_MS,
);

it(
  "the calls, subscriptions and write streams of grpcio take the fast path",
  async (context) => {
    await withPython(context, async () => {
      const server = await startFastPathServer();
      try {
        const program = "test/support/examples/lane_client.py";
        const { host } = new URL(server.url);
        const done = await run(`env PYTHONPATH=${STUBS} ${PYTHON} ${program} ${host}`, PROJECT);
        expect(done).toMatchObject({ status: 0, stderr: "" });
        expect(done.stdout.trim().split("\n")).toEqual([
          "sync",
          "created",
          "change",
          "got 1.0",
          "7",
        ]);
        expect(server.missed).toEqual([]);
      } finally {
        await server.close();
      }
    });
  },
  TIMEOUT_MS,
);

it(
  "a follower in Python with a key follows a private room beside a join gate that refuses everybody else",
  async (context) => {
    await withPython(context, async () => {
      const server = await createServer({
        port: 0,
        store: { kind: "in_memory" },
        auth: {
          keys: [{ name: "exporter", key: "exporter-key" }],
          anonymous: [{ actions: ["subscribe"] }],
        },
        async setup(service) {
          await service.registerFunction("nobody", () => ({ unauthorized: true }));
          await service.registerTrigger({ type: "stream:join", function_id: "nobody" });
        },
      });
      try {
        await server.service.set({ ...LOBBY, itemId: "m1", data: "private" });
        expect(await firstLine(server.url, { TOKEN: "exporter-key" })).toBe('{"m1": "private"}');
        expect(await firstLine(server.url, {})).toMatch(
          /^the stream broke: .*refused by a join gate/,
        );
      } finally {
        await server.close();
      }
    });
  },
  TIMEOUT_MS,
);

const LOBBY = { streamName: "chat", groupId: "lobby" };

/** What the follower of examples/python prints first. */
async function firstLine(url: string, env: Record<string, string>): Promise<string> {
  const child = spawn(join(PROJECT, PYTHON), ["examples/python/subscriber.py", new URL(url).host], {
    cwd: PROJECT,
    env: { PATH: process.env["PATH"], PYTHONPATH: STUBS, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    return line;
  } finally {
    child.kill("SIGKILL");
  }
}

/** Runs alone in the environment that the tests of the documents share. */
async function withPython(context: TestContext, work: () => Promise<void>): Promise<void> {
  const lock = join(PROJECT, ".cache", "python-lock");
  await withLock(
    lock,
    () => {},
    async () => {
      await prepare(context);
      await work();
    },
  );
}

/** Installs missing packages. Skips the test with a reason when that is impossible. */
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

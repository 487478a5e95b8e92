import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, describe, expect, it, onTestFinished } from "vitest";
import { PROJECT } from "../../scripts/lib/project.mjs";
import { freePort } from "../support/long/child-server.ts";
import { readImage } from "./dockerfile.ts";

/*
 * Runs the command of the Dockerfile without Docker: in the same environment, as the same user,
 * over a folder created like the image's volume. Ports are free ones, and the host is loopback.
 */

const image = await readImage();
const [uid = 0, gid = 0] = image.user.split(":").map(Number);

/** Why this process cannot run the image's command as its user; undefined when it can. */
async function obstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "only root can become the user of the image";
  for (let folder = PROJECT; folder !== dirname(folder); folder = dirname(folder))
    if (((await stat(folder)).mode & 0o001) === 0)
      return `the user of the image may not enter ${folder}`;
  return undefined;
}

/** Creates the volume as the image does. */
async function volume(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "millrace-image-"));
  onTestFinished(() => rm(root, { recursive: true }));
  await chmod(root, 0o755);
  const data = join(root, image.volume);
  await mkdir(data, { mode: 0o700 });
  await chown(data, uid, gid);
  return data;
}

interface Container {
  readonly url: string;
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  log(): string;
  /** Runs the health check. @returns Its exit status. */
  check(): Promise<number | null>;
}

function runIn(command: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const [program, ...args] = command;
  expect(program).toBe("node");
  return spawn(process.execPath, args, {
    cwd: PROJECT,
    uid,
    gid,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function start(data: string, more: Readonly<Record<string, string>> = {}) {
  const port = await freePort();
  const own = Object.entries(image.env).map(([name, value]) => [
    name,
    value.startsWith(`${image.volume}/`) ? value.replace(image.volume, data) : value,
  ]);
  const env = {
    ...(Object.fromEntries(own) as Record<string, string>),
    MILLRACE_HOST: "127.0.0.1",
    MILLRACE_PORT: String(port),
    ...more,
  };
  const child = runIn(image.command, env);
  onTestFinished(() => void child.kill("SIGKILL"));
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = once(child, "exit").then(([code]) => code as number | null);
  await Promise.race([
    once(createInterface(child.stdout as NodeJS.ReadableStream), "line"),
    ended.then((code) => {
      throw new Error(`The service ended with ${code}:\n${log}`);
    }),
  ]);
  const container: Container = {
    url: `http://127.0.0.1:${port}`,
    child,
    ended,
    log: () => log,
    async check() {
      const [code] = (await once(runIn(image.healthcheck, env), "exit")) as [number | null];
      return code;
    },
  };
  return container;
}

async function call(url: string, method: string, token: string | undefined) {
  const response = await fetch(`${url}/millrace.v1.StreamService/${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({
      streamName: "chat",
      groupId: "lobby",
      itemId: "a",
      ...(method === "Set" && { data: "kept" }),
    }),
  });
  return { status: response.status, text: await response.text() };
}

/** A test that runs the image's command. */
function imageTest(name: string, body: () => Promise<void>) {
  it(name, async (context: TestContext) => {
    const reason = await obstacle();
    if (reason !== undefined) return context.skip(reason);
    await body();
  });
}

describe("the Docker image", () => {
  it("runs as a user with a fixed id that is not root and owns the volume", () => {
    expect(image.user).toMatch(/^[1-9]\d+:[1-9]\d+$/);
    expect(image.runs).toContain(
      `mkdir --mode=0700 ${image.volume} && chown ${image.user} ${image.volume}`,
    );
    expect(image.stopSignal).toBe("SIGTERM");
  });

  it("is reachable from outside its container, and stores everything in its volume", () => {
    expect(image.env["MILLRACE_HOST"]).toBe("0.0.0.0");
    for (const name of ["MILLRACE_ADAPTER_CONFIG_FILE_PATH", "MILLRACE_API_TOKEN_FILE"])
      expect(image.env[name]?.startsWith(`${image.volume}/`)).toBe(true);
  });

  it("has a configuration that the service accepts for a host that other machines can reach", async () => {
    const [, cli = ""] = image.command;
    const child = spawn(process.execPath, [cli, "check-config"], { cwd: PROJECT, env: image.env });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    expect([(await once(child, "exit"))[0], errors]).toEqual([0, ""]);
  });

  imageTest(
    "creates a token at the first start, prints it once, and keeps it and the data",
    async () => {
      const data = await volume();
      const first = await start(data);
      const token = /shown only once: ([\w-]{43})/.exec(first.log())?.[1] ?? "";
      const file = join(data, "api-token");
      expect((await readFile(file, "utf8")).trim()).toBe(token);
      const { mode, uid: owner } = await stat(file);
      expect([mode & 0o777, owner]).toEqual([0o600, uid]);
      expect((await call(first.url, "Set", undefined)).status).toBe(401);
      expect((await call(first.url, "Set", token)).status).toBe(200);
      expect(await first.check()).toBe(0);
      first.child.kill(image.stopSignal as NodeJS.Signals);
      expect(await first.ended).toBe(0);
      expect(await first.check()).toBe(1);

      const second = await start(data);
      expect(second.log()).not.toContain(token);
      expect((await call(second.url, "Get", token)).text).toContain('"kept"');
      second.child.kill("SIGTERM");
      expect(await second.ended).toBe(0);
    },
  );

  imageTest("uses the tokens that it is given, and creates none", async () => {
    const data = await volume();
    const given = await start(data, { MILLRACE_API_TOKENS: "from-outside" });
    expect((await call(given.url, "Set", "from-outside")).status).toBe(200);
    expect(await readdir(data)).toEqual(["streams"]);
    given.child.kill("SIGTERM");
    expect(await given.ended).toBe(0);
  });
});

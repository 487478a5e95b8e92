import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp } from "node:http";
import { type AddressInfo, createServer as createNet } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Server, createServer } from "millrace/server";
import type { StreamFrame } from "millrace";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { watchHint } from "../../scripts/demo/watch-hint.mjs";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const GROUP = { streamName: "dashboard-metrics", groupId: "this-machine" };

/** Starts the demo. */
function startDemo(args: readonly string[]) {
  const child = spawn(process.execPath, ["scripts/demo.mjs", ...args], {
    cwd: PROJECT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => {
    try {
      // Its process group includes the service that it may have started.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // All processes have ended.
    }
  });
  let stderr = "";
  let wake = () => {};
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    wake();
  });
  const ended = once(child, "close").then(([code]: unknown[]) => ({ code, stderr }));
  return {
    child,
    ended,
    /** Resolves once the text has been printed. */
    async prints(text: string) {
      while (!stderr.includes(text)) {
        if (child.exitCode !== null)
          throw new Error(`It ended before it printed "${text}":\n${stderr}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

async function startService(port = 0): Promise<Server> {
  const server = await createServer({ port, store: { kind: "in_memory" } });
  onTestFinished(async () => server.close());
  return server;
}

async function freePort(): Promise<number> {
  const net = createNet().listen(0, "127.0.0.1");
  await once(net, "listening");
  const { port } = net.address() as AddressInfo;
  net.close();
  await once(net, "close");
  return port;
}

async function framesOf(server: Server): Promise<AsyncIterableIterator<StreamFrame>> {
  const frames = await server.service.subscribe(GROUP);
  onTestFinished(async () => void (await frames.return?.()));
  return frames;
}

describe("npm run demo", () => {
  it("publishes one item per figure to a running service, and leaves it running", async () => {
    const server = await startService();
    await server.service.set({
      ...GROUP,
      itemId: "net-gone0-sent",
      data: { id: "net-gone0-sent" },
    });
    const { code, stderr } = await startDemo(["--once", "--port", String(server.port)]).ended;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toContain(`Using the service at ${server.url}.`);
    expect(stderr).toContain("Published 1 set of figures.");
    const { items } = await server.service.list({ ...GROUP, pageSize: 1000 });
    const ids = items.map(({ itemId }) => itemId);
    expect(ids).toEqual(expect.arrayContaining(["cpu-0", "memory-used", "memory-total"]));
    expect(ids).not.toContain("net-gone0-sent");
    for (const { itemId, data } of items) {
      expect(data).toEqual({
        id: itemId,
        label: expect.any(String),
        unit: expect.any(String),
        value: expect.any(Number),
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      });
    }
  });

  it("publishes each tick as one batch: every figure once, back to back (G1, G3)", async () => {
    const server = await startService();
    const frames = await framesOf(server);
    const { code, stderr } = await startDemo(["--seconds", "1", "--port", String(server.port)])
      .ended;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { items, position } = await server.service.list({ ...GROUP, pageSize: 1000 });
    expect(position.revision).toBe(2 * items.length);
    const ticks: string[] = [];
    for await (const frame of frames) {
      if (frame.kind !== "change") continue;
      ticks.push((frame.data as { at: string }).at);
      if (frame.position.revision === position.revision) break;
    }
    const half = items.length;
    expect(new Set(ticks.slice(0, half)).size).toBe(1);
    expect(new Set(ticks.slice(half)).size).toBe(1);
    expect(ticks[0]).not.toBe(ticks[half]);
  });

  it("starts a service when none runs, and stops it when it ends", async () => {
    await ensureBuilt(PROJECT);
    const data = await mkdtemp(join(tmpdir(), "millrace-demo-"));
    onTestFinished(async () => rm(data, { recursive: true, force: true }));
    const port = await freePort();
    const demo = startDemo(["--port", String(port), "--data", data]);
    await demo.prints("Read one of them:");
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    demo.child.kill("SIGTERM");
    const { code, stderr } = await demo.ended;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow("fetch failed");
    // The published figures are on disk.
    const server = await createServer({ port: 0, store: { kind: "file_based", folder: data } });
    onTestFinished(async () => server.close());
    expect(await server.service.get({ ...GROUP, itemId: "memory-used" })).toBeDefined();
  });

  it("continues when the service restarts", async () => {
    const first = await createServer({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(async () => first.close());
    const demo = startDemo(["--port", String(first.port)]);
    await demo.prints("Read one of them:");
    await first.close();
    await demo.prints("does not answer. Trying again.");
    const second = await startService(first.port);
    const frames = await framesOf(second);
    await demo.prints("The service answers again.");
    for await (const frame of frames) if (frame.kind === "change") break;
    demo.child.kill("SIGINT");
    expect((await demo.ended).code).toBe(0);
  });

  it("reports when another program uses the port", async () => {
    const other = createHttp((_request, response) => response.end("hello")).listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await startDemo(["--once", "--port", String(port)]).ended;
    expect(code).toBe(1);
    expect(stderr).toBe(
      `Another program uses http://127.0.0.1:${port}. Stop it, or choose another --port.\n`,
    );
  });

  it("prints commands that show the figures", async () => {
    const server = await startService();
    await startDemo(["--once", "--port", String(server.port)]).ended;
    const commands = watchHint(server.url)
      .split(/^\S.*$/m)
      .map((part) => part.trim())
      .filter((part) => part !== "");
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const shell = spawn("bash", ["-c", command], {
        cwd: PROJECT,
        detached: true,
        stdio: ["ignore", "pipe", "ignore"],
      });
      onTestFinished(() => {
        try {
          if (shell.pid !== undefined) process.kill(-shell.pid, "SIGKILL");
        } catch {
          // It has already ended.
        }
      });
      let shown = "";
      for await (const chunk of shell.stdout.setEncoding("utf8")) {
        shown += chunk as string;
        if (shown.includes("Memory in use")) break;
      }
      if (!shown.includes("Memory in use")) throw new Error(`${command}\nshowed: ${shown}`);
    }
  });
});

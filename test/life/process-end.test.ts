import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
import { grpcWorkerHost } from "../support/hosts/grpc-worker-host.ts";
import { iiiWorkerHost } from "../support/hosts/iii-worker-host.ts";
import { PROJECT } from "../docs/markdown.ts";

const CHILD = join(PROJECT, "test", "support", "life", "ending-child.mjs");
const GROUP = { streamName: "s", groupId: "g" };

beforeAll(async () => ensureBuilt(PROJECT), 120_000);

/** Uses every protocol of a server, and leaves all connections open. */
async function useEveryProtocol(url: string) {
  const target = { url } as never;
  for (const door of SUBSCRIPTION_DOORS.filter(({ name }) => name !== "library")) {
    const client = door.client(target);
    onTestFinished(() => client.close());
    if (door.name !== "websocket") await client.set({ ...GROUP, itemId: door.name, data: 1 });
    const frames = await client.subscribe(GROUP);
    expect((await frames.next()).value).toMatchObject({ kind: "sync" });
  }
  for (const host of [grpcWorkerHost, iiiWorkerHost]) {
    const worker = await host.join({ url, service: undefined as never });
    onTestFinished(() => worker.vanish());
    await worker.registerFunction(`of ${host.name}`, () => 2);
    expect(await worker.trigger({ function_id: "f" })).toBe(1);
  }
  for (const path of ["/healthz", "/demo", "/nothing"]) await fetch(url + path);
}

describe("a process whose server has closed", () => {
  it("exits by itself within a second after every protocol was used", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-life-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const child = spawn(process.execPath, [CHILD, JSON.stringify({ kind: "file_based", folder })], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const lines: string[] = [];
    const reader = createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    await once(reader, "line");
    const { url } = JSON.parse(lines[0] ?? "") as { url: string };
    await useEveryProtocol(url);
    const ended = once(child, "close");
    child.kill("SIGTERM");
    const [status] = (await ended) as [number | null];
    // A second line would name what kept it alive.
    expect([status, ...lines.slice(1)]).toEqual([0]);
  }, 20_000);
});

import { describeWhere } from "../../support/describe-where.ts";
import { open, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { type ChildServer, startChild } from "../../support/long/child-server.ts";
import { SMALL_DISKS, mountSmallDisk, smallDiskObstacle } from "./small-disk.ts";

const WRITERS = 4;
const VALUE = "x".repeat(20_000);
/** Free space when the test begins to write. */
const ROOM = 1_500_000;

interface Body {
  readonly position?: { readonly epoch: string; readonly revision: string };
  readonly items?: readonly { readonly itemId: string }[];
  readonly nextPageToken?: string;
  readonly details?: readonly { readonly debug?: { readonly reason?: string } }[];
}

/** Calls a service. @returns Its response, or the reason of its error. */
async function call(server: ChildServer, method: string, request: object): Promise<Body | string> {
  const response = await fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ streamName: "s", groupId: "g", ...request }),
  });
  const body = (await response.json()) as Body;
  return response.ok ? body : (body.details?.[0]?.debug?.reason ?? "no reason");
}

/** Fills the disk, to the last block. */
async function fill(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    for (;;) await file.write(Buffer.alloc(512, 1));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  } finally {
    await file.close();
  }
}

async function itemsOf(server: ChildServer): Promise<string[]> {
  const ids: string[] = [];
  let pageToken: string | undefined = "";
  while (pageToken !== undefined) {
    const page: Body | string = await call(server, "List", { pageToken });
    if (typeof page === "string") throw new Error(page);
    ids.push(...(page.items ?? []).map(({ itemId }) => itemId));
    pageToken = page.nextPageToken;
  }
  return ids;
}

const statusOf = async (server: ChildServer) => (await fetch(`${server.url}/healthz`)).status;

for (const kind of SMALL_DISKS) {
  const reason = await smallDiskObstacle(kind);

  describeWhere(reason, `a service whose disk is full (${kind})`, () => {
    it("fails writes, reports it in its health, still reads, and has all acknowledged writes after a restart (G6)", async () => {
      const disk = await mountSmallDisk(kind);
      onTestFinished(() => disk.remove());
      const ballast = join(disk.path, "ballast");
      const { bavail, bsize } = await statfs(disk.path);
      await writeFile(ballast, Buffer.alloc(Math.max(bavail * bsize - ROOM, 0), 1));
      const options = { port: 0, store: { kind: "file_based", folder: join(disk.path, "data") } };
      const server = await startChild(options);

      const acknowledged: string[] = [];
      const unknown: string[] = [];
      let epoch = "";
      const write = async (name: string) => {
        for (let i = 0; ; i++) {
          const itemId = `${name}-${i}`;
          const answer = await call(server, "Set", { itemId, data: VALUE });
          if (answer === "OUTCOME_UNKNOWN") unknown.push(itemId);
          if (typeof answer === "string") return answer;
          acknowledged.push(itemId);
          epoch = answer.position?.epoch ?? "";
        }
      };
      const ends = await Promise.all(Array.from({ length: WRITERS }, (_, i) => write(`w${i}`)));
      expect(ends).toContain("OUTCOME_UNKNOWN");
      expect(
        ends.filter((end) => end !== "OUTCOME_UNKNOWN" && end !== "STORE_UNAVAILABLE"),
      ).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(10);
      for (let i = 0; i < 3; i++)
        expect(await call(server, "Set", { itemId: `late-${i}`, data: 1 })).toBe(
          "STORE_UNAVAILABLE",
        );
      await expect.poll(() => statusOf(server), { timeout: 5000 }).toBe(503);
      expect((await itemsOf(server)).toSorted()).toEqual(acknowledged.toSorted());
      expect(await server.stop()).toBe(0);

      // On a full disk it does not start, and reports why. (ext4 keeps blocks in reserve, and a
      // start needs few.)
      if (kind === "tmpfs") {
        await fill(join(disk.path, "filler"));
        await expect(startChild(options)).rejects.toThrow(/full disk; free some space/);
        await rm(join(disk.path, "filler"));
      }
      await rm(ballast);
      const again = await startChild(options);
      const found = new Set(await itemsOf(again));
      expect(acknowledged.filter((itemId) => !found.has(itemId))).toEqual([]);
      const known = new Set([...acknowledged, ...unknown]);
      expect(Array.from(found).filter((itemId) => !known.has(itemId))).toEqual([]);
      expect(await statusOf(again)).toBe(200);
      expect(await call(again, "Set", { itemId: "late-0", data: 1 })).toMatchObject({
        position: { epoch, revision: String(found.size + 1) },
      });
      expect(await again.stop()).toBe(0);
    });
  });
}

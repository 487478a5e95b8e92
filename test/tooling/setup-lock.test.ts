import { hostname } from "node:os";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { withLock } from "../../scripts/lib/lock.mjs";
import { run } from "../../scripts/lib/run.mjs";
import { tempProject } from "./temp-project.ts";

/** A program that takes the lock and writes when it entered and left. */
const CONTENDER = `
  import { appendFileSync } from "node:fs";
  import { setTimeout } from "node:timers/promises";
  import { withLock } from "./scripts/lib/lock.mjs";
  await withLock("lock", () => {}, async () => {
    appendFileSync("journal", "in " + process.pid + "\\n");
    await setTimeout(20);
    appendFileSync("journal", "out " + process.pid + "\\n");
  });
`;

/** The id of a process that has ended. */
async function deadPid(folder: string): Promise<string> {
  const { output } = await run(process.execPath, ["-p", "process.pid"], { cwd: folder });
  return output.trim();
}

describe("the install and build lock", () => {
  it("admits one process at a time, and each of them eventually", async () => {
    const folder = await tempProject(["scripts/lib"], { "contender.mjs": CONTENDER });
    const contenders = Array.from({ length: 5 }, async () =>
      run(process.execPath, ["contender.mjs"], { cwd: folder }),
    );
    const ended = await Promise.all(contenders);
    expect(ended.map(({ code, output }) => `${code}${output}`)).toEqual(Array(5).fill("0"));
    const journal = (await readFile(join(folder, "journal"), "utf8")).trim().split("\n");
    expect(journal).toHaveLength(10);
    for (let index = 0; index < journal.length; index += 2) {
      const pid = journal[index]?.split(" ")[1];
      expect(journal.slice(index, index + 2)).toEqual([`in ${pid}`, `out ${pid}`]);
    }
    expect(await readdir(join(folder, "lock"))).toEqual([]);
  });

  it("does not wait for an owner that died", async () => {
    const folder = await tempProject([]);
    const lock = join(folder, "lock");
    await mkdir(lock);
    await writeFile(join(lock, `${await deadPid(folder)}@${hostname()}@left-behind`), "");
    const waits: string[] = [];
    await withLock(
      lock,
      (owner) => waits.push(owner),
      async () => {},
    );
    expect(waits).toEqual([]);
    expect(await readdir(lock)).toEqual([]);
  });

  it("reports once which process it waits for, and continues when that one has left", async () => {
    const folder = await tempProject([]);
    const lock = join(folder, "lock");
    const events: string[] = [];
    let leave = () => {};
    let entered = () => {};
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const first = withLock(
      lock,
      () => {},
      async () => {
        entered();
        await new Promise<void>((resolve) => {
          leave = resolve;
        });
        events.push("first left");
      },
    );
    await inside;
    const second = withLock(
      lock,
      (owner) => {
        events.push(`waits for ${owner}`);
        leave();
      },
      async () => {
        events.push("second entered");
      },
    );
    await Promise.all([first, second]);
    expect(events).toEqual([`waits for ${process.pid}`, "first left", "second entered"]);
  });
});

/* h2load, where it is installed: a second opinion on the same servers. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { envelope } from "../load/envelopes.mjs";
import { pathOf, unaryRequests } from "../load/requests.mjs";
import { alternate } from "./alternate.mjs";
import { perSecond, rowOf } from "./row.mjs";
import { endWithUs, removeFolder, scratchFolder } from "./scratch.mjs";

/**
 * Measures Set over gRPC of servers, the first one against the others. h2load ignores trailers, so
 * it cannot distinguish an error from a result: the Node driver has checked the responses before.
 *
 * @param {Readonly<Record<string, string>>} urls Server -> its URL.
 * @param {number} inFlight
 * @param {import("./alternate.mjs").Pace} pace
 * @param {(text: string) => void} note
 * @returns {Promise<import("./row.mjs").Row[]>} None where there is no h2load.
 */
export async function withH2load(urls, inFlight, pace, note) {
  const version = await h2load(["--version"]).catch(() => undefined);
  if (version === undefined) {
    note("h2load is not installed: only the Node driver was used.\n");
    return [];
  }
  const folder = await scratchFolder();
  const body = join(folder, "body");
  const [asked] = unaryRequests("Set", { groups: 1, itemsPerGroup: 1 });
  await writeFile(body, envelope(asked?.message ?? Buffer.alloc(0)));
  const contenders = Object.entries(urls).map(([name, url]) => ({
    name,
    round: async (/** @type {number} */ seconds) => shoot(url, body, inFlight, seconds),
  }));
  const rounds = await alternate(contenders, pace);
  removeFolder(folder);
  const [first = "", ...others] = Object.keys(urls);
  return others.map((name) =>
    rowOf({
      what: `gRPC Set, ${inFlight} in flight, h2load`,
      metric: perSecond("calls"),
      ours: rounds.get(first) ?? [],
      against: { name, rounds: rounds.get(name) ?? [] },
    }),
  );
}

/** @param {string} url @param {string} body @param {number} inFlight @param {number} seconds */
async function shoot(url, body, inFlight, seconds) {
  const args = [
    `--duration=${Math.max(1, Math.round(seconds))}`,
    "--clients=4",
    `--max-concurrent-streams=${Math.ceil(inFlight / 4)}`,
    `--data=${body}`,
    "--header=content-type: application/grpc+proto",
    "--header=te: trailers",
    `${url}${pathOf("Set")}`,
  ];
  const output = await h2load(args);
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output);
  const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1];
  if (counts === null || rate === undefined) throw new Error(`h2load printed: ${output}`);
  const [done = 0, ...bad] = counts.slice(1).map(Number);
  if (bad.some((count) => count > 0)) throw new Error(`h2load counted errors: ${counts[0]}`);
  return { ops: done, seconds: done / Number(rate), p50Ms: Number.NaN, p99Ms: Number.NaN };
}

/**
 * Runs it to its end. Rejects unless all went well.
 *
 * @param {readonly string[]} args
 * @returns {Promise<string>} What it said.
 */
async function h2load(args) {
  const running = promisify(execFile)("h2load", args);
  endWithUs(running.child);
  return (await running).stdout;
}

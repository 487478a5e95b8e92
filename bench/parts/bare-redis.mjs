/* Baseline: one client of ioredis that runs the script of our commits, with the same arguments. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { Value } from "../../dist/src/core/value.js";
import { groupKeyText } from "../../dist/src/core/names.js";
import { writeGroup } from "../../dist/src/stores/redis/batch-args.js";
import { DEFAULT_PARTITIONS, redisKeys } from "../../dist/src/stores/redis/keys.js";
import { COMMIT, VERIFY } from "../../dist/src/stores/redis/scripts.js";
import { closedLoop } from "../lib/closed-loop.mjs";
import { STREAM, groupOf, valueOf } from "../load/requests.mjs";

/** The default retention of a group. */
const HISTORY = ["1000", "3600000", "8388608"];
/** No commit has an idempotency key. */
const NO_KEYS = { place: 0, windowMs: 0 };
const WRITER = "bench";
const LINEAGE = "1bench";

/**
 * @typedef {object} Commit
 * @property {string} text Of the group.
 * @property {import("../../dist/src/stores/redis/batch-args.js").PlainMutation} mutation
 */

/**
 * Opens the part.
 *
 * @param {{ url: string, where: import("../load/requests.mjs").Where, valueBytes: number }} options
 */
export async function open({ url, where, valueBytes }) {
  const client = new Redis(url);
  const keys = redisKeys("bare", DEFAULT_PARTITIONS);
  const runId = /run_id:(\w+)/.exec(String(await client.call("INFO", "server")))?.[1] ?? "";
  const nonce = randomUUID();
  await client.script("LOAD", COMMIT.text);
  // Registers the writer as the service does.
  for (let partition = 0; partition < DEFAULT_PARTITIONS; partition++) {
    const { state, gone, mark } = keys.ofPartition(partition);
    await client.hset(state, "lineage", LINEAGE);
    const args = [runId, "0", "1", "0", LINEAGE, "unused", WRITER, nonce, ""];
    await client.eval(VERIFY.text, 3, state, gone, mark, ...args);
  }
  const { groups, itemsPerGroup } = where;
  const commits = Array.from({ length: groups * itemsPerGroup }, (_, i) => {
    const text = groupKeyText({ streamName: STREAM, groupId: groupOf(where, i) });
    const value = Value.of(valueOf(i, valueBytes));
    const itemId = `i${Math.floor(i / groups)}`;
    return { text, mutation: { kind: /** @type {const} */ ("put"), itemId, value } };
  });
  /**
   * Runs commits of one partition, those of a group together.
   *
   * @param {number} partition
   * @param {readonly Commit[]} some
   */
  const commit = async (partition, some) => {
    const { state, groups: all, streams, due, outbox, mark } = keys.ofPartition(partition);
    const names = [state, all, streams, due, outbox, mark];
    /** @type {string[]} */
    const args = [];
    for (const [text, same] of byGroup(some)) {
      const { head, items, order, log } = keys.ofGroup(partition, text);
      names.push(head, items, order, log);
      const entries = same.map(({ mutation }) => ({
        kind: /** @type {const} */ ("commit"),
        commit: { mutations: [mutation], expectedEpoch: undefined },
      }));
      writeGroup(args, text, randomUUID().slice(0, 12), undefined, entries, NO_KEYS);
    }
    const proof = [`w:${WRITER}`, nonce, runId, "0", LINEAGE, "", ...HISTORY, "0"];
    const reply = await client.evalsha(COMMIT.sha, names.length, ...names, ...proof, ...args);
    const isDone = Array.isArray(reply) && reply[0] === "ok";
    const isRight = isDone && reply.slice(3).every((each) => Array.isArray(each) && each[0] === 0);
    if (!isRight) throw new Error(`the script replied ${JSON.stringify(reply)}`);
  };
  const at = (/** @type {number} */ i) => {
    const chosen = commits[i % commits.length];
    if (chosen === undefined) throw new Error("There is nothing to write.");
    return chosen;
  };
  return {
    methods: {
      /** One script for each write. @param {{ seconds: number, inFlight: number }} how */
      put: async ({ seconds, inFlight }) =>
        closedLoop(seconds, inFlight, async (i) => {
          const chosen = at(i);
          await commit(keys.partitionOf(chosen.text), [chosen]);
        }),
      /**
       * One script for what a partition has to write while the one before is under way.
       *
       * @param {{ seconds: number, inFlight: number }} how
       */
      putTogether: async ({ seconds, inFlight }) => {
        const together = createTogether(commit);
        return closedLoop(seconds, inFlight, async (i) => {
          const chosen = at(i);
          await together(keys.partitionOf(chosen.text), chosen);
        });
      },
    },
    close: () => client.disconnect(),
  };
}

/** @param {readonly Commit[]} commits */
function byGroup(commits) {
  /** @type {Map<string, Commit[]>} */
  const groups = new Map();
  for (const each of commits) {
    const same = groups.get(each.text);
    if (same === undefined) groups.set(each.text, [each]);
    else same.push(each);
  }
  return groups;
}

/** Most commits of one script. */
const TOGETHER = 256;

/** @param {(partition: number, commits: readonly Commit[]) => Promise<void>} commit */
function createTogether(commit) {
  /**
   * @typedef {{ commit: Commit, resolve: (value?: undefined) => void, reject: (error: unknown) =>
   * void }} Waiting
   */
  /** @type {Map<number, Waiting[]>} */
  const queues = new Map();
  /** @param {number} partition @param {Waiting[]} queue */
  const work = async (partition, queue) => {
    // Batches all commits of this event-loop turn.
    await new Promise((resolve) => setImmediate(resolve));
    while (queue.length > 0) {
      const some = queue.splice(0, TOGETHER);
      try {
        await commit(
          partition,
          some.map((each) => each.commit),
        );
        for (const { resolve } of some) resolve();
      } catch (error) {
        for (const { reject } of some) reject(error);
      }
    }
    queues.delete(partition);
  };
  return async (/** @type {number} */ partition, /** @type {Commit} */ chosen) =>
    new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
      const present = queues.get(partition);
      const queue = present ?? [];
      queue.push({ commit: chosen, resolve, reject });
      if (present !== undefined) return;
      queues.set(partition, queue);
      work(partition, queue).catch(reject);
    });
}

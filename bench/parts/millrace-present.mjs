/* A service of ours without sockets, whose sessions are present in groups as if they had some. */
import { randomBytes, randomUUID } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openStore } from "../../dist/src/server/open-store.js";
import { createEngine } from "../../dist/src/service/engine.js";
import { THIS_PROCESS } from "../../dist/src/rights/caller.js";
import { Value } from "../../dist/src/core/value.js";

/** Announcements under way. */
const AT_ONCE = 200;
const RETENTION = { history: () => ({ maxChanges: 100, maxAgeMs: 5000, maxBytes: 1e6 }) };

/**
 * Opens the part.
 *
 * @param {object} options
 * @param {import("../../dist/src/server/open-store.js").StoreOptions} [options.store]
 */
export async function open({ store = { kind: "in_memory" } }) {
  const opened = await openStore(store, RETENTION);
  const { coordinator } = opened;
  const failures = /** @type {string[]} */ ([]);
  const engine = createEngine(opened.store, {
    coordinator,
    onFailure: (error, call) => failures.push(`${call}: ${error.message}`),
  });
  const { agreed, connections } = engine.sessions;
  agreed.serve({ release: async () => {}, adopt() {}, onRecordedAnew() {} });
  // A finer resolution costs more CPU time than what is measured.
  const delay = monitorEventLoopDelay({ resolution: 20 });
  /** @param {number} group */
  const announce = async (group) => {
    const connectionId = randomBytes(16).toString("base64url");
    const session = { id: randomUUID(), owner: "bench", connectionId };
    await agreed.begin(session);
    const caller = { ...THIS_PROCESS, connection: connections.open(session) };
    const shownIn = { streamName: "rooms", groupId: `room-${group}` };
    await engine.handlers.announce(shownIn, Value.of({ name: "Ann" }), caller);
  };
  return {
    methods: {
      /** Begins sessions, each present in one group. @param {{ count: number, groups: number }} given */
      async present({ count, groups }) {
        let next = 0;
        const some = async () => {
          while (next < count) await announce(next++ % groups);
        };
        await Promise.all(Array.from({ length: AT_ONCE }, some));
      },
      /** Begins to measure the delay of the event loop. */
      watchDelay() {
        delay.reset();
        delay.enable();
      },
      /** The longest delay since then, in milliseconds, and all failures so far. */
      delay() {
        delay.disable();
        return { maxMs: delay.max / 1e6, p99Ms: delay.percentile(99) / 1e6, failures };
      },
    },
    close: async () => engine.close(),
  };
}

import type { GroupClock } from "../../core/group-clock.ts";
import type { HistoryOf } from "../../core/retention.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { GroupRepair } from "./group-repair.ts";
import type { RedisKeys } from "./keys.ts";

/** Dependencies of writers. */
export interface WriterContext {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  readonly historyOf: HistoryOf;
  /** How long idempotency keys are remembered, in milliseconds. */
  readonly windowMs: number;
  /** Wall clock for tests; undefined: that of the server. */
  readonly clock: (() => number) | undefined;
  readonly groupClock: Pick<GroupClock, "floor">;
  readonly newEpoch: () => string;
  readonly repair: GroupRepair;
  /**
   * Resolves with this process's name in the fleet, when it has the fleet's agreed state. Called
   * before it writes over a new connection, and after it was fenced.
   */
  readonly ready: () => Promise<string>;
  /** Version of the fleet's agreed state that this process has. */
  readonly agreed: () => number;
  /** Called when acknowledged writes of a partition may be lost, so its groups got new epochs. */
  readonly onLoss: (partition: number) => void;
}

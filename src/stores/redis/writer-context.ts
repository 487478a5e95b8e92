import type { GroupClock } from "../../core/group-clock.ts";
import type { History } from "../../core/store.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { RedisKeys } from "./keys.ts";

/** What writers work with. */
export interface WriterContext {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  readonly history: History;
  /** Wall clock for tests; undefined: that of the server. */
  readonly clock: (() => number) | undefined;
  readonly groupClock: Pick<GroupClock, "floor">;
  readonly newEpoch: () => string;
  /**
   * Resolves when this process knows all that the fleet has agreed on, with the name under which it is
   * known there. Asked before it writes over a new connection, and after it was shut out.
   */
  readonly ready: () => Promise<string>;
  /** Counts what the fleet has agreed on, as far as it is known here. */
  readonly agreed: () => number;
  /** Told that acknowledged writes of a partition may be lost, so that its groups got new epochs. */
  readonly onLoss: (partition: number) => void;
}

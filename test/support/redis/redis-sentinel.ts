import {
  type RedisDurability,
  type RedisProcess,
  startConfigured,
  startRedis,
} from "./redis-server.ts";
import { untilReplied } from "./replies.ts";

/** The name of the master at the Sentinels. */
const NAME = "millrace";
const SENTINELS = 3;
const QUORUM = 2;

/** A master with a replica, and the Sentinels that promote the replica when the master fails. */
export interface RedisSentinels {
  /** The first master. After a failover it is the replica, if it is up. */
  readonly master: RedisProcess;
  readonly replica: RedisProcess;
  readonly sentinels: readonly RedisProcess[];
  /** `redis+sentinel://127.0.0.1:S1,127.0.0.1:S2,127.0.0.1:S3/millrace`. */
  readonly url: string;
  /** Kills all of them, and removes their folders. */
  dispose(): Promise<void>;
}

/** Starts all of them. Resolves when each Sentinel knows the replica and the other Sentinels. */
export async function startSentinels(durability: RedisDurability = {}): Promise<RedisSentinels> {
  const started: RedisProcess[] = [];
  const dispose = async () => void (await Promise.all(started.map(async (one) => one.dispose())));
  const track = async (starting: Promise<RedisProcess>) => {
    const one = await starting;
    started.push(one);
    return one;
  };
  try {
    const master = await track(startRedis(durability));
    const replica = await track(startRedis({ ...durability, replicaOf: master }));
    // Sentinels query the replicas at startup, and then only every ten seconds.
    await untilReplied([replica], ["INFO", "replication"], (info) =>
      info.includes("master_link_status:up"),
    );
    await untilReplied([master], ["INFO", "replication"], (info) => info.includes("state=online"));
    const sentinels: RedisProcess[] = [];
    for (let index = 0; index < SENTINELS; index++) {
      sentinels.push(await track(startSentinel(master)));
    }
    await untilReplied(sentinels, ["SENTINEL", "MASTER", NAME], (reply) =>
      reply.includes(`num-other-sentinels\n${SENTINELS - 1}\n`),
    );
    await untilReplied(sentinels, ["SENTINEL", "REPLICAS", NAME], (reply) =>
      reply.includes("master-link-status\nok"),
    );
    await untilReplied(sentinels, ["SENTINEL", "CKQUORUM", NAME], (reply) =>
      reply.startsWith(`OK ${SENTINELS} usable`),
    );
    const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`);
    const url = `redis+sentinel://${addresses.join(",")}/${NAME}`;
    return { master, replica, sentinels, url, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function startSentinel(master: RedisProcess): Promise<RedisProcess> {
  return startConfigured(
    [
      `sentinel monitor ${NAME} 127.0.0.1 ${master.port} ${QUORUM}`,
      `sentinel down-after-milliseconds ${NAME} 1000`,
      `sentinel failover-timeout ${NAME} 3000`,
    ],
    { args: ["--sentinel"] },
  );
}

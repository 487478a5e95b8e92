import { type RedisDurability, type RedisProcess, startRedis } from "./redis-server.ts";
import { replied, untilReplied } from "./replies.ts";

const MASTERS = 3;
const SLOTS = 16_384;

/** A cluster of real servers. */
export interface RedisCluster {
  /** The masters in slot order, followed by the replica of each in the same order. */
  readonly nodes: readonly RedisProcess[];
  /** `redis+cluster://127.0.0.1:P1,127.0.0.1:P2,127.0.0.1:P3`, of the masters. */
  readonly url: string;
  /** Kills all nodes, and removes their folders. */
  dispose(): Promise<void>;
}

/** Options of a cluster. */
export interface ClusterOptions extends RedisDurability {
  /** Replicas per master. */
  readonly replicas?: 0 | 1;
}

/** Starts three masters and forms a cluster. Resolves when every node reports that it is up. */
export async function startCluster({
  replicas = 0,
  ...durability
}: ClusterOptions = {}): Promise<RedisCluster> {
  const count = MASTERS * (1 + replicas);
  const started = await Promise.allSettled(
    Array.from({ length: count }, async () => startRedis({ cluster: true, ...durability })),
  );
  const nodes = started.flatMap((node) => (node.status === "fulfilled" ? [node.value] : []));
  const dispose = async () => void (await Promise.all(nodes.map(async (node) => node.dispose())));
  try {
    const failed = started.find((node) => node.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    await join(nodes);
  } catch (error) {
    await dispose();
    throw error;
  }
  const addresses = nodes.slice(0, MASTERS).map(({ port }) => `127.0.0.1:${port}`);
  return { nodes, url: `redis+cluster://${addresses.join(",")}`, dispose };
}

/** Forms a cluster of separate nodes. */
async function join(nodes: readonly RedisProcess[]): Promise<void> {
  const masters = nodes.slice(0, MASTERS);
  const [first, ...others] = nodes as [RedisProcess, ...RedisProcess[]];
  for (const [index, node] of nodes.entries()) {
    await node.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
  }
  for (const [index, master] of masters.entries()) {
    const [from, to] = [index, index + 1].map((at) => Math.floor((at * SLOTS) / MASTERS));
    await master.command("CLUSTER", "ADDSLOTSRANGE", from ?? 0, (to ?? 0) - 1);
  }
  for (const { port } of others) await first.command("CLUSTER", "MEET", "127.0.0.1", port);
  await untilReplied(nodes, ["CLUSTER", "INFO"], (info) =>
    info.includes(`cluster_known_nodes:${nodes.length}\r\n`),
  );
  const replicas = nodes.slice(MASTERS);
  for (const [index, replica] of replicas.entries()) {
    const id = await replied(masters[index] as RedisProcess, ["CLUSTER", "MYID"]);
    await untilReplied([replica], ["CLUSTER", "NODES"], (known) => known.includes(id));
    await replica.command("CLUSTER", "REPLICATE", id);
  }
  await untilReplied(nodes, ["CLUSTER", "INFO"], (info) => info.includes("cluster_state:ok"));
  await untilReplied(replicas, ["INFO", "replication"], (info) =>
    info.includes("master_link_status:up"),
  );
  // Every node must know the master of each replica, or none votes for the replica.
  await untilReplied(nodes, ["CLUSTER", "NODES"], (known) => {
    return known.split("slave").length - 1 === replicas.length;
  });
}

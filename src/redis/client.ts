import { Redis, type RedisOptions, SentinelConnector } from "ioredis";
import type { RedisAddress, RedisTarget } from "./redis-url.ts";

/** Longest pause before another attempt to connect, in milliseconds. */
const RECONNECT_MS = 200;
/** How long a Sentinel may take to answer before the next one is asked, in milliseconds. */
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * A connection to one server, not yet open.
 *
 * It never sends a command by itself or twice: what was under way when a connection was lost fails.
 * (The defaults of ioredis would send it again, so that a commit could take effect twice.)
 *
 * @param address Undefined: the master that the Sentinels name.
 */
export function createClient(
  target: RedisTarget,
  address: RedisAddress | undefined,
  name: string,
): Redis {
  const { masterName, isEncrypted, database } = target;
  const options = {
    lazyConnect: true,
    db: database,
    connectionName: name,
    connectTimeout: 2000,
    disconnectTimeout: 100,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times: number) => Math.min(times * 25, RECONNECT_MS),
    ...(target.username !== undefined && { username: target.username }),
    ...(target.password !== undefined && { password: target.password }),
    ...(isEncrypted && { tls: address === undefined ? {} : serverNameOf(address) }),
  };
  const client =
    address === undefined
      ? new Redis({
          ...options,
          sentinels: target.addresses.map(({ host, port }) => ({ host, port })),
          name: masterName ?? "",
          Connector: QuietSentinelConnector as unknown as ConnectorClass,
          sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
          sentinelRetryStrategy: (times: number) => Math.min(times * 50, RECONNECT_MS),
          ...(isEncrypted && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
          ...(target.sentinelUsername !== undefined && {
            sentinelUsername: target.sentinelUsername,
          }),
          ...(target.sentinelPassword !== undefined && {
            sentinelPassword: target.sentinelPassword,
          }),
        })
      : new Redis({ ...options, host: address.host, port: address.port });
  // Whoever sends hears of it; an error event without a listener would end the process.
  client.on("error", () => {});
  return client;
}

/**
 * Closes a connection at once, also one whose server does not answer. One that is still looking for its
 * server goes on looking.
 */
export function cut(client: Redis, andReconnect: boolean): void {
  if (andReconnect && client.status === "connecting" && client.options.sentinels) return;
  client.disconnect(andReconnect);
  client.stream?.destroy();
}

/** Connects, and goes on doing so whatever happens. */
export function keepConnecting(client: Redis, isClosed: () => boolean): void {
  const connect = () => {
    if (!isClosed()) client.connect().catch(() => {});
  };
  // It is done with its own attempts, for whatever reason.
  client.on("end", () => void (isClosed() || setTimeout(connect, RECONNECT_MS).unref()));
  connect();
}

type ConnectorClass = NonNullable<RedisOptions["Connector"]>;

interface SentinelAsker {
  connectToSentinel(...args: readonly unknown[]): Redis;
}

/**
 * Asks Sentinels as the driver does, but prints nothing when one is away: another one is asked, and what
 * is wrong with all of them comes as an error of the client.
 */
class QuietSentinelConnector extends SentinelConnector {
  constructor(options: ConstructorParameters<typeof SentinelConnector>[0]) {
    super(options);
    const asker = this as unknown as SentinelAsker;
    const ask = asker.connectToSentinel.bind(this);
    asker.connectToSentinel = (...args) => ask(...args).on("error", () => {});
  }
}

function serverNameOf({ host }: RedisAddress): { servername?: string } {
  // An address is no server name.
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

/** Asks one server of a cluster which one has what, over a connection of its own. Undefined: no answer. */
export async function askForSlots(target: RedisTarget, address: RedisAddress): Promise<unknown> {
  const client = createClient(target, address, "millrace-map");
  const timer = setTimeout(() => cut(client, false), ASK_TIMEOUT_MS);
  try {
    await client.connect();
    return await client.callBuffer("CLUSTER", "SLOTS");
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    cut(client, false);
  }
}

const ASK_TIMEOUT_MS = 1000;

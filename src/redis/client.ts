import { Redis, type RedisOptions, SentinelConnector } from "ioredis";
import type { RedisAddress, RedisTarget } from "./redis-url.ts";

/** Longest pause between attempts to connect, in milliseconds. */
const RECONNECT_MS = 200;
/** Longest time that a Sentinel may take to reply before the next one is tried, in milliseconds. */
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * A connection to one server, not yet open.
 *
 * It never resends a command: pending commands fail when the connection is lost. (The defaults of
 * ioredis would resend them, so that a commit could take effect twice.)
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
  // Pending commands reject anyway; an error event without a listener would end the process.
  client.on("error", () => {});
  return client;
}

/**
 * Closes a connection at once, even when its server does not respond. With `andReconnect`, a
 * connection that is still asking the Sentinels for its server goes on.
 */
export function cut(client: Redis, andReconnect: boolean): void {
  if (andReconnect && client.status === "connecting" && client.options.sentinels) return;
  client.disconnect(andReconnect);
  client.stream?.destroy();
}

/** Connects, and reconnects until `isClosed`. */
export function keepConnecting(client: Redis, isClosed: () => boolean): void {
  const connect = () => {
    if (!isClosed()) client.connect().catch(() => {});
  };
  // The driver has stopped its own attempts, for whatever reason.
  client.on("end", () => void (isClosed() || setTimeout(connect, RECONNECT_MS).unref()));
  connect();
}

type ConnectorClass = NonNullable<RedisOptions["Connector"]>;

interface SentinelAsker {
  connectToSentinel(...args: readonly unknown[]): Redis;
}

/**
 * The driver's Sentinel connector without its output when a Sentinel is unreachable: the next one
 * is tried, and a failure of all of them becomes an error of the client.
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
  // An IP address is no server name.
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

/**
 * Reads the slot map from one server of a cluster, over a separate connection. Undefined: no reply.
 */
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

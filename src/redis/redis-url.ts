/** The address of a server. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** A parsed `redis_url`. */
export interface RedisTarget {
  /**
   * `single`: one server. `sentinel`: the master that Sentinels name. `cluster`: a whole cluster.
   */
  readonly form: "single" | "sentinel" | "cluster";
  /** The server, the Sentinels, or some nodes of the cluster: at least one. */
  readonly addresses: readonly [RedisAddress, ...RedisAddress[]];
  /** `sentinel` only: the name of the master at the Sentinels. */
  readonly masterName: string | undefined;
  /** Whether connections are encrypted, those to Sentinels included. */
  readonly isEncrypted: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly sentinelUsername: string | undefined;
  readonly sentinelPassword: string | undefined;
  /** Database number. A cluster has only 0. */
  readonly database: number;
}

/** The valid forms of a `redis_url`, for messages. */
export const REDIS_URL_FORMS =
  "redis://HOST:PORT, rediss://HOST:PORT (TLS), redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST, " +
  "with user:password@ before the host and /DATABASE after it";

const URL_PARTS =
  /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const ADDRESS = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/;
const QUERY_KEYS = ["db", "sentinel_username", "sentinel_password"];

/**
 * Parses a `redis_url`.
 *
 * @throws Error with a sentence that names the problem. It never contains the password.
 */
export function parseRedisUrl(text: string): RedisTarget {
  const parts = URL_PARTS.exec(text);
  if (parts === null) throw refusal("is not valid");
  const [, scheme, suffix, credentials, hosts = "", path = "", query = ""] = parts;
  const form = (suffix ?? "single") as RedisTarget["form"];
  const addresses = hosts.split(",").map((each) => addressOf(each, form));
  const [first, ...others] = addresses;
  if (first === undefined || (form === "single" && others.length > 0))
    throw refusal("has several hosts, which only redis+sentinel and redis+cluster may have");
  const parameters = new URLSearchParams(query);
  for (const key of parameters.keys()) {
    if (!QUERY_KEYS.includes(key))
      throw refusal(`has an unknown parameter; it may have ${QUERY_KEYS.join(", ")}`);
  }
  const segments = path.split("/").filter((segment) => segment !== "");
  const masterName = form === "sentinel" ? decoded(segments.shift()) : undefined;
  if (form === "sentinel" && masterName === undefined)
    throw refusal("names no master; it may end with /NAME, as the Sentinels call it");
  if (segments.length > 1) throw refusal("has too many parts after the host");
  const database = databaseOf(segments[0] ?? parameters.get("db") ?? "0");
  if (form === "cluster" && database !== 0)
    throw refusal("has a database, but a cluster has only 0");
  const [username, password] = credentialsOf(credentials);
  return {
    form,
    addresses: [first, ...others],
    masterName,
    isEncrypted: scheme === "rediss",
    username,
    password,
    sentinelUsername: parameters.get("sentinel_username") ?? undefined,
    sentinelPassword: parameters.get("sentinel_password") ?? undefined,
    database,
  };
}

/** The target for logs: without user, password and parameters. */
export function describeTarget(target: RedisTarget): string {
  const { form, addresses, isEncrypted, masterName, database } = target;
  const scheme = `${isEncrypted ? "rediss" : "redis"}${form === "single" ? "" : `+${form}`}`;
  const hosts = addresses.map(
    ({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`,
  );
  const master = masterName === undefined ? "" : `/${masterName}`;
  return `${scheme}://${hosts.join(",")}${master}${database === 0 ? "" : `/${database}`}`;
}

function addressOf(text: string, form: RedisTarget["form"]): RedisAddress {
  const parts = ADDRESS.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined) throw refusal("has an invalid host");
  const port = Number(parts?.[3] ?? (form === "sentinel" ? 26_379 : 6379));
  if (port < 1 || port > 65_535) throw refusal("has a port that is not from 1 to 65535");
  return { host, port };
}

function databaseOf(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw refusal("has a database that is not a number");
}

function credentialsOf(text: string | undefined): [string | undefined, string | undefined] {
  if (text === undefined || text === "") return [undefined, undefined];
  const colon = text.indexOf(":");
  const user = colon < 0 ? text : text.slice(0, colon);
  const password = colon < 0 ? undefined : text.slice(colon + 1);
  return [user === "" ? undefined : decoded(user), decoded(password)];
}

function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw refusal("has a % that does not begin an encoded character");
  }
}

function refusal(problem: string): Error {
  return new Error(`redis_url ${problem}; it may be ${REDIS_URL_FORMS}.`);
}

/** What a server says of itself, as far as it matters here. */
export interface ServerFacts {
  /** Random name of the process: another one after each restart. */
  readonly runId: string;
  /** For example `7.0.15`. */
  readonly version: string;
  readonly isMaster: boolean;
  /** Whether it was a replica before it became the master: what its master had not sent it yet is lost. */
  readonly wasPromoted: boolean;
  /** Replicas that are connected. */
  readonly replicaCount: number;
  /** Whether it has what it acknowledged on disk (`appendfsync always`). Undefined: it does not say. */
  readonly appendFsync: "always" | "everysec" | "no" | "off" | undefined;
  /** What it does when memory is full. Undefined: it does not say. */
  readonly evictionPolicy: string | undefined;
  /** Bytes it may use; 0: no limit. */
  readonly maxMemory: number | undefined;
}

const NO_ID = /^0*$/;

/**
 * Reads the facts.
 *
 * @param info Text of INFO.
 * @param config Reply of CONFIG GET for the three settings; undefined where that is not allowed.
 */
export function serverFacts(info: string, config: readonly string[] | undefined): ServerFacts {
  const fields = new Map(
    info.split("\r\n").flatMap((line): [string, string][] => {
      const colon = line.indexOf(":");
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)]];
    }),
  );
  const settings = new Map<string, string>();
  for (let i = 0; config !== undefined && i + 1 < config.length; i += 2)
    settings.set(config[i] ?? "", config[i + 1] ?? "");
  const hasAppendFile = fields.get("aof_enabled") === "1";
  const said = settings.get("appendfsync") as ServerFacts["appendFsync"];
  // While the file is rewritten nothing is flushed, whatever appendfsync says.
  const isLax = settings.get("no-appendfsync-on-rewrite") === "yes" && said === "always";
  const appendFsync = isLax ? "everysec" : said;
  const maxMemory = fields.get("maxmemory");
  return {
    runId: fields.get("run_id") ?? "",
    version: fields.get("valkey_version") ?? fields.get("redis_version") ?? "",
    isMaster: fields.get("role") === "master",
    wasPromoted: !NO_ID.test(fields.get("master_replid2") ?? ""),
    replicaCount: Number(fields.get("connected_slaves") ?? 0),
    appendFsync: hasAppendFile ? appendFsync : "off",
    evictionPolicy: settings.get("maxmemory-policy") ?? fields.get("maxmemory_policy"),
    maxMemory: maxMemory === undefined ? undefined : Number(maxMemory),
  };
}

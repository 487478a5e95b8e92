/** The facts about a server that matter here, as it reports them. */
export interface ServerFacts {
  /** Random id of the process, new after each restart. */
  readonly runId: string;
  /** For example `7.0.15`. */
  readonly version: string;
  readonly isMaster: boolean;
  /** Whether it was a replica before: writes that its former master had not replicated are lost. */
  readonly wasPromoted: boolean;
  /** Connected replicas. */
  readonly replicaCount: number;
  /** When it flushes its append-only file; `off`: it has none. Undefined: not reported. */
  readonly appendFsync: "always" | "everysec" | "no" | "off" | undefined;
  /** What it does when memory is full. Undefined: not reported. */
  readonly evictionPolicy: string | undefined;
  /** Memory limit in bytes; 0: no limit. */
  readonly maxMemory: number | undefined;
}

const NO_ID = /^0*$/;

/**
 * Parses the facts.
 *
 * @param info Reply to INFO.
 * @param config Reply to CONFIG GET for the three settings; undefined where that is not allowed.
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
  const reported = settings.get("appendfsync") as ServerFacts["appendFsync"];
  // With this setting, nothing is flushed during a rewrite of the file, whatever appendfsync is.
  const isLax = settings.get("no-appendfsync-on-rewrite") === "yes" && reported === "always";
  const appendFsync = isLax ? "everysec" : reported;
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

/**
 * The allowed imports between modules. The linter enforces them (see lint-rules.mjs).
 *
 * src has rooms. Each room has a row that lists everything it may import besides its own files; any
 * other import is an error, and so is a room without a row. Types count like values.
 */
import { posix } from "node:path";

const CONNECT = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-node"];

/**
 * Room (a folder or file of src) -> its allowed imports: rooms, `gen` (the generated code), names
 * of packages, `node:` (all of Node's own modules), or `*` (everything).
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const IMPORT_TABLE = {
  core: [],
  // Waits of any length.
  timers: [],
  // Limits of callers, and of what all of them hold together.
  limits: ["core", "node:"],
  // Callers' keys and tokens, and the decision what they may do.
  rights: ["core", "node:", "jose"],
  // The ends of items: expiry, and what is bound to a connection.
  lifetimes: ["core", "timers"],
  // Who is present: a stream beside each stream, and the items of connections in it.
  presence: ["core", "timers", "stores/memory"],
  live: ["core", "limits"],
  functions: ["core", "timers", "node:"],
  triggers: ["core", "rights", "timers", "functions"],
  // Settings per stream, with the schemas of values.
  streams: ["core", "timers", "node:", "ajv", "ajv-formats", "re2js"],
  // Its engine puts a service together, custom streams and the coordinator of one process included.
  service: [
    "core",
    "rights",
    "timers",
    "limits",
    "lifetimes",
    "presence",
    "live",
    "functions",
    "triggers",
    "streams",
    "stores/custom",
    "coordinators/local",
    "node:",
  ],
  "stores/memory": ["core", "timers"],
  "stores/lmdb": ["core", "timers", "lmdb", "fs-native-extensions", "node:"],
  // The servers, for the store and the coordinator.
  redis: ["core", "timers", "ioredis", "node:"],
  "stores/redis": ["core", "timers", "redis", "node:"],
  "stores/custom": ["core", "functions"],
  "coordinators/local": ["core", "timers"],
  "coordinators/redis": ["core", "timers", "redis", "node:"],
  wire: ["core", "gen", "@bufbuild/protobuf"],
  rpc: ["core", "rights", "timers", "limits", "service", "wire", "gen", "node:", ...CONNECT],
  bridge: ["core", "rights", "timers", "limits", "service", "wire", "node:", "ws"],
  workers: [
    "core",
    "timers",
    "limits",
    "functions",
    "triggers",
    "wire",
    "gen",
    "node:",
    "ws",
    ...CONNECT,
  ],
  webhooks: ["core", "timers", "limits", "functions", "node:"],
  // The SDK of workers: the same handlers, adapters and types as in the program of the service.
  "worker-sdk": ["core", "timers", "functions", "triggers", "service", "gen", "node:", ...CONNECT],
  // Writes text as it comes, by the library or over the network.
  "pipe-text": ["core", "timers", "service", "gen", "@bufbuild/protobuf", "@connectrpc/connect"],
  // No room lists server, so none imports it.
  server: ["*"],
  "index.ts": ["core", "functions", "streams", "triggers", "service", "pipe-text", "stores/memory"],
  "v1.ts": ["gen"],
  "ops.ts": ["core"],
};

/**
 * Decides one import.
 *
 * @param {string} file Importing file, relative to the project, with forward slashes.
 * @param {string | undefined} specifier What it imports; undefined when it is computed.
 * @returns {string | undefined} What is wrong; undefined when it is allowed or none of our
 *   business.
 */
export function importProblem(file, specifier) {
  const from = roomOf(file);
  if (from === undefined) return undefined;
  const allowed = IMPORT_TABLE[from];
  if (allowed === undefined) return `${from} has no row in the import table.`;
  if (specifier === undefined) return `${from} imports something computed; name the module.`;
  const target = targetOf(file, specifier);
  if (target === from || allowed.includes("*") || allowed.includes(target)) return undefined;
  const list = allowed.length === 0 ? "nothing" : `only ${allowed.join(", ")}`;
  return `${from} must not import ${target} (${specifier}); it may import ${list}.`;
}

/**
 * The room of a file of src: its first folder, each store and coordinator being a room of its own.
 *
 * @param {string} file
 */
function roomOf(file) {
  if (!file.startsWith("src/")) return undefined;
  const path = file.slice("src/".length);
  const [first = "", second = ""] = path.split("/");
  return first === "stores" || first === "coordinators" ? `${first}/${second}` : first;
}

/**
 * The target of an import: a room, `gen`, `node:`, a package, or a path outside of all rooms.
 *
 * @param {string} file
 * @param {string} specifier
 */
function targetOf(file, specifier) {
  if (specifier.startsWith("node:")) return "node:";
  if (specifier.startsWith(".")) {
    const path = posix.join(posix.dirname(file), specifier);
    return roomOf(path) ?? (path.startsWith("gen/") ? "gen" : path);
  }
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

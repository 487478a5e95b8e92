/**
 * A name means one thing in the whole tree: no two modules of src export the same name.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { filesBelow } from "../lib/project.mjs";

/**
 * The API of the library has simple names for what the core and the handlers keep in other forms:
 * plain JSON instead of encoded values.
 */
const FOR_THE_LIBRARY =
  "The library's own form, with plain JSON, of what the core or the handlers call the same.";

/**
 * Names that several modules export on purpose, each with the reason.
 *
 * @type {Readonly<Record<string, string>>}
 */
const SHARED_NAMES = {
  Item: FOR_THE_LIBRARY,
  ItemPage: FOR_THE_LIBRARY,
  Mutation: FOR_THE_LIBRARY,
  MutationResult: FOR_THE_LIBRARY,
  SetResult: FOR_THE_LIBRARY,
  UpdateResult: FOR_THE_LIBRARY,
  DeleteResult: FOR_THE_LIBRARY,
  BatchResult: FOR_THE_LIBRARY,
  SubscribeRequest: FOR_THE_LIBRARY,
};

const EXPORT =
  /^export (?:abstract |async |declare )*(?:class|const|function\*?|interface|let|type) (\w+)/gm;

/**
 * Finds names that several modules declare and export. Re-exports do not count.
 *
 * @param {ReadonlyMap<string, string>} sources Path -> text.
 * @param {Readonly<Record<string, string>>} shared Names that may be exported several times.
 * @returns {string[]} One sentence per problem.
 */
export function doubledExports(sources, shared = SHARED_NAMES) {
  /** @type {Map<string, Set<string>>} */
  const modulesOf = new Map();
  for (const [path, text] of sources) {
    for (const [, name = ""] of text.matchAll(EXPORT)) {
      const modules = modulesOf.get(name) ?? new Set();
      modulesOf.set(name, modules.add(path));
    }
  }
  const problems = [...modulesOf]
    .filter(([name, { size }]) => size > 1 && shared[name] === undefined)
    .map(([name, modules]) => `${name} is exported by ${[...modules].join(" and ")}; rename one.`);
  for (const name of Object.keys(shared)) {
    if ((modulesOf.get(name)?.size ?? 0) < 2)
      problems.push(`${name} is exported only once; remove it from SHARED_NAMES.`);
  }
  return problems;
}

/**
 * @param {string} folder
 * @returns {Promise<string | undefined>}
 */
export async function uniqueExportsProblem(folder) {
  const paths = (await filesBelow(folder, "src")).filter((path) => path.endsWith(".ts"));
  const texts = paths.map(async (path) => {
    /** @type {[string, string]} */
    const entry = [path, await readFile(join(folder, path), "utf8")];
    return entry;
  });
  const problems = doubledExports(new Map(await Promise.all(texts)));
  return problems.length === 0 ? undefined : problems.join("\n");
}

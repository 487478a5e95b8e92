/**
 * npm run lock:complete: adds to package-lock.json the packages of other platforms that npm omitted
 * because the registry in use does not offer them. Run it after `npm install PACKAGE` when npm test
 * asks for it.
 *
 * Such an entry has the version that its parent pins, and the platform in its name. It has no
 * checksum, since the package was never downloaded here.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { missingPlatformPackages } from "./gate/lock-file.mjs";
import { Failure, PROJECT, command, say } from "./lib/project.mjs";

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
/** Word of a package's name -> Node's name of the processor. */
const PROCESSORS = new Map([
  ["arm", "arm"],
  ["armv7", "arm"],
  ["arm64", "arm64"],
  ["ia32", "ia32"],
  ["ppc64", "ppc64"],
  ["riscv64", "riscv64"],
  ["s390x", "s390x"],
  ["x64", "x64"],
]);

await command(async () => {
  const file = join(PROJECT, "package-lock.json");
  const lock = JSON.parse(await readFile(file, "utf8"));
  const missing = missingPlatformPackages(lock.packages);
  for (const { name, version, dev } of missing) {
    lock.packages[`node_modules/${name}`] = entryOf(name, version, dev);
  }
  const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(sorted);
  if (missing.length > 0) await writeFile(file, `${JSON.stringify(lock, null, 2)}\n`);
  say(`${missing.length} packages added to package-lock.json.`);
});

/**
 * @param {string} name
 * @param {string} version
 * @param {boolean} dev Whether only development needs it.
 */
function entryOf(name, version, dev) {
  const words = name.split(/[/-]/);
  const system = SYSTEMS.find((word) => words.includes(word));
  const processor = words.map((word) => PROCESSORS.get(word)).find((word) => word !== undefined);
  if (system === undefined || processor === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Failure(`The platform of ${name}@${version} is unknown; add the package by hand.`);
  }
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu")) && ["glibc"];
  return {
    version,
    cpu: [processor],
    ...(dev && { dev }),
    ...(libc && { libc }),
    optional: true,
    os: [system],
  };
}

/**
 * Dependencies are pinned exactly, and the lock file does not contain the addresses from which they
 * were downloaded: they would bind every clone to one registry.
 *
 * It must also contain the packages of all platforms. npm omits those that the registry in use does
 * not offer, and then `npm ci` refuses the lock file everywhere.
 */

/** @typedef {Record<string, Record<string, any>>} Packages The `packages` of a lock file. */

/**
 * Checks package.json, package-lock.json and .npmrc against each other.
 *
 * @param {{ manifest: string, lock: string, npmrc: string }} texts Contents of the three files.
 * @returns {string[]} One sentence per problem, naming file and entry.
 */
export function lockFileProblems({ manifest, lock, npmrc }) {
  /** @type {Record<string, Record<string, string> | undefined>} */
  const declared = JSON.parse(manifest);
  /** @type {{ packages: Packages }} */
  const { packages } = JSON.parse(lock);
  /** @type {string[]} */
  const problems = [];
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
    const wanted = declared[kind] ?? {};
    for (const [name, version] of Object.entries(wanted)) {
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
        problems.push(`package.json: ${kind}.${name} is "${version}"; pin an exact version.`);
      }
    }
    const root = JSON.stringify(packages[""]?.[kind] ?? {});
    if (root !== JSON.stringify(wanted)) {
      problems.push(
        `package-lock.json: its ${kind} are not those of package.json; run npm install.`,
      );
    }
  }
  for (const [path, entry] of Object.entries(packages)) {
    if (path === "") continue;
    if ("resolved" in entry) {
      problems.push(
        `package-lock.json: ${path} has a "resolved" address (${String(entry["resolved"])}); remove it.`,
      );
    }
    const exempt = "link" in entry || "inBundle" in entry || ("os" in entry && "optional" in entry);
    if (!("integrity" in entry) && !exempt) {
      problems.push(`package-lock.json: ${path} has no "integrity".`);
    }
  }
  for (const { parent, name } of missingPlatformPackages(packages)) {
    problems.push(
      `package-lock.json: ${name}, which ${parent} has for another platform, is missing; run npm run lock:complete.`,
    );
  }
  const settings = npmrc.split("\n").map((line) => line.replaceAll(/\s/g, ""));
  for (const setting of ["save-exact=true", "omit-lockfile-registry-resolved=true"]) {
    if (!settings.includes(setting)) problems.push(`.npmrc: ${setting} is missing.`);
  }
  return problems;
}

/**
 * Finds optional dependencies that a lock file mentions but has no entry for.
 *
 * @param {Packages} packages
 * @returns {{ parent: string, name: string, version: string, dev: boolean }[]}
 */
export function missingPlatformPackages(packages) {
  return Object.entries(packages).flatMap(([parent, entry]) =>
    Object.entries(entry["optionalDependencies"] ?? {})
      .filter(([name]) => !isFound(packages, parent, name))
      .map(([name, version]) => ({ parent, name, version, dev: entry["dev"] === true })),
  );
}

/**
 * Whether a package finds a dependency in its own node_modules or one above.
 *
 * @param {Packages} packages
 * @param {string} parent
 * @param {string} name
 */
function isFound(packages, parent, name) {
  for (let home = parent; ; home = home.slice(0, home.lastIndexOf("node_modules/") - 1)) {
    if (`${home}/node_modules/${name}`.replace(/^\//, "") in packages) return true;
    if (!home.includes("/node_modules/")) return `node_modules/${name}` in packages;
  }
}

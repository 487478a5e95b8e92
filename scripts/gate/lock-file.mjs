/**
 * Dependencies are pinned exactly, and the lock file says what they are but not where one machine
 * happened to get them: a registry's address in it would bind every clone to that registry.
 */

/**
 * Checks package.json, package-lock.json and .npmrc against each other.
 *
 * @param {{ manifest: string, lock: string, npmrc: string }} texts Contents of the three files.
 * @returns {string[]} One sentence per problem, naming file and entry.
 */
export function lockFileProblems({ manifest, lock, npmrc }) {
  /** @type {Record<string, Record<string, string> | undefined>} */
  const declared = JSON.parse(manifest);
  /** @type {{ packages: Record<string, Record<string, unknown>> }} */
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
    if (!("integrity" in entry) && !("link" in entry) && !("inBundle" in entry)) {
      problems.push(`package-lock.json: ${path} has no "integrity".`);
    }
  }
  const settings = npmrc.split("\n").map((line) => line.replaceAll(/\s/g, ""));
  for (const setting of ["save-exact=true", "omit-lockfile-registry-resolved=true"]) {
    if (!settings.includes(setting)) problems.push(`.npmrc: ${setting} is missing.`);
  }
  return problems;
}

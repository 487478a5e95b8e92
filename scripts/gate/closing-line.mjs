/**
 * The result of the gate, from its checks and tests. Pure.
 *
 * Only tests that ran can pass: a skipped test without a reason, a test file that could not be
 * loaded, a runner that died and a run without any test count as failed.
 */

/**
 * @typedef {object} TestResults The report of the test runner.
 * @property {readonly TestResult[]} tests
 * @property {readonly string[]} errors Errors outside of tests: in loading a file, in hooks,
 *   unhandled.
 */

/**
 * @typedef {object} TestResult
 * @property {string} name File and titles.
 * @property {"passed" | "failed" | "skipped"} state
 * @property {string} [reason] Why it was skipped.
 */

/**
 * @typedef {object} Tally
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {readonly string[]} notes Remarks for the reader, one line each.
 */

/**
 * Adds up static checks and tests.
 *
 * @param {readonly { name: string, ok: boolean }[]} checks Each counts as one test.
 * @param {TestResults | undefined} results Undefined when the runner left none.
 * @param {number} runnerStatus Exit status of the test runner.
 * @returns {Tally}
 */
export function tally(checks, results, runnerStatus) {
  /** @type {string[]} */
  const notes = [];
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  /** @param {string} note */
  const fail = (note) => {
    failed += 1;
    notes.push(note);
  };
  for (const { name, ok } of checks) {
    if (ok) passed += 1;
    else fail(`failed: ${name}`);
  }
  let testsRun = 0;
  for (const { name, state, reason } of results?.tests ?? []) {
    if (state === "skipped" && reason !== undefined && reason !== "") {
      skipped += 1;
      notes.push(`skipped: ${name}: ${reason}`);
      continue;
    }
    if (state === "skipped") {
      fail(`failed: ${name}: skipped without a reason; say why with ctx.skip("...")`);
      continue;
    }
    testsRun += 1;
    if (state === "passed") passed += 1;
    else fail(`failed: ${name}`);
  }
  for (const error of results?.errors ?? []) fail(`failed: ${error}`);
  if (results === undefined) fail("failed: the test runner ended without results");
  else if (testsRun === 0) fail("failed: no test ran");
  else if (runnerStatus !== 0 && failed === 0) {
    fail(`failed: the test runner ended with status ${runnerStatus}`);
  }
  return { passed, failed, skipped, notes };
}

/**
 * The last line that the gate prints.
 *
 * @param {Pick<Tally, "passed" | "failed" | "skipped">} tally
 * @returns {string} For example `123 passed, 0 failed`, or with `, 2 skipped` when there are any.
 */
export function closingLine({ passed, failed, skipped }) {
  const line = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

/**
 * A vitest reporter that writes the input of the closing line, as JSON, to the file that the
 * environment variable MILLRACE_TEST_RESULTS names. vitest's own JSON report omits the reasons of
 * skipped tests and errors outside of tests.
 */
import { writeFileSync } from "node:fs";

/** The reporter that vitest calls. */
export default class ResultsReporter {
  /**
   * @param {readonly import("vitest/node").TestModule[]} modules
   * @param {readonly { message: string }[]} unhandled
   */
  onTestRunEnd(modules, unhandled) {
    const file = process.env["MILLRACE_TEST_RESULTS"];
    if (file === undefined) throw new Error("MILLRACE_TEST_RESULTS names no file.");
    /** @type {import("./closing-line.mjs").TestResult[]} */
    const tests = [];
    const errors = unhandled.map(({ message }) => `unhandled error: ${message}`);
    for (const module of modules) {
      const path = module.relativeModuleId;
      for (const { message } of module.errors()) errors.push(`${path}: ${message}`);
      for (const suite of module.children.allSuites()) {
        for (const { message } of suite.errors()) {
          errors.push(`${path} > ${suite.fullName}: ${message}`);
        }
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
        const name = `${path} > ${test.fullName}`;
        if (result.state === "skipped") {
          tests.push({ name, state: "skipped", ...(result.note && { reason: result.note }) });
        } else {
          // A test that is still pending at the end of the run never completed.
          tests.push({ name, state: result.state === "passed" ? "passed" : "failed" });
        }
      }
    }
    writeFileSync(file, JSON.stringify({ tests, errors }));
  }
}

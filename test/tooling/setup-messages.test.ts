import { describe, expect, it } from "vitest";
import { installProblem } from "../../scripts/lib/ensure.mjs";
import { nodeVersionProblem } from "../../scripts/lib/node-version.mjs";

describe("an unsupported version of Node", () => {
  it.each(["20.20.0", "20.20.2", "20.21.0", "22.0.0", "24.1.3"])("is not %s", (version) => {
    expect(nodeVersionProblem(version, ">=20.20")).toBeUndefined();
  });

  it.each(["18.20.5", "20.19.9", "20.9.0"])("is %s, and the message has advice", (version) => {
    const problem = nodeVersionProblem(version, ">=20.20");
    expect(problem).toContain(`needs Node 20.20 or newer, and this is Node ${version}.`);
    expect(problem).toContain("https://nodejs.org");
  });
});

describe("a failed installation", () => {
  it.each([
    ["npm error code ENOTFOUND", "cannot be reached"],
    ["npm error code ECONNREFUSED", "cannot be reached"],
    ["npm error code E403\nnpm error 403 Forbidden", "registry refused"],
    ["npm error code E404", "lacks a package"],
    ["npm error code ENOSPC", "disk is full"],
    ["npm error code EACCES", "may not be written"],
    ["npm error code EINTEGRITY", "npm cache clean"],
    ["npm error code SELF_SIGNED_CERT_IN_CHAIN", "NODE_EXTRA_CA_CERTS"],
    ["npm error code EUSAGE", "npm install"],
  ])("has advice for %j", (complaint, advice) => {
    const problem = installProblem(complaint, 1);
    expect(problem).toContain(complaint);
    expect(problem).toContain(advice);
  });

  it("shows npm's own message for any other error", () => {
    expect(installProblem("npm error strange", 7)).toBe(
      "npm error strange\nThe packages could not be installed (npm ci ended with status 7).\nThe lines above are npm's own.",
    );
  });
});

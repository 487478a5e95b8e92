import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, it, onTestFinished } from "vitest";
import { tempProject } from "./temp-project.ts";

const COPIED = [
  "scripts",
  "package.json",
  "package-lock.json",
  ".npmrc",
  "tsconfig.json",
  "tsconfig.build.json",
  "web/demo",
];

/** A stub of the command: prints its arguments, and exits with status 7 after SIGTERM. */
const CLI = `
  const idle = setInterval(() => {}, 1000);
  process.on("SIGTERM", () => {
    clearInterval(idle);
    process.exitCode = 7;
  });
  console.log(JSON.stringify(process.argv.slice(2)));
`;

/** Starts a program, waits for its first line on stdout, stops it, and waits for its end. */
async function startAndStop(cwd: string, file: string, args: readonly string[]) {
  // A process group of its own, so that nothing it starts outlives the test.
  const child = spawn(file, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // The whole group has exited, as it should.
    }
  });
  const ended = once(child, "close");
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    child.kill("SIGTERM");
  }
  const [code] = (await ended) as [number | null];
  return { code, lines, stderr };
}

describe("npm start", () => {
  it("builds once, and passes arguments, stdout, signals and status through", async () => {
    const folder = await tempProject(COPIED, { "src/server/cli.ts": CLI });
    const direct = await startAndStop(folder, process.execPath, [
      "scripts/start.mjs",
      "--port",
      "0",
    ]);
    expect(direct).toEqual({
      code: 7,
      lines: ['["serve","--port","0"]'],
      stderr: expect.stringContaining("Building ..."),
    });
    const throughNpm = await startAndStop(folder, "npm", [
      "start",
      "--silent",
      "--",
      "--port",
      "0",
    ]);
    expect(throughNpm.lines).toEqual(['["serve","--port","0"]']);
    expect(throughNpm.code).toBe(7);
    expect(throughNpm.stderr).not.toContain("Building");
  });

  it("does not start a command that does not compile, and shows why", async () => {
    const folder = await tempProject(COPIED, { "src/server/cli.ts": "const a: string = 1;\n" });
    const { code, lines, stderr } = await startAndStop(folder, process.execPath, [
      "scripts/start.mjs",
    ]);
    expect({ code, lines }).toEqual({ code: 1, lines: [] });
    expect(stderr).toContain("src/server/cli.ts");
    expect(stderr).toContain("The build failed");
  });
});

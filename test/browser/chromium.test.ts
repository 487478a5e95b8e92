import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
const UBUNTU = "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n";

/** A machine with two temporary folders as its PATH. */
async function machine(options: { osRelease?: string; isRoot?: boolean } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "millrace-chromium-"));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  await mkdir(first);
  await mkdir(second);
  const printed: string[] = [];
  const env: NodeJS.ProcessEnv = { PATH: [first, second].join(delimiter) };
  return {
    folder,
    first,
    second,
    env,
    platform: "linux" as const,
    isRoot: options.isRoot ?? true,
    osRelease: async () => options.osRelease ?? DEBIAN,
    printed,
    say: (text: string) => void printed.push(text),
  };
}

/** Creates a program in a folder. @returns its path. */
async function plant(folder: string, name: string, script = "exit 0") {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

/** Creates an apt-get that logs its arguments and runs `installing` for an install. */
async function plantAptGet(at: Awaited<ReturnType<typeof machine>>, installing: string) {
  const journal = join(at.folder, "journal");
  await plant(
    at.first,
    "apt-get",
    `echo "$@" >> ${journal}; case "$*" in *install*) ${installing} ;; esac`,
  );
  return async () => (await readFile(journal, "utf8")).trim().split("\n");
}

describe("Chromium for the tests", () => {
  it("is the program in CHROMIUM_PATH, if set", async () => {
    const host = await machine();
    await plant(host.first, "chromium");
    host.env["CHROMIUM_PATH"] = await plant(host.folder, "my-browser");
    expect(await ensureChromium(host.folder, host)).toEqual({
      program: join(host.folder, "my-browser"),
    });
  });

  it("is not replaced silently when CHROMIUM_PATH is wrong", async () => {
    const host = await machine();
    await plant(host.first, "chromium");
    host.env["CHROMIUM_PATH"] = join(host.folder, "nowhere");
    await expect(ensureChromium(host.folder, host)).rejects.toThrow(
      `CHROMIUM_PATH is "${join(host.folder, "nowhere")}", which is no program`,
    );
  });

  it.each([
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
  ])("is found on the PATH as %s", async (name) => {
    const host = await machine();
    const program = await plant(host.second, name);
    expect(await ensureChromium(host.folder, host)).toEqual({ program });
  });

  it("is the shell without a user interface, where that is installed", async () => {
    const host = await machine();
    await plant(host.first, "chromium");
    const program = await plant(host.second, "chromium-headless-shell");
    expect(await ensureChromium(host.folder, host)).toEqual({ program });
  });

  it("is installed once by root on Debian, with a message", async () => {
    const host = await machine();
    const program = join(host.first, "chromium-headless-shell");
    const journal = await plantAptGet(
      host,
      `printf '#!/bin/sh\\n' > ${program}; /bin/chmod +x ${program}`,
    );
    expect(await ensureChromium(host.folder, host)).toEqual({ program });
    expect(await ensureChromium(host.folder, host)).toEqual({ program });
    expect(host.printed).toEqual([
      "Installing Chromium for the tests of the browser page (apt-get install chromium-headless-shell) ...",
      expect.stringMatching(/^Chromium installed in \d+ s\.$/),
    ]);
    expect((await journal()).map((line) => / (update|install .*)$/.exec(line)?.[1])).toEqual([
      "update",
      "install --no-install-recommends chromium-headless-shell",
    ]);
  });

  it("is missing, with the reason, when it cannot be installed", async () => {
    const host = await machine();
    await plantAptGet(host, "echo 'E: Unable to locate package chromium-headless-shell'; exit 100");
    expect(await ensureChromium(host.folder, host)).toEqual({
      missing: expect.stringContaining("(E: Unable to locate package chromium-headless-shell)"),
    });
    const bare = await machine();
    expect(await ensureChromium(bare.folder, bare)).toEqual({
      missing: expect.stringContaining("apt-get could not be started"),
    });
  });

  it.each([
    ["MILLRACE_INSTALL=0 forbids it", { env: "0" }, "MILLRACE_INSTALL=0 forbids"],
    ["the user is not root", { isRoot: false }, "only root on Debian"],
    ["the system is not Debian", { osRelease: UBUNTU }, "only root on Debian"],
  ])("is not installed when %s", async (_why, { env, ...options }: MachineOptions, reason) => {
    const host = await machine(options);
    if (env !== undefined) host.env["MILLRACE_INSTALL"] = env;
    const journal = await plantAptGet(host, "exit 0");
    expect(await ensureChromium(host.folder, host)).toEqual({
      missing: expect.stringContaining(reason),
    });
    await expect(journal()).rejects.toThrow("ENOENT");
  });
});

interface MachineOptions {
  readonly env?: string;
  readonly isRoot?: boolean;
  readonly osRelease?: string;
}

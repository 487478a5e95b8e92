import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureChromium } from "../../scripts/lib/chromium.mjs";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
const UBUNTU = "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n";

/** A machine with folders of its own as its PATH. */
async function machine(options: { osRelease?: string; isRoot?: boolean } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "millrace-chromium-"));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  await mkdir(first);
  await mkdir(second);
  const said: string[] = [];
  const env: NodeJS.ProcessEnv = { PATH: [first, second].join(delimiter) };
  return {
    folder,
    first,
    second,
    env,
    platform: "linux" as const,
    isRoot: options.isRoot ?? true,
    osRelease: async () => options.osRelease ?? DEBIAN,
    said,
    say: (text: string) => void said.push(text),
  };
}

/** Puts a program there. @returns its path. */
async function plant(folder: string, name: string, script = "exit 0") {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

/** An apt-get that keeps a journal, and does something when it is asked to install. */
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
  it("is what CHROMIUM_PATH names, before all others", async () => {
    const here = await machine();
    await plant(here.first, "chromium");
    here.env["CHROMIUM_PATH"] = await plant(here.folder, "my-browser");
    expect(await ensureChromium(here.folder, here)).toEqual({
      program: join(here.folder, "my-browser"),
    });
  });

  it("is not quietly another one when CHROMIUM_PATH is wrong", async () => {
    const here = await machine();
    await plant(here.first, "chromium");
    here.env["CHROMIUM_PATH"] = join(here.folder, "nowhere");
    await expect(ensureChromium(here.folder, here)).rejects.toThrow(
      `CHROMIUM_PATH is "${join(here.folder, "nowhere")}", which is no program`,
    );
  });

  it.each(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])(
    "is found on the PATH as %s",
    async (name) => {
      const here = await machine();
      const program = await plant(here.second, name);
      expect(await ensureChromium(here.folder, here)).toEqual({ program });
    },
  );

  it("is installed by root on Debian, once, and that is said", async () => {
    const here = await machine();
    const program = join(here.first, "chromium");
    const journal = await plantAptGet(
      here,
      `printf '#!/bin/sh\\n' > ${program}; /bin/chmod +x ${program}`,
    );
    expect(await ensureChromium(here.folder, here)).toEqual({ program });
    expect(await ensureChromium(here.folder, here)).toEqual({ program });
    expect(here.said).toEqual([
      "Installing Chromium for the tests of the browser page (apt-get install chromium) ...",
      expect.stringMatching(/^Chromium installed in \d+ s\.$/),
    ]);
    expect((await journal()).map((line) => / (update|install .*)$/.exec(line)?.[1])).toEqual([
      "update",
      "install --no-install-recommends chromium",
    ]);
  });

  it("is missing, with the reason, when it cannot be installed", async () => {
    const here = await machine();
    await plantAptGet(here, "echo 'E: Unable to locate package chromium'; exit 100");
    expect(await ensureChromium(here.folder, here)).toEqual({
      missing: expect.stringContaining("(E: Unable to locate package chromium)"),
    });
    const bare = await machine();
    expect(await ensureChromium(bare.folder, bare)).toEqual({
      missing: expect.stringContaining("apt-get could not be started"),
    });
  });

  it.each([
    ["MILLRACE_INSTALL=0 forbids it", { env: "0" }, "MILLRACE_INSTALL=0 forbids"],
    ["we are not root", { isRoot: false }, "only root on Debian"],
    ["this is not Debian", { osRelease: UBUNTU }, "only root on Debian"],
  ])("is not installed when %s", async (_why, { env, ...options }: MachineOptions, reason) => {
    const here = await machine(options);
    if (env !== undefined) here.env["MILLRACE_INSTALL"] = env;
    const journal = await plantAptGet(here, "exit 0");
    expect(await ensureChromium(here.folder, here)).toEqual({
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

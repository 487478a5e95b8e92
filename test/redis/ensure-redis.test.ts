import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureRedis } from "../../scripts/lib/redis.mjs";
import { run } from "../../scripts/lib/run.mjs";

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n';
const UBUNTU = 'NAME=Ubuntu\nID=ubuntu\nID_LIKE="debian"\n';
const FEDORA = 'NAME="Fedora Linux"\nID=fedora\n';

/** Errors of downloads that are not the fault of this project. */
const UNREACHABLE =
  /only Debian|forbids|Failed to fetch|Unable to fetch|Could not (resolve|connect)|Temporary failure/;
const DOWNLOAD_TIMEOUT_MS = 60_000;

async function tempFolder() {
  const folder = await mkdtemp(join(tmpdir(), "millrace-ensure-redis-"));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A fake machine with its own folders as PATH. */
async function machine(osRelease = DEBIAN) {
  const folder = await tempFolder();
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  await mkdir(first);
  await mkdir(second);
  const said: string[] = [];
  const path = [first, second].join(delimiter);
  const env: NodeJS.ProcessEnv = { PATH: path };
  return {
    folder,
    first,
    second,
    env,
    serverPath: path,
    osRelease: async () => osRelease,
    said,
    say: (text: string) => void said.push(text),
  };
}

type FakeMachine = Awaited<ReturnType<typeof machine>>;

/** Writes a program into a folder. @returns its path. */
async function plant(folder: string, name: string, script = "exit 0") {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

const redis = (version: string) => `echo "Redis server v=${version} sha=00000000:0 malloc=libc"`;

/**
 * Plants a fake apt-get and dpkg, which keep a journal. A package is an empty file. The unpacked
 * server runs the given script, and has a library folder when libjemalloc2 was unpacked.
 */
async function plantApt(here: FakeMachine, { server = redis("7.0.15"), download = "" } = {}) {
  const journal = join(here.folder, "journal");
  const script = await plant(here.folder, "unpacked-server", server);
  const unpacking = `
    case "$2" in
      *redis-server*) /bin/mkdir -p "$3/usr/bin"; /bin/cp ${script} "$3/usr/bin/redis-server" ;;
      *libjemalloc2*) /bin/mkdir -p "$3/usr/lib/mips-linux-gnu" ;;
    esac`;
  await plant(
    here.first,
    "apt-get",
    `echo "$@" >> ${journal}
    case "$*" in *" update") exit 0 ;; esac
    ${download}
    named=no
    for name; do
      if [ $named = yes ]; then : > "$name.deb"; fi
      if [ "$name" = download ]; then named=yes; fi
    done`,
  );
  await plant(
    here.first,
    "dpkg-deb",
    `case "$1" in
      --extract) ${unpacking} ;;
      --field) case "$2" in *tools*) echo "adduser, libc6 (>= 2.34), libjemalloc2 (>= 3.5.0)" ;; esac
    esac`,
  );
  await plant(
    here.first,
    "dpkg-query",
    'echo "libc6 installed"; echo "libjemalloc2 unknown"; exit 1',
  );
  return {
    program: join(here.folder, ".cache", "redis", "redis-server"),
    /** The commands of apt-get, without options. */
    journal: async () => {
      const lines = (await readFile(journal, "utf8")).trim().split("\n");
      return lines.map((line) => /(update|download .*)$/.exec(line)?.[1]);
    },
  };
}

describe("the Redis server for the tests", () => {
  it("is the program at REDIS_SERVER_PATH, before all others", async () => {
    const here = await machine();
    await plant(here.first, "redis-server", redis("7.2.4"));
    const program = await plant(here.folder, "my-redis", redis("8.0.2"));
    here.env["REDIS_SERVER_PATH"] = program;
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "8.0.2" });
  });

  it.each([
    ["nothing", undefined, "which is no program"],
    ["something else", "echo hello", "which does not say that it is a server of Redis or Valkey"],
    ["something broken", `${redis("7.0.15")}; exit 1`, "which does not say that it is a server"],
    ["an old one", redis("6.2.14"), "which is Redis 6.2.14; it has to be version 7 or later"],
  ])(
    "is never silently another one when REDIS_SERVER_PATH names %s",
    async (_what, script, why) => {
      const here = await machine();
      await plant(here.first, "redis-server", redis("7.2.4"));
      const program = join(here.folder, "mine");
      if (script !== undefined) await plant(here.folder, "mine", script);
      here.env["REDIS_SERVER_PATH"] = program;
      await expect(ensureRedis(here.folder, here)).rejects.toThrow(
        `REDIS_SERVER_PATH is "${program}", ${why}`,
      );
    },
  );

  it.each([
    ["redis-server", redis("7.0.15"), "7.0.15"],
    ["redis-server", redis("10.0.0"), "10.0.0"],
    ["valkey-server", 'echo "Valkey server v=8.0.1 sha=00000000:0"', "8.0.1"],
    ["valkey-server", 'echo "Valkey server v=7.2.5 sha=00000000:0"', "7.2.5"],
  ])("is found on the PATH as %s with the output %s", async (name, script, version) => {
    const here = await machine();
    const program = await plant(here.second, name, script);
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version });
  });

  it("is the first program on the PATH that is new enough", async () => {
    const here = await machine();
    const old = await plant(here.first, "redis-server", redis("6.0.16"));
    expect(await ensureRedis(here.folder, here)).toEqual({
      missing: expect.stringContaining(`Redis 7 or later is not here (${old} is Redis 6.0.16)`),
    });
    const program = await plant(here.second, "redis-server", redis("7.0.0"));
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "7.0.0" });
  });

  it.each([
    ["Debian", DEBIAN],
    ["a derivative", UBUNTU],
  ])("is unpacked once on %s, with a message", async (_name, osRelease) => {
    const here = await machine(osRelease);
    const { program, journal } = await plantApt(here);
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "7.0.15" });
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "7.0.15" });
    expect(here.said).toEqual([
      "Fetching a Redis server for the tests (apt-get download redis-server) ...",
      expect.stringMatching(/^Redis server unpacked into \S+[/\\]\.cache[/\\]redis in \d+ s\.$/),
    ]);
    expect(await journal()).toEqual(["download redis-server redis-tools"]);
    expect((await readdir(join(here.folder, ".cache"))).toSorted()).toEqual([
      "redis",
      "setup-lock",
    ]);
  });

  it("comes with the libraries that are not installed", async () => {
    const here = await machine();
    const server = `case "$LD_LIBRARY_PATH" in
      */.cache/redis/root/usr/lib/mips-linux-gnu) ${redis("7.0.15")} ;;
      */home/root/usr/lib/mips-linux-gnu) ${redis("7.0.15")} ;;
      *) echo "libjemalloc.so.2: cannot open shared object file"; exit 127 ;;
    esac`;
    const { program, journal } = await plantApt(here, { server });
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "7.0.15" });
    expect(await journal()).toEqual(["download redis-server redis-tools", "download libjemalloc2"]);
  });

  it("is looked up in the project's own package lists when the machine has none", async () => {
    const here = await machine();
    const { program, journal } = await plantApt(here, {
      download: `case "$*" in
        *Dir::State::Lists=${here.folder}/.cache/*Debug::NoLocking=1*) ;;
        *) echo "E: Unable to locate package redis-server"; exit 100 ;;
      esac`,
    });
    expect(await ensureRedis(here.folder, here)).toEqual({ program, version: "7.0.15" });
    const downloading = "download redis-server redis-tools";
    expect(await journal()).toEqual([downloading, "update", downloading]);
  });

  it.each([
    [
      "it cannot be downloaded",
      { download: "echo 'E: Unable to locate package redis-server'; exit 100" },
      "could not be fetched (E: Unable to locate package redis-server)",
    ],
    [
      "it does not run",
      { server: "echo 'wrong architecture'; exit 126" },
      "could not be fetched (it does not run: wrong architecture)",
    ],
    [
      "the distribution's is too old",
      { server: redis("6.0.16") },
      "could not be fetched (the distribution's is too old)",
    ],
  ])("is missing, with the reason, when %s", async (_why, fakes, reason) => {
    const here = await machine();
    await plantApt(here, fakes);
    expect(await ensureRedis(here.folder, here)).toEqual({
      missing: expect.stringMatching(/^Redis 7 or later is not here, and .* REDIS_SERVER_PATH$/),
    });
    expect(await ensureRedis(here.folder, here)).toEqual({
      missing: expect.stringContaining(reason),
    });
  });

  it("is downloaded once when the distribution's is too old", async () => {
    const here = await machine();
    const { journal } = await plantApt(here, { server: redis("6.0.16") });
    await ensureRedis(here.folder, here);
    await ensureRedis(here.folder, here);
    expect(await journal()).toHaveLength(1);
  });

  it.each([
    ["MILLRACE_INSTALL=0 forbids it", DEBIAN, "0", "MILLRACE_INSTALL=0 forbids"],
    ["this is not Debian or a derivative", FEDORA, undefined, "only Debian and derivatives"],
  ])("is not fetched when %s", async (_why, osRelease, install, reason) => {
    const here = await machine(osRelease);
    if (install !== undefined) here.env["MILLRACE_INSTALL"] = install;
    const { journal } = await plantApt(here);
    expect(await ensureRedis(here.folder, here)).toEqual({
      missing: expect.stringContaining(reason),
    });
    await expect(journal()).rejects.toThrow("ENOENT");
  });

  it("is missing where there is no apt", async () => {
    const here = await machine();
    expect(await ensureRedis(here.folder, here)).toEqual({
      missing: expect.stringContaining("only Debian and derivatives, with apt-get and dpkg-deb"),
    });
  });

  it(
    "runs when it comes from the real packages of the distribution",
    async (context) => {
      const folder = await tempFolder();
      const osRelease = async () => readFile("/etc/os-release", "utf8").catch(() => "");
      const { REDIS_SERVER_PATH: _, ...env } = process.env;
      const found = await ensureRedis(folder, { env, serverPath: "", osRelease, say: () => {} });
      if ("missing" in found && UNREACHABLE.test(found.missing)) context.skip(found.missing);
      expect(found).toEqual({
        program: join(folder, ".cache", "redis", "redis-server"),
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      });
      const program = "program" in found ? found.program : "";
      expect(await run(program, ["--version"], { cwd: folder })).toMatchObject({
        code: 0,
        output: expect.stringContaining("server v="),
      });
    },
    DOWNLOAD_TIMEOUT_MS,
  );
});

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type DebianProgram, ensureDebianProgram } from "../../../scripts/lib/debian-packages.mjs";
import { PROJECT } from "../../../scripts/lib/project.mjs";
import { freePort } from "../long/child-server.ts";

/** A kind of proxy with a configuration in docs/proxies.md. */
export interface ProxyKind {
  readonly program: DebianProgram;
  /** Language of its block in docs/proxies.md. */
  readonly language: string;
  /** The configuration around the snippet, in a separate folder. */
  readonly configuration: (snippet: string, folder: string) => string;
  readonly args: (file: string) => readonly string[];
}

/** A proxy in a child process. */
export interface RunningProxy {
  /** Its URL for HTTP/1.1. */
  readonly url: string;
  /** Its URL for HTTP/2. */
  readonly http2Url: string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

export const PROXIES: readonly ProxyKind[] = [
  {
    program: {
      name: "nginx",
      packages: ["nginx"],
      path: "usr/sbin/nginx",
      versionFlag: "-v",
    },
    language: "nginx",
    configuration: (snippet, folder) => `
      daemon off;
      master_process off;
      pid ${folder}/pid;
      error_log stderr warn;
      events {}
      http {
        access_log off;
        ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
          .map((name) => `${name}_temp_path ${folder}/${name};`)
          .join("\n")}
        ${snippet}
      }`,
    args: (file) => ["-e", "stderr", "-c", file],
  },
  {
    program: {
      name: "haproxy",
      packages: ["haproxy"],
      path: "usr/sbin/haproxy",
      versionFlag: "-v",
    },
    language: "haproxy",
    configuration: (snippet) => `${snippet}\n`,
    args: (file) => ["-db", "-f", file],
  },
  {
    program: { name: "caddy", packages: ["caddy"], path: "usr/bin/caddy", versionFlag: "version" },
    language: "caddyfile",
    configuration: (snippet) => `${snippet.replace("{", "{\n  admin off")}\n`,
    args: (file) => ["run", "--adapter", "caddyfile", "--config", file],
  },
];

/** The program of a proxy, or why it is missing. It may be fetched. */
export function proxyProgram({ program }: ProxyKind) {
  return ensureDebianProgram(PROJECT, program);
}

/** Starts a proxy with its documented configuration, in front of a local port. */
export async function startProxy(
  kind: ProxyKind,
  program: string,
  port: number,
): Promise<RunningProxy> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-proxy-"));
  const [near, second] = [await freePort(), await freePort()];
  const document = await readFile(join(PROJECT, "docs/proxies.md"), "utf8");
  const snippet = new RegExp(`\`\`\`${kind.language}\\n([^]*?)\`\`\``).exec(document)?.[1] ?? "";
  // At once: the digits of one port may contain the number of another.
  const ports: Readonly<Record<string, number>> = { 8080: near, 8081: second, 3112: port };
  const text = kind
    .configuration(snippet, folder)
    .replaceAll(/\b(?:8080|8081|3112)\b/g, (number) => String(ports[number]));
  const file = join(folder, "configuration");
  await writeFile(file, text);
  const child = spawn(program, [...kind.args(file)], {
    cwd: folder,
    env: { ...process.env, HOME: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let printed = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (printed += chunk));
  const http2Port = snippet.includes("8081") ? second : near;
  await reachable(child, http2Port, () => printed);
  return {
    url: `http://127.0.0.1:${near}`,
    http2Url: `http://127.0.0.1:${http2Port}`,
    async stop() {
      const ended = child.exitCode === null ? once(child, "exit") : undefined;
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Waits until a port accepts connections, which proxies do not report. */
async function reachable(child: ChildProcess, port: number, printed: () => string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (child.exitCode === null && performance.now() < deadline) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
  child.kill("SIGKILL");
  throw new Error(`the proxy does not listen: ${printed()}`);
}

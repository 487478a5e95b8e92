import { createHmac } from "node:crypto";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, afterAll, describe, expect, it } from "vitest";
import { DEFAULT_FUNCTION_LIMITS } from "../../src/functions/function-limits.ts";
import { MAX_ANSWER_BYTES } from "../../src/webhooks/transport.ts";
import { DEFAULT_WEBHOOK } from "../../src/webhooks/webhook-options.ts";
import { MAX_METADATA_BYTES, MAX_REDIRECTS } from "../../src/webhooks/webhook-provider.ts";
import { readMarkdown, tableAfter } from "../docs/markdown.ts";
import { SECRET, call, failureOf, hasty, hookTo } from "./calling.ts";

const { text, snippets } = await readMarkdown("docs/webhooks.md");

describe("the limits in docs/webhooks.md", () => {
  it("match the code", () => {
    expect(tableAfter(text, "Limits")).toEqual([
      ["size of a payload", `${DEFAULT_FUNCTION_LIMITS.maxPayloadBytes / 1024 ** 2} MiB`],
      ["size of a response", `${MAX_ANSWER_BYTES / 1024 ** 2} MiB`],
      ["size of the metadata's header", `${MAX_METADATA_BYTES / 1024} KiB`],
      ["timeout of a call", `${DEFAULT_WEBHOOK.timeoutMs / 1000} s`],
      ["attempts", String(DEFAULT_WEBHOOK.maxAttempts)],
      ["first delay", `${DEFAULT_WEBHOOK.initialBackoffMs} ms`],
      ["redirects of an attempt", String(MAX_REDIRECTS)],
    ]);
  });
});

describe("the receiver in docs/webhooks.md", () => {
  let folder = "";
  let child: ChildProcess | undefined;
  let url = "";

  beforeAll(async () => {
    const [code = "", ...others] = snippets
      .filter(({ language }) => language === "js")
      .map((snippet) => snippet.code.replace("9000", "0"));
    expect(others).toEqual([]);
    folder = await mkdtemp(join(tmpdir(), "millrace-receiver-"));
    const file = join(folder, "receiver.mjs");
    const reporting = 'server.on("listening", () => console.log(server.address().port));';
    await writeFile(file, `${code}\n${reporting}\n`);
    const running = spawn(process.execPath, [file], {
      env: { ORDERS_SECRET: SECRET },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child = running;
    const [port] = (await once(createInterface({ input: running.stdout }), "line")) as [string];
    url = `http://127.0.0.1:${port}/`;
  });
  afterAll(async () => {
    child?.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  it("accepts requests that are signed with its secret", async () => {
    const hook = hookTo(url);
    expect(await call(hook, { payload: '{"amount":7}' })).toBe('{"accepted":true}');
    expect(await call(hook, { payload: '{"amount":7000, "to": "Jörg"}' })).toBe(
      '{"accepted":false}',
    );
  });

  it("refuses requests signed with another secret, too long ago, or not at all", async () => {
    const other = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
    const old = { ...hasty(), now: () => Date.now() - 301_000 };
    for (const hook of [hookTo(url, { secret: other }), hookTo(url, {}, old)])
      expect(await failureOf(hook)).toContain("with status 401");
    expect((await fetch(url, { method: "POST", body: "{}" })).status).toBe(401);
  });

  it("processes a duplicate only once", async () => {
    const timestamp = Math.floor(Date.now() / 1000);
    const post = async (body: string, headers: Record<string, string>) =>
      (await fetch(url, { method: "POST", body, headers })).text();
    const signed = (body: string) => ({
      "webhook-id": "msg_1",
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,AAAA v1,${createHmac(
        "sha256",
        Buffer.from(SECRET.slice(6), "base64"),
      )
        .update(`msg_1.${timestamp}.${body}`)
        .digest("base64")}`,
    });
    expect(await post('{"amount":1}', signed('{"amount":1}'))).toBe('{"accepted":true}');
    expect(await post('{"amount":5000}', signed('{"amount":5000}'))).toBe('{"accepted":true}');
  });
});

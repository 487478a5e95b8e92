import { pino } from "pino";
import { describe, expect, it, onTestFinished } from "vitest";
import { developmentToken } from "../../src/server/commands/token.ts";
import { decisionLog } from "../../src/server/decision-log.ts";
import { startServer } from "../support/doors/test-server.ts";

const jwt = [{ algorithms: ["HS256" as const], secret: "s3cret-s3cret-s3cret-s3cret-s3cret" }];
const KEY = "mk_of-the-exporter";

/** A server that logs at a level, and its lines about decisions. */
async function loggingServer(level: string) {
  const lines: Record<string, unknown>[] = [];
  let text = "";
  const logger = pino(
    { level, base: null, timestamp: false },
    {
      write(line: string) {
        text += line;
        const fields = JSON.parse(line) as Record<string, unknown>;
        if ("allowed" in fields) lines.push(fields);
      },
    },
  );
  const server = await startServer("memory", {
    logger,
    auth: {
      jwt,
      keys: [
        { name: "exporter", key: KEY, allow: [{ actions: ["read"] }] },
        { name: "backend", key: "mk_of-the-backend" },
      ],
      rules: [{ actions: ["write"], stream: "profiles", item: "{user}" }],
    },
  });
  onTestFinished(() => server.close());
  const call = async (method: string, token: string | undefined, body: object) => {
    const response = await fetch(`${server.url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    });
    return response.status;
  };
  return { lines, call, text: () => text };
}

const set = (itemId: string) => ({ streamName: "profiles", groupId: "all", itemId, data: 1 });

describe("the log of decisions", () => {
  it("has the caller, the action, the resource and the rule, and no credentials", async () => {
    const { lines, call, text } = await loggingServer("debug");
    const token = await developmentToken(jwt, { user: "ann", ttl: "1h" }, Date.now());
    expect(await call("Set", token, set("ann"))).toBe(200);
    expect(await call("Set", token, set("bob"))).toBe(403);
    expect(await call("List", KEY, { streamName: "profiles", groupId: "all" })).toBe(200);
    expect(await call("ListAll", undefined, {})).toBe(403);
    // It may do everything, so there is nothing to decide.
    expect(await call("Set", "mk_of-the-backend", set("ann"))).toBe(200);
    const ann = { level: 20, caller: "user", user: "ann", action: "write" };
    const profiles = { stream: "profiles", group: "all" };
    const yes = { allowed: true, msg: "a rule allows a call" };
    const no = { allowed: false, msg: "no rule allows a call" };
    expect(lines).toEqual([
      { ...ann, ...profiles, item: "ann", ...yes, rule: "auth.rules[0]" },
      { ...ann, ...profiles, item: "bob", ...no },
      {
        ...{ level: 20, caller: "service", key: "exporter", action: "read", ...profiles, ...yes },
        rule: "auth.keys[0].allow[0]",
      },
      { level: 20, caller: "anonymous", action: "read", ...no },
    ]);
    expect(text()).not.toContain(token);
    expect(text()).not.toContain("mk_of-the");
  });

  it("is empty at the default level, where decisions are not even counted", async () => {
    const { lines, call } = await loggingServer("info");
    await call("Set", KEY, set("ann"));
    expect(lines).toEqual([]);
    expect(decisionLog(pino({ level: "info" }))).toBeUndefined();
  });
});

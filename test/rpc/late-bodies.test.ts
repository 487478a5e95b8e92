import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { createServer } from "millrace/server";
import { callH2, openH2 } from "../support/doors/h2-call.ts";

const SECOND = 1000;
const GRPC = { "content-type": "application/grpc", te: "trailers" };
const SERVICE = "/millrace.v1.StreamService";
const REFLECTION = "ServerReflection/ServerReflectionInfo";
/** An envelope that announces ten bytes, and the first two of them. */
const PART = Buffer.from([0, 0, 0, 0, 10, 0x0a, 1]);

describe("a message that never arrives completely", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    ["Set", `${SERVICE}/Set`, GRPC],
    ["Subscribe", `${SERVICE}/Subscribe`, GRPC],
    [
      "Subscribe over gRPC-Web",
      `${SERVICE}/Subscribe`,
      { "content-type": "application/grpc-web+proto" },
    ],
    [
      "Subscribe over Connect",
      `${SERVICE}/Subscribe`,
      { "content-type": "application/connect+json" },
    ],
    ["Write", `${SERVICE}/Write`, GRPC],
    [
      "Write as gRPC JSON",
      `${SERVICE}/Write`,
      { ...GRPC, "content-type": "application/grpc+json" },
    ],
    ["health's Check", "/grpc.health.v1.Health/Check", GRPC],
    ["health's Watch", "/grpc.health.v1.Health/Watch", GRPC],
    ["reflection", `/grpc.reflection.v1.${REFLECTION}`, GRPC],
    ["reflection v1alpha", `/grpc.reflection.v1alpha.${REFLECTION}`, GRPC],
  ])("ends the call after 30 s: %s", async (_name, path, headers) => {
    const server = await createServer({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(() => server.close());
    const session = openH2(server.url);
    onTestFinished(() => session.destroy());
    await once(session, "remoteSettings");
    // After this first call the connection has no timers of its own.
    await callH2(session, "/healthz", {}, Buffer.alloc(0));
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
    let isOver = false;
    const call = callH2(session, path, headers, PART, false).finally(() => (isOver = true));
    // The service waits for the rest.
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(29 * SECOND);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    for (let moreMs = 0; !isOver; moreMs += 250) {
      expect(moreMs).toBeLessThan(4 * SECOND);
      // A request that continues after its response is closed a second later: the response arrives
      // first.
      await sleep(20);
      vi.advanceTimersByTime(250);
    }
    const response = await call;
    const text = JSON.stringify([response.headers, response.trailers, response.body.toString()]);
    expect(decodeURIComponent(text)).toContain("did not arrive completely within 30000 ms");
  });
});

import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Settings,
  constants,
} from "node:http2";
import { describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { enveloped, openH2 } from "../../support/doors/h2-call.ts";

/** `stream_name: "s"`, `group_id: "g"`. */
const SUBSCRIBE = enveloped(Buffer.from([0x0a, 1, 0x73, 0x12, 1, 0x67]));

async function open(options: object): Promise<ClientHttp2Session> {
  const server = await createServer({ port: 0, store: { kind: "in_memory" }, ...options });
  onTestFinished(() => server.close());
  const session = openH2(server.url);
  onTestFinished(() => session.destroy());
  return session;
}

/**
 * Since version 22, Node counts a cancelled stream until its event loop turns, and refuses a stream
 * that arrives before.
 */
const REFUSES_EARLY_STREAMS = Number.parseInt(process.versions.node, 10) >= 22;

/**
 * Opens subscriptions at once, and those again that arrive too early.
 *
 * @returns The streams, and those that have received their first bytes.
 */
function subscribe(session: ClientHttp2Session, count: number, headers: object = {}) {
  const served = new Set<ClientHttp2Stream>();
  const failed: string[] = [];
  const openStream = () => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/millrace.v1.StreamService/Subscribe",
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("data", () => served.add(stream));
    stream.on("error", ({ message }) => {
      const isEarly =
        REFUSES_EARLY_STREAMS && stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
      if (isEarly) openStream();
      else failed.push(message);
    });
    stream.end(SUBSCRIBE);
    return stream;
  };
  const streams = Array.from({ length: count }, openStream);
  return { streams, served, failed };
}

describe("streams of one HTTP/2 connection", () => {
  it("are limited to 250 for untrusted callers; more wait until one of them ends", async () => {
    const session = await open({ apiTokens: ["secret"] });
    const [settings] = (await once(session, "remoteSettings")) as [Settings];
    expect(settings.maxConcurrentStreams).toBe(250);
    const { streams, served, failed } = subscribe(session, 300);
    await expect.poll(() => served.size).toBe(250);
    for (const [ended, stream] of streams.slice(0, 50).entries()) {
      stream.close();
      await expect.poll(() => served.size, { interval: 1 }).toBe(251 + ended);
    }
    expect(failed).toEqual([]);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(250);
  });

  it.each([
    ["on this machine", {}, {}],
    ["with a token", { apiTokens: ["secret"] }, { authorization: "Bearer secret" }],
    ["whose rates are limited, too", { callerLimits: { limitTrustedCallers: true } }, {}],
  ])(
    "are limited to 1,000 for trusted callers %s, and none of these waits",
    async (_caller, options, headers) => {
      const session = await open(options);
      const { served, failed } = subscribe(session, 1000, headers);
      await expect.poll(() => served.size, { timeout: 8000 }).toBe(1000);
      expect(failed).toEqual([]);
      expect(session.remoteSettings.maxConcurrentStreams).toBe(1000);
    },
  );
});

import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { WriteRequestSchema } from "millrace/v1";
import { describe, expect, it, onTestFinished } from "vitest";
import { enveloped, openH2 } from "../support/doors/h2-call.ts";
import { pathOf } from "../support/doors/raw-protocol.ts";
import { startServer } from "../support/doors/test-server.ts";

/** What the service takes from a stream that it does not read. */
const WINDOW_BYTES = 65_535;
/** Frames around it: their headers, settings, pings. */
const OVERHEAD_BYTES = 4096;
/** Messages of a stream, each of a little more than 1 kB. */
const MESSAGES = 500;
const STREAMS = 3;
const KEY = { streamName: "s", groupId: "g" };

/** A server whose callers wait until the test lets them in or refuses them. */
async function startWaitingServer() {
  let decide: (result: object) => void = () => {};
  const decision = new Promise<object>((resolve) => (decide = resolve));
  let waiting = 0;
  const server = await startServer("memory", {
    apiTokens: ["secret"],
    authFunction: "wait",
    auth: { rules: [{ actions: ["write"] }] },
    setup: async (service) => {
      await service.registerFunction("wait", async () => {
        waiting++;
        return decision;
      });
    },
  });
  onTestFinished(() => server.close());
  return { server, decide, waiting: () => waiting };
}

/** Resolves when the service has seen everything that was sent before. */
const roundTrip = (session: ClientHttp2Session) =>
  new Promise<void>((resolve, reject) => {
    session.ping((error) => (error === null ? resolve() : reject(error)));
  });

const messages = Array.from({ length: MESSAGES }, (_, i) => {
  const value = { kind: { case: "stringValue" as const, value: "x".repeat(1000) } };
  const set = { ...KEY, itemId: `i${i}`, data: value };
  const call = { case: "set" as const, value: set };
  const request = create(WriteRequestSchema, { requestId: BigInt(i + 1), call });
  return enveloped(toBinary(WriteRequestSchema, request));
});

describe.each([
  ["gRPC", { "content-type": "application/grpc", te: "trailers" }],
  ["Connect", { "content-type": "application/connect+proto" }],
  ["gRPC on the framework path", { "content-type": "application/grpc", "grpc-encoding": "gzip" }],
] as const)(
  "write streams that wait for the authentication of their callers, over %s",
  (_, headers) => {
    const open = (session: ClientHttp2Session): ClientHttp2Stream => {
      const stream = session.request({ ":method": "POST", ":path": pathOf("write"), ...headers });
      stream.on("error", () => {});
      stream.resume();
      for (const message of messages) stream.write(message);
      stream.end();
      return stream;
    };

    it("hold at most one window of bytes each, and continue when it is decided", async () => {
      const { server, decide, waiting } = await startWaitingServer();
      const session = openH2(server.url);
      onTestFinished(() => session.destroy());
      const streams = Array.from({ length: STREAMS }, () => open(session));
      await expect.poll(waiting).toBe(STREAMS);
      const sent = () => session.socket.bytesWritten;
      await expect.poll(sent).toBeGreaterThan(STREAMS * WINDOW_BYTES);
      for (let i = 0; i < 3; i++) await roundTrip(session);
      expect(sent()).toBeLessThan(STREAMS * WINDOW_BYTES + OVERHEAD_BYTES);
      expect((await server.service.listAll()).streams).toEqual([]);

      decide({ user: "ann" });
      await Promise.all(
        streams.map((stream) => new Promise((resolve) => stream.once("close", resolve))),
      );
      const { position } = await server.service.list(KEY);
      expect(position.revision).toBe(STREAMS * MESSAGES);
    });

    it("store nothing of it when their caller is refused", async () => {
      const { server, decide, waiting } = await startWaitingServer();
      const session = openH2(server.url);
      onTestFinished(() => session.destroy());
      const stream = open(session);
      await expect.poll(waiting).toBe(1);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      decide({ unauthorized: true });
      await closed;
      expect((await server.service.list(KEY)).position.revision).toBe(0);
    });
  },
);

import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { memoryStore } from "millrace";
import { createLane } from "../../../src/rpc/fast-path/grpc.ts";
import { unaryMethods } from "../../../src/rpc/unary-methods.ts";
import type { Handlers } from "../../../src/service/handlers.ts";
import { createEngine } from "../../../src/service/engine.ts";

/** A server with the gRPC fast path only: a call that this does not handle fails. */
export interface LaneOnly {
  readonly url: string;
  /** Paths of the calls that the fast path did not handle. */
  readonly missed: readonly string[];
  close(): Promise<void>;
}

/** Starts one on loopback. @param change Replaces handlers of the service. */
export async function startLaneOnly(change: Partial<Handlers> = {}): Promise<LaneOnly> {
  const engine = createEngine(memoryStore());
  const handlers = { ...engine.handlers, ...change };
  const { signal } = new AbortController();
  const lane = createLane(handlers, unaryMethods(handlers), signal);
  const missed: string[] = [];
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const transport = () => ({
      permit: () => undefined,
      untrustedBodies: () => undefined,
      abort: () => stream.close(),
      auth: () => ({ headers: {}, path: "", query_params: {}, addr: "", connection_id: "" }),
    });
    if (lane(stream, headers, transport)) return;
    missed.push(String(headers[":path"]));
    stream.respond({ ":status": 501 }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    missed,
    async close() {
      server.close();
      await engine.close();
    },
  };
}

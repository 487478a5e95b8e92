import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { memoryStore } from "millrace";
import { createGrpcFastPath } from "../../../src/rpc/fast-path/grpc.ts";
import { unaryMethods } from "../../../src/rpc/unary-methods.ts";
import { THIS_PROCESS } from "../../../src/rights/caller.ts";
import type { Handlers } from "../../../src/service/handlers.ts";
import { createEngine } from "../../../src/service/engine.ts";

/** A server with the gRPC fast path only: all other calls fail. */
export interface FastPathServer {
  readonly url: string;
  /** Paths of the failed calls. */
  readonly missed: readonly string[];
  close(): Promise<void>;
}

/** Starts a server on loopback. @param change Replacements of handlers. */
export async function startFastPathServer(change: Partial<Handlers> = {}): Promise<FastPathServer> {
  const engine = createEngine(memoryStore());
  const handlers = { ...engine.handlers, ...change };
  const { signal } = new AbortController();
  const fastPath = createGrpcFastPath(handlers, unaryMethods(handlers), signal);
  const missed: string[] = [];
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const transport = () => ({
      enter: () => ({
        caller: THIS_PROCESS,
        throttle: undefined,
        openAccount: undefined,
      }),
      abort: () => stream.close(),
      address: () => undefined,
    });
    if (fastPath(stream, headers, transport)) return;
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

import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  WorkerService,
} from "../../gen/millrace/v1/worker_service_pb.ts";
import { callEnd } from "../rpc/call-end.ts";
import { toConnectError } from "../rpc/connect-error.ts";
import { headersFirst } from "../rpc/framework/early-headers.ts";
import { preparedCall } from "../rpc/framework/prepared-call.ts";
import type { RequestReader } from "../rpc/framework/request-reader.ts";
import { type WorkerMessage, serveWorker } from "../workers/grpc-door.ts";
import type { WorkerDirectory } from "../workers/worker-directory.ts";
import type { WorkerHost } from "../workers/worker-session.ts";
import { Moments } from "../timers/moments.ts";

/** The state that all endpoints for workers share. */
export interface Workers {
  readonly host: WorkerHost;
  readonly directory: WorkerDirectory;
}

/** Registers `millrace.v1.WorkerService`. */
export function workerRoutes(
  router: ConnectRouter,
  { host, directory }: Workers,
  draining: AbortSignal,
): void {
  const expiries = new Moments();
  router.service(WorkerService, {
    async *connect(
      requests: AsyncIterable<unknown>,
      context: HandlerContext,
    ): AsyncGenerator<ConnectResponse, void> {
      const call = context.values.get(preparedCall);
      if (call.refusal !== undefined) throw toConnectError(call.refusal);
      const { messages, reader, format, abort, caller } = call;
      if (messages === undefined || reader === undefined || format === undefined) {
        // The framework refuses formats that we do not read, as soon as a message is requested.
        await requests[Symbol.asyncIterator]().next();
        return;
      }
      const { json } = format;
      const end = callEnd(context.signal, caller, expiries);
      try {
        yield* headersFirst(context.values, ConnectResponseSchema);
        yield* serveWorker({
          host,
          directory,
          messages: decoded(messages, reader as RequestReader<ConnectRequest>, json),
          draining,
          caller: end.signal,
          abort,
        });
      } catch (error) {
        throw toConnectError(error);
      } finally {
        end.release();
      }
    },
  });
}

async function* decoded(
  messages: AsyncIterable<Uint8Array>,
  reader: RequestReader<ConnectRequest>,
  json: boolean,
): AsyncGenerator<WorkerMessage, void> {
  for await (const bytes of messages) yield reader.decode(bytes, json).message;
}

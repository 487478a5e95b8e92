import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  WorkerService,
} from "../../gen/millrace/v1/worker_service_pb.ts";
import { toConnectError } from "../rpc/connect-error.ts";
import { headersFirst } from "../rpc/framework/early-headers.ts";
import { preparedCall } from "../rpc/framework/prepared-call.ts";
import type { RequestReader } from "../rpc/framework/request-reader.ts";
import { type WorkerMessage, serveWorker } from "../workers/grpc-door.ts";
import type { WorkerDirectory } from "../workers/worker-directory.ts";
import type { WorkerHost } from "../workers/worker-session.ts";

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
  router.service(WorkerService, {
    async *connect(
      requests: AsyncIterable<unknown>,
      context: HandlerContext,
    ): AsyncGenerator<ConnectResponse, void> {
      const { refusal, messages, reader, format, abort } = context.values.get(preparedCall);
      if (refusal !== undefined) throw toConnectError(refusal);
      if (messages === undefined || reader === undefined || format === undefined) {
        // The framework refuses formats that we do not read, as soon as a message is requested.
        await requests[Symbol.asyncIterator]().next();
        return;
      }
      const { json } = format;
      try {
        yield* headersFirst(context.values, ConnectResponseSchema);
        yield* serveWorker({
          host,
          directory,
          messages: decoded(messages, reader as RequestReader<ConnectRequest>, json),
          draining,
          caller: context.signal,
          abort,
        });
      } catch (error) {
        throw toConnectError(error);
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

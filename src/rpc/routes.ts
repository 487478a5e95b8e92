import { type MessageInitShape, type DescMessage, create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type BatchRequest,
  BatchResponseSchema,
  type DeleteRequest,
  DeleteResponseSchema,
  type GetRequest,
  GetResponseSchema,
  type ListAllRequest,
  ListAllResponseSchema,
  type ListGroupsRequest,
  ListGroupsResponseSchema,
  type ListRequest,
  ListResponseSchema,
  type SendRequest,
  SendResponseSchema,
  type SetRequest,
  SetResponseSchema,
  StreamService,
  type SubscribeRequest,
  type SubscribeResponse,
  type UpdateRequest,
  UpdateResponseSchema,
  type WriteRequest,
  type WriteResponse,
  WriteResponseSchema,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../service/handlers.ts";
import type { Decoded } from "../wire/decoded.ts";
import { frameMessage } from "../wire/messages.ts";
import { toBatchRequest, toUpdateRequest } from "./calls.ts";
import { toConnectError } from "./connect-error.ts";
import { headersFirst } from "./early-headers.ts";
import { type PreparedCall, preparedCall } from "./prepared-call.ts";
import type { RequestReader } from "./request-reader.ts";
import {
  batchResponse,
  deleteResponse,
  getResponse,
  listAllResponse,
  listGroupsResponse,
  listResponse,
  setResponse,
  updateResponse,
} from "./results.ts";
import { answerWrites } from "./write-stream.ts";

/** How long an ended subscription may take to hear why, before its transport is cut, in milliseconds. */
export const FAREWELL_MS = 1000;

/**
 * Registers `millrace.v1.StreamService`: decoded request in, handler, message out. No rule lives here.
 *
 * @param draining Aborted, with the error to tell, when streams of writes have to end.
 */
export function streamRoutes(
  router: ConnectRouter,
  handlers: Handlers,
  draining: AbortSignal,
): void {
  router.service(StreamService, {
    set: unary(SetResponseSchema, async (m: Decoded<SetRequest>) =>
      setResponse(await handlers.set(m)),
    ),
    get: unary(GetResponseSchema, async (m: Decoded<GetRequest>) =>
      getResponse(await handlers.get(m)),
    ),
    update: unary(UpdateResponseSchema, async (m: Decoded<UpdateRequest>) =>
      updateResponse(await handlers.update(toUpdateRequest(m))),
    ),
    delete: unary(DeleteResponseSchema, async (m: Decoded<DeleteRequest>) =>
      deleteResponse(await handlers.delete(m)),
    ),
    batch: unary(BatchResponseSchema, async (m: Decoded<BatchRequest>) =>
      batchResponse(await handlers.batch(toBatchRequest(m))),
    ),
    send: unary(SendResponseSchema, async (m: Decoded<SendRequest>) => {
      await handlers.send(m);
      return {};
    }),
    list: unary(ListResponseSchema, async (m: Decoded<ListRequest>) =>
      listResponse(await handlers.list(m)),
    ),
    listGroups: unary(ListGroupsResponseSchema, async (m: Decoded<ListGroupsRequest>) =>
      listGroupsResponse(await handlers.listGroups(m)),
    ),
    listAll: unary(ListAllResponseSchema, async (m: Decoded<ListAllRequest>) =>
      listAllResponse(await handlers.listAll(m)),
    ),
    subscribe: (_request, context) => subscribe(handlers, context),
    write: (requests, context) => write(handlers, requests, context, draining),
  });
}

function unary<M, Desc extends DescMessage>(
  schema: Desc,
  run: (message: M) => Promise<MessageInitShape<Desc>>,
) {
  return async (_request: unknown, context: HandlerContext) => {
    try {
      const { message } = permitted(context);
      return create(schema, await unlessAborted(() => run(message as M), context.signal));
    } catch (error) {
      throw toConnectError(error);
    }
  };
}

async function* subscribe(
  handlers: Handlers,
  context: HandlerContext,
): AsyncGenerator<SubscribeResponse, void> {
  let farewell: NodeJS.Timeout | undefined;
  try {
    const { message, abort, auth } = permitted(context);
    const request = message as Decoded<SubscribeRequest>;
    const subscription = await handlers.subscribe({ ...request, auth: auth() });
    const close = () => subscription.close();
    context.signal.addEventListener("abort", close, { once: true });
    if (context.signal.aborted) close();
    // A client that reads nothing cannot receive the error, so its stream is reset.
    subscription.onEnd(() => {
      if (subscription.error !== undefined) farewell = setTimeout(abort, FAREWELL_MS);
    });
    try {
      for await (const frame of subscription) yield frameMessage(frame);
    } finally {
      close();
      context.signal.removeEventListener("abort", close);
    }
    context.signal.throwIfAborted();
  } catch (error) {
    throw toConnectError(error);
  } finally {
    clearTimeout(farewell);
  }
}

async function* write(
  handlers: Handlers,
  requests: AsyncIterable<unknown>,
  context: HandlerContext,
  draining: AbortSignal,
): AsyncGenerator<WriteResponse, void> {
  try {
    const { messages, reader, format, throttle } = permitted(context);
    if (messages === undefined || reader === undefined || format === undefined) {
      // What we cannot read, the framework refuses when it is asked to.
      await requests[Symbol.asyncIterator]().next();
      return;
    }
    yield* headersFirst(context.values, WriteResponseSchema);
    yield* answerWrites(
      handlers,
      messages,
      reader as RequestReader<WriteRequest>,
      format.json,
      throttle,
      draining,
      context.signal,
    );
  } catch (error) {
    throw toConnectError(error);
  }
}

/** The prepared call, unless it was refused. */
function permitted(context: HandlerContext): PreparedCall {
  const call = context.values.get(preparedCall);
  if (call.refusal !== undefined) throw call.refusal;
  return call;
}

/** Rejects as soon as the caller's deadline passes or the caller goes; does nothing if it has. */
async function unlessAborted<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([run(), aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  JsonObject,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { StreamService, WriteRequestSchema, WriteResponseSchema } from "millrace/v1";
import { AsyncQueue } from "./async-queue.ts";
import {
  type CallOptions,
  type DoorClient,
  type DoorError,
  type Frames,
  type WriteStream,
  failingAs,
} from "./door.ts";
import * as plain from "./rpc-messages.ts";

/** A streaming call: its responses, and how to cancel it. */
export interface StreamingCall<M> {
  readonly responses: AsyncIterable<M>;
  cancel(): void;
}

/** A protobuf client, whatever the library and protocol. */
export interface Stub {
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): StreamingCall<MessageShape<O>>;
  bidiStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    requests: AsyncIterable<MessageShape<I>>,
    options?: CallOptions,
  ): StreamingCall<MessageShape<O>>;
  toError(error: unknown): DoorError;
  close(): Promise<void>;
}

/** The calls of the service over a protobuf client. */
export function rpcClient(stub: Stub): DoorClient {
  const { method } = StreamService;
  const call = async <I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
    options: CallOptions | undefined,
  ): Promise<MessageShape<O>> =>
    failingAs(stub.unary(desc, create(desc.input, init), options), stub.toError);
  return {
    async set({ data, ...request }, options) {
      const init = { ...plain.expecting(request), data: plain.toValue(data) };
      return plain.written(await call(method.set, init, options));
    },
    async get(request, options) {
      const { item } = await call(method.get, request, options);
      return item === undefined ? undefined : plain.item(item);
    },
    async update({ ops, ...request }, options) {
      const init = { ...plain.expecting(request), ops: ops.map(plain.toOp) };
      const done = await call(method.update, init, options);
      return { ...plain.written(done), errors: done.errors.map(plain.opError) };
    },
    async delete(request, options) {
      const done = await call(method.delete, plain.expecting(request), options);
      const { oldValue, position } = done;
      return {
        oldValue: plain.optionalJson(oldValue),
        position: position === undefined ? undefined : plain.position(position),
        ...plain.repetition(done),
      };
    },
    async batch({ mutations, ...request }, options) {
      const init = { ...request, mutations: mutations.map(plain.toMutation) };
      const done = await call(method.batch, init, options);
      return {
        results: done.results.map(plain.mutationResult),
        position: plain.position(done.position),
        ...plain.repetition(done),
      };
    },
    async send({ data, ...request }, options) {
      await call(method.send, { ...request, data: plain.toValue(data) }, options);
    },
    async list(request, options) {
      const { items, position, nextPageToken } = await call(method.list, request, options);
      return { items: items.map(plain.item), position: plain.position(position), nextPageToken };
    },
    async history({ fromRevision, toRevision, ...request }, options) {
      const init = {
        ...request,
        ...(fromRevision !== undefined && { fromRevision: BigInt(fromRevision) }),
        ...(toRevision !== undefined && { toRevision: BigInt(toRevision) }),
      };
      const { changes, oldest, head, nextPageToken } = await call(method.history, init, options);
      return {
        changes: changes.map(plain.change),
        oldest: oldest === undefined ? undefined : plain.position(oldest),
        head: plain.position(head),
        nextPageToken,
      };
    },
    async listGroups(request, options) {
      const { groups, nextPageToken } = await call(method.listGroups, request, options);
      return { groups, nextPageToken };
    },
    async listAll(request = {}, options) {
      const { streams, count, nextPageToken } = await call(method.listAll, request, options);
      return {
        streams: streams.map(({ streamName, groups }) => ({ streamName, groups })),
        count: Number(count),
        nextPageToken,
      };
    },
    async subscribe({ resumeFrom, ...request }, options): Promise<Frames> {
      const init =
        resumeFrom === undefined
          ? request
          : { ...request, resumeFrom: plain.toPosition(resumeFrom) };
      const message = create(method.subscribe.input, init);
      const streaming = stub.serverStream(method.subscribe, message, options);
      const responses = streaming.responses[Symbol.asyncIterator]();
      return {
        async next() {
          const response = await failingAs(responses.next(), stub.toError);
          return response.done === true
            ? { done: true, value: undefined }
            : { done: false, value: plain.frame(response.value) };
        },
        async return() {
          streaming.cancel();
          await responses.next().catch(() => undefined);
          return { done: true, value: undefined };
        },
      };
    },
    write: (options) => writeStream(stub, options),
    close: () => stub.close(),
  };
}

function writeStream(stub: Stub, options: CallOptions | undefined): WriteStream {
  const requests = new AsyncQueue<MessageShape<typeof WriteRequestSchema>>();
  const streaming = stub.bidiStream(StreamService.method.write, requests, options);
  const responses = streaming.responses[Symbol.asyncIterator]();
  return {
    send: (request) => requests.push(fromJson(WriteRequestSchema, request)),
    end: () => requests.end(),
    async next() {
      const response = await failingAs(responses.next(), stub.toError);
      return response.done === true
        ? undefined
        : (toJson(WriteResponseSchema, response.value) as JsonObject);
    },
    async cancel() {
      streaming.cancel();
      requests.end();
      await responses.next().catch(() => undefined);
    },
  };
}

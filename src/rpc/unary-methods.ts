import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import type { GroupKey } from "../core/names.ts";
import type { Caller } from "../rights/caller.ts";
import type { Handlers } from "../service/handlers.ts";
import { compileBinaryDecoder } from "../wire/request/binary-decoder.ts";
import { compileJsonDecoder, compileParsedJsonDecoder } from "../wire/request/json-decoder.ts";
import type { Decoded } from "../wire/request/decoded.ts";
import { withMessageOps } from "../wire/request/typed-ops.ts";
import {
  EMPTY_ENVELOPE,
  batchEnvelope,
  deletedEnvelope,
  groupsEnvelope,
  historyEnvelope,
  itemEnvelope,
  listEnvelope,
  setEnvelope,
  streamsEnvelope,
  updateEnvelope,
} from "../wire/response/binary.ts";
import {
  EMPTY_JSON,
  batchJson,
  deletedJson,
  groupsJson,
  historyJson,
  itemJson,
  listJson,
  setJson,
  streamsJson,
  updateJson,
  withPlainNumbers,
} from "../wire/response/json.ts";
import { toBatchRequest, toUpdateRequest } from "./to-requests.ts";

const { method } = StreamService;

/**
 * A unary method: decodes the request, calls the handler and encodes the response. Both the fast
 * path and the framework path use it.
 */
export interface UnaryMethod {
  readonly of: DescMethod;
  /**
   * Binary message -> response with its gRPC prefix.
   *
   * @throws StreamError for an invalid message.
   */
  readonly binary: (message: Uint8Array, caller: Caller) => Promise<Uint8Array>;
  /** JSON -> JSON. @throws StreamError for an invalid message. */
  readonly json: (message: Uint8Array, caller: Caller) => Promise<string>;
  /** Decoded message -> response with its gRPC prefix. */
  readonly decoded: (message: unknown, caller: Caller) => Promise<Uint8Array>;
  /** Parsed JSON -> the call, for sockets. @throws StreamError for an invalid message. */
  readonly prepared: (message: unknown) => DecodedCall;
}

/** A call whose request is decoded. */
export interface DecodedCall {
  /** Whether it changes nothing. */
  readonly isRead: boolean;
  /** The group that it is about; undefined when it is about several. */
  readonly group: GroupKey | undefined;
  /** Makes the call. @returns the response as JSON with plain numbers. */
  run(caller: Caller): Promise<string>;
}

/** The encoders of a result. */
interface Forms<R> {
  readonly envelope: (result: R) => Uint8Array;
  readonly json: (result: R) => string;
}

/** The encoders of a result that depend on whether its reader gets authors. */
interface FormsForReaders<R> {
  readonly envelope: (result: R, withAuthor: boolean) => Uint8Array;
  readonly json: (result: R, withAuthor: boolean) => string;
}

/** A request that names a stream. */
interface AboutStream {
  readonly streamName: string;
}

/** The forms for readers that get authors and for those that do not: no call creates a closure. */
function forReaders<R>(
  handlers: Handlers,
  { envelope, json }: FormsForReaders<R>,
): (caller: Caller, request: AboutStream) => Forms<R> {
  const of = (withAuthor: boolean): Forms<R> => ({
    envelope: (result) => envelope(result, withAuthor),
    json: (result) => json(result, withAuthor),
  });
  const [whole, bare] = [of(true), of(false)];
  return (caller, { streamName }) => (handlers.seesAuthors(caller, streamName) ? whole : bare);
}

/** Builds the unary methods of `millrace.v1.StreamService` over the handlers. */
export function unaryMethods(handlers: Handlers): UnaryMethod[] {
  return [
    unary(method.set, (m, caller) => handlers.set(m, caller), {
      envelope: setEnvelope,
      json: setJson,
    }),
    unary(
      method.get,
      (m, caller) => handlers.get(m, caller),
      forReaders(handlers, { envelope: itemEnvelope, json: itemJson }),
    ),
    unary(method.update, async (m, caller) => handlers.update(toUpdateRequest(m), caller), {
      envelope: updateEnvelope,
      json: updateJson,
    }),
    unary(method.delete, (m, caller) => handlers.delete(m, caller), {
      envelope: deletedEnvelope,
      json: deletedJson,
    }),
    unary(method.batch, async (m, caller) => handlers.batch(toBatchRequest(m), caller), {
      envelope: batchEnvelope,
      json: batchJson,
    }),
    unary(method.send, (m, caller) => handlers.send(m, caller), {
      envelope: () => EMPTY_ENVELOPE,
      json: () => EMPTY_JSON,
    }),
    unary(
      method.list,
      (m, caller) => handlers.list(m, caller),
      forReaders(handlers, { envelope: listEnvelope, json: listJson }),
    ),
    unary(
      method.history,
      (m, caller) => handlers.history(m, caller),
      forReaders(handlers, { envelope: historyEnvelope, json: historyJson }),
    ),
    unary(method.listGroups, (m, caller) => handlers.listGroups(m, caller), {
      envelope: groupsEnvelope,
      json: groupsJson,
    }),
    unary(method.listAll, (m, caller) => handlers.listAll(m, caller), {
      envelope: streamsEnvelope,
      json: streamsJson,
    }),
  ];
}

function unary<I extends DescMessage, R>(
  of: DescMethod & { readonly input: I },
  run: (message: Decoded<MessageShape<I>>, caller: Caller) => Promise<R>,
  forms: Forms<R> | ((caller: Caller, request: Decoded<MessageShape<I>>) => Forms<R>),
): UnaryMethod {
  const decodeBinary = compileBinaryDecoder(of.input);
  const decodeJson = compileJsonDecoder(of.input);
  const decodeParsed = compileParsedJsonDecoder(of.input);
  const isRead = of.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  const formsFor = typeof forms === "function" ? forms : () => forms;
  return {
    of,
    // Not async: each layer of promises around a call costs.
    binary(message, caller) {
      const request = decodeBinary(message);
      return run(request, caller).then(formsFor(caller, request).envelope);
    },
    json(message, caller) {
      const request = decodeJson(message);
      return run(request, caller).then(formsFor(caller, request).json);
    },
    decoded(message, caller) {
      const request = message as Decoded<MessageShape<I>>;
      return run(request, caller).then(formsFor(caller, request).envelope);
    },
    prepared(parsed) {
      const message = decodeParsed(withMessageOps(parsed));
      return {
        isRead,
        group: groupOf(message),
        run: async (caller) => {
          const result = await run(message, caller);
          return withPlainNumbers(() => formsFor(caller, message).json(result));
        },
      };
    },
  };
}

function groupOf(message: object): GroupKey | undefined {
  return "streamName" in message && "groupId" in message ? (message as GroupKey) : undefined;
}

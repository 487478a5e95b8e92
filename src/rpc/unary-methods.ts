import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../service/handlers.ts";
import { compileBinaryDecoder } from "../wire/request/binary-decoder.ts";
import { compileJsonDecoder } from "../wire/request/json-decoder.ts";
import type { Decoded } from "../wire/request/decoded.ts";
import {
  EMPTY_ENVELOPE,
  batchEnvelope,
  deletedEnvelope,
  groupsEnvelope,
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
  itemJson,
  listJson,
  setJson,
  streamsJson,
  updateJson,
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
  readonly binary: (message: Uint8Array) => Promise<Uint8Array>;
  /** JSON -> JSON. @throws StreamError for an invalid message. */
  readonly json: (message: Uint8Array) => Promise<string>;
  /** Decoded message -> response with its gRPC prefix. */
  readonly decoded: (message: unknown) => Promise<Uint8Array>;
}

/** The encoders of a result. */
interface Forms<R> {
  readonly envelope: (result: R) => Uint8Array;
  readonly json: (result: R) => string;
}

/** Builds the unary methods of `millrace.v1.StreamService` over the handlers. */
export function unaryMethods(handlers: Handlers): UnaryMethod[] {
  return [
    unary(method.set, (m) => handlers.set(m), { envelope: setEnvelope, json: setJson }),
    unary(method.get, (m) => handlers.get(m), { envelope: itemEnvelope, json: itemJson }),
    unary(method.update, async (m) => handlers.update(toUpdateRequest(m)), {
      envelope: updateEnvelope,
      json: updateJson,
    }),
    unary(method.delete, (m) => handlers.delete(m), {
      envelope: deletedEnvelope,
      json: deletedJson,
    }),
    unary(method.batch, async (m) => handlers.batch(toBatchRequest(m)), {
      envelope: batchEnvelope,
      json: batchJson,
    }),
    unary(method.send, (m) => handlers.send(m), {
      envelope: () => EMPTY_ENVELOPE,
      json: () => EMPTY_JSON,
    }),
    unary(method.list, (m) => handlers.list(m), { envelope: listEnvelope, json: listJson }),
    unary(method.listGroups, (m) => handlers.listGroups(m), {
      envelope: groupsEnvelope,
      json: groupsJson,
    }),
    unary(method.listAll, (m) => handlers.listAll(m), {
      envelope: streamsEnvelope,
      json: streamsJson,
    }),
  ];
}

function unary<I extends DescMessage, R>(
  of: DescMethod & { readonly input: I },
  run: (message: Decoded<MessageShape<I>>) => Promise<R>,
  { envelope, json }: Forms<R>,
): UnaryMethod {
  const decodeBinary = compileBinaryDecoder(of.input);
  const decodeJson = compileJsonDecoder(of.input);
  return {
    of,
    // Not async: each layer of promises around a call costs.
    binary: (message) => run(decodeBinary(message)).then(envelope),
    json: (message) => run(decodeJson(message)).then(json),
    decoded: (message) => run(message as Decoded<MessageShape<I>>).then(envelope),
  };
}

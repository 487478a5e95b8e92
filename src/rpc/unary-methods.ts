import {
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
  create,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import {
  ListAllResponseSchema,
  ListGroupsResponseSchema,
  StreamService,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../service/handlers.ts";
import { compileBinaryDecoder } from "../wire/decode-binary.ts";
import { compileJsonDecoder } from "../wire/decode-json.ts";
import type { Decoded } from "../wire/decoded.ts";
import {
  EMPTY_ENVELOPE,
  batchEnvelope,
  deletedEnvelope,
  itemEnvelope,
  listEnvelope,
  setEnvelope,
  updateEnvelope,
} from "../wire/response-bytes.ts";
import {
  EMPTY_JSON,
  batchJson,
  deletedJson,
  itemJson,
  listJson,
  setJson,
  updateJson,
} from "../wire/response-json.ts";
import { toBatchRequest, toUpdateRequest } from "./calls.ts";
import { listAllResponse, listGroupsResponse } from "./results.ts";

const PREFIX_BYTES = 5;
const { method } = StreamService;

/** A call that takes one message and gives one: decodes, runs, and encodes, all in one go. */
export interface UnaryMethod {
  readonly of: DescMethod;
  /** Takes an encoded message; gives one with the prefix of gRPC. @throws StreamError for what is none. */
  readonly binary: (message: Uint8Array) => Promise<Uint8Array>;
  /** Takes JSON, and gives it. @throws StreamError for what is none. */
  readonly json: (message: Uint8Array) => Promise<string>;
}

/** How results are written. */
interface Forms<R> {
  readonly envelope: (result: R) => Uint8Array;
  readonly json: (result: R) => string;
}

/** All of them, over the handlers. */
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
    unary(
      method.listGroups,
      async (m) => listGroupsResponse(await handlers.listGroups(m)),
      byLibrary(ListGroupsResponseSchema),
    ),
    unary(
      method.listAll,
      async (m) => listAllResponse(await handlers.listAll(m)),
      byLibrary(ListAllResponseSchema),
    ),
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
  };
}

/** Of calls that are seldom. */
function byLibrary<Desc extends DescMessage>(schema: Desc): Forms<MessageInitShape<Desc>> {
  return {
    envelope: (init) => enveloped(toBinary(schema, create(schema, init))),
    json: (init) => toJsonString(schema, create(schema, init)),
  };
}

function enveloped(message: Uint8Array): Buffer {
  const envelope = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  envelope[0] = 0;
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, PREFIX_BYTES);
  return envelope;
}

import {
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  type ServerReflectionRequest as RequestV1,
  ServerReflection as ServerReflectionV1,
  ServerReflectionResponseSchema as ResponseV1Schema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  type ServerReflectionRequest as RequestV1Alpha,
  ServerReflection as ServerReflectionV1Alpha,
  ServerReflectionResponseSchema as ResponseV1AlphaSchema,
} from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { toConnectError } from "../connect-error.ts";
import { headersFirst } from "../framework/early-headers.ts";
import { type EncodedFiles, type Schema, createSchema } from "./reflection-schema.ts";
import { preparedCall } from "../framework/prepared-call.ts";

/**
 * Files that no service imports but clients request: error details, and types that `Any` may hold.
 */
const COMMON_FILES = [
  file_google_rpc_error_details,
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
];

/**
 * Registers `grpc.reflection.v1.ServerReflection` and the older `v1alpha`, which describe every
 * service of the router, themselves included.
 *
 * A response with a file includes all its imports, so that a client needs one request per service.
 * Each request of a stream gets its response, in order; an unknown name gets an error of its own
 * and the stream continues.
 *
 * @param draining Aborted when open streams have to end, because clients may keep them open for as
 *   long as they live; its reason is their error.
 */
export function reflectionRoutes(router: ConnectRouter, draining?: AbortSignal): void {
  let built: Schema | undefined;
  // Built on the first request: by then every service is registered.
  const schema = () =>
    (built ??= createSchema(
      router.handlers.map((handler) => handler.service),
      COMMON_FILES,
    ));
  router.service(ServerReflectionV1, {
    async *serverReflectionInfo(requests, context) {
      yield* headersFirst(context.values, ResponseV1Schema);
      yield* responses<RequestV1>(
        schema,
        until(decodedRequests(requests, context), context.signal, draining),
      );
    },
  });
  router.service(ServerReflectionV1Alpha, {
    async *serverReflectionInfo(requests, context) {
      yield* headersFirst(context.values, ResponseV1AlphaSchema);
      yield* responses<RequestV1Alpha>(
        schema,
        until(decodedRequests(requests, context), context.signal, draining),
      );
    },
  });
}

/** A request of either version: their messages have the same shape. */
type Request = RequestV1 | RequestV1Alpha;

/** The part of a response that depends on the request. */
type MessageResponse =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: ExtensionNumbers }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

interface ExtensionNumbers {
  baseTypeName: string;
  extensionNumber: number[];
}

/** The requests as the service decodes them, or as the framework does if the service does not. */
async function* decodedRequests<R extends Request>(
  requests: AsyncIterable<R>,
  { values }: HandlerContext,
): AsyncGenerator<R, void> {
  const { refusal, messages, reader, format, throttle } = values.get(preparedCall);
  if (refusal !== undefined) throw toConnectError(refusal);
  if (messages === undefined || reader === undefined || format === undefined) {
    yield* requests;
    return;
  }
  try {
    for await (const bytes of messages) {
      throttle?.call();
      yield reader.decode(bytes, format.json) as R;
    }
  } catch (error) {
    throw toConnectError(error);
  }
}

async function* responses<R extends Request>(schema: () => Schema, requests: AsyncIterable<R>) {
  for await (const request of requests) {
    yield {
      validHost: request.host,
      originalRequest: request,
      messageResponse: respond(schema(), request.messageRequest),
    };
  }
}

function respond(schema: Schema, request: Request["messageRequest"]): MessageResponse {
  switch (request.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: schema.services.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return files(
        schema.fileOf(request.value),
        "file_by_filename is not known; it may be a file that another response named.",
      );
    case "fileContainingSymbol":
      return files(
        schema.fileOfSymbol(request.value),
        "file_containing_symbol is not known; it may be a full name, such as package.Service or package.Message.",
      );
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      return files(
        schema.fileOfExtension(containingType, extensionNumber),
        "file_containing_extension is not known; it may be a message's full name and the field number of an extension of it.",
      );
    }
    case "allExtensionNumbersOfType": {
      const numbers = schema.extensionNumbers(request.value);
      if (numbers === undefined) {
        return failure(
          Code.NotFound,
          "all_extension_numbers_of_type is not known; it may be a message's full name.",
        );
      }
      const value = { baseTypeName: request.value, extensionNumber: Array.from(numbers) };
      return { case: "allExtensionNumbersResponse", value };
    }
    case undefined:
      return failure(
        Code.Unimplemented,
        "message_request is missing or of an unknown kind; it may be list_services, file_by_filename, " +
          "file_containing_symbol, file_containing_extension or all_extension_numbers_of_type.",
      );
  }
}

function files(found: EncodedFiles | undefined, notFound: string): MessageResponse {
  if (found === undefined) return failure(Code.NotFound, notFound);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: Array.from(found) } };
}

function failure(code: Code, errorMessage: string): MessageResponse {
  return { case: "errorResponse", value: { errorCode: code, errorMessage } };
}

/** The requests, until the caller disconnects, its deadline passes or the service drains. */
async function* until<T>(
  requests: AsyncIterable<T>,
  signal: AbortSignal,
  draining: AbortSignal | undefined,
): AsyncGenerator<T, void> {
  const iterator = requests[Symbol.asyncIterator]();
  let wake = () => {};
  const onDraining = () => wake();
  // The consumer may be blocked on a client that is gone, and never ask for the next request.
  const onAbort = () => {
    draining?.removeEventListener("abort", onDraining);
    wake();
    void iterator.return?.().catch(() => {});
  };
  signal.addEventListener("abort", onAbort, { once: true });
  draining?.addEventListener("abort", onDraining);
  if (signal.aborted) onAbort();
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        if (signal.aborted || draining?.aborted) wake();
        else iterator.next().then(resolve, reject);
      });
      signal.throwIfAborted();
      if (draining?.aborted) throw toConnectError(draining.reason);
      if (next === undefined || next.done) return;
      yield next.value;
    }
  } finally {
    // `return` is not called on the requests while the client is there: that would cut the stream
    // before its error is sent.
    signal.removeEventListener("abort", onAbort);
    draining?.removeEventListener("abort", onDraining);
  }
}

import { create } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Code, StreamError } from "../core/errors.ts";
import { RETRY_AFTER_MS, retryAfterSeconds } from "../limits/refusals.ts";

/** Domain of every `google.rpc.ErrorInfo` of the service. */
const ERROR_DOMAIN = "millrace";

const CODES: Record<Code, ConnectCode> = {
  invalid_argument: ConnectCode.InvalidArgument,
  aborted: ConnectCode.Aborted,
  unauthenticated: ConnectCode.Unauthenticated,
  permission_denied: ConnectCode.PermissionDenied,
  resource_exhausted: ConnectCode.ResourceExhausted,
  unavailable: ConnectCode.Unavailable,
  failed_precondition: ConnectCode.FailedPrecondition,
  internal: ConnectCode.Internal,
};

/**
 * Converts any failure to what the protocols carry: code, sentence, and ErrorInfo with the reason.
 */
export function toConnectError(error: unknown): ConnectError {
  // Cancellations and deadlines come from the protocol layer in this form.
  if (error instanceof ConnectError) return error;
  const known = StreamError.from(error);
  const { code, message, reason, metadata, cause } = known;
  const info = create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata });
  return new ConnectError(
    message,
    CODES[code],
    retryHeaders(known),
    [{ desc: ErrorInfoSchema, value: info }],
    cause,
  );
}

/** The headers or trailers that say when to retry; undefined when the error names no time. */
export function retryHeaders(error: StreamError): Record<string, string> | undefined {
  const seconds = retryAfterSeconds(error);
  if (seconds === undefined) return undefined;
  // gRPC clients with a retry policy wait for this time.
  const pushback = { "grpc-retry-pushback-ms": error.metadata[RETRY_AFTER_MS] ?? "" };
  return { "retry-after": String(seconds), ...pushback };
}

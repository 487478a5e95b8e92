import type { DescMethod } from "@bufbuild/protobuf";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import { MAX_REQUEST_BYTES } from "./envelope.ts";

/**
 * Largest request message of names, positions and page tokens alone, in bytes, before and after
 * decompression: several times what its fields can need.
 */
export const MAX_SMALL_REQUEST_BYTES = 16 * 1024;

/**
 * How many times as large as it was sent a message may become. Deflate reaches 1,032 at most, so only
 * Brotli can be beyond it.
 */
export const MAX_INFLATION = 1100;
/** What a message may become however small it was sent, in bytes. */
export const FREE_INFLATION_BYTES = 64 * 1024;

const { set, update, batch, send, write } = StreamService.method;
/** Methods whose requests carry values or payloads. */
const LARGE: ReadonlySet<DescMethod> = new Set<DescMethod>([
  ...[set, update, batch, send, write],
  WorkerService.method.connect,
]);

/** Largest request message of a method, in bytes. */
export function maxRequestBytes(method: DescMethod): number {
  return LARGE.has(method) ? MAX_REQUEST_BYTES : MAX_SMALL_REQUEST_BYTES;
}

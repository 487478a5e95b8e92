import type { DescMethod } from "@bufbuild/protobuf";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import { MAX_REQUEST_BYTES } from "./envelope.ts";

/**
 * Largest request message that has only names, positions and page tokens, in bytes, before and
 * after decompression: several times what its fields can need.
 */
export const MAX_SMALL_REQUEST_BYTES = 16 * 1024;

/**
 * Largest ratio of the inflated size of a message to its compressed size. Deflate reaches at most
 * 1,032, so only Brotli can exceed it.
 */
export const MAX_INFLATION = 1100;
/** Inflated size up to which any ratio is allowed, in bytes. */
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

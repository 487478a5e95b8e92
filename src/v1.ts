/** Generated stubs and types of `millrace.v1`, for programs that talk to a server. */
export * from "../gen/millrace/v1/admin_service_pb.ts";
export * from "../gen/millrace/v1/stream_service_pb.ts";
export * from "../gen/millrace/v1/types_pb.ts";
export * from "../gen/millrace/v1/worker_service_pb.ts";

/** Millrace for workers: processes that provide functions to a service over the network. */
export { registerWorker } from "./worker.ts";
export type { Worker, WorkerOptions, WorkerState } from "./worker-api.ts";
export type { CallContext, Handler } from "../functions/handler.ts";
export type { Registration } from "../functions/provider.ts";
export type { CallRequest } from "../service/stream-service.ts";
export type { StreamAdapter } from "../service/stream-adapter.ts";
export type { TriggerRequest } from "../triggers/definition.ts";
export type { GateAnswer, JoinPayload, LeavePayload, StreamPayload } from "../core/payloads.ts";
export type { AuthRequest } from "../core/auth.ts";
export { type FunctionErrorCode, FunctionError } from "../core/function-call.ts";
export type { Json } from "../core/value.ts";

/** Millrace as a library: the service without a port, and the parts to build a store of one's own. */
export type {
  EngineOptions,
  FunctionLimits,
  GateOptions,
  Problem,
  SubscriberQueueLimits as QueueLimits,
  TriggerLimits,
} from "./service/engine.ts";
export type { TriggerReport, TriggerStatus } from "./triggers/trigger-engine.ts";
export type { DeleteTriggerRequest, TriggerPage } from "./service/trigger-administration.ts";
export type { DeadLetter, DeadLetterPage, Replayed } from "./service/dead-letter-box.ts";
export type { StreamAdapter } from "./service/stream-adapter.ts";
export { DEAD_LETTERS } from "./service/dead-letters.ts";
export type { CallContext, Handler } from "./functions/handler.ts";
export type { EndOfRegistration, Registration } from "./functions/provider.ts";
export type { TriggerRequest } from "./triggers/definition.ts";
export type { TriggerCounts } from "./triggers/trigger-counts.ts";
export type { AuthRequest } from "./core/auth.ts";
export type {
  GateAnswer,
  JoinPayload,
  LeavePayload,
  ReadPayload,
  StatePayload,
  StreamPayload,
  SyncPayload,
  WriteGateAnswer,
  WriteMutation,
  WritePayload,
  WriteStep,
} from "./core/payloads.ts";
export type * from "./core/coordinator.ts";
export { type FunctionErrorCode, FunctionError } from "./core/function-call.ts";
export {
  type CallRequest,
  type StreamService,
  type SubscribeRequest,
  createStreamService,
} from "./service/stream-service.ts";
export type {
  BatchResult,
  Change,
  ChangePage,
  DeleteResult,
  Item,
  ItemPage,
  Mutation,
  MutationResult,
  PageOptions,
  SetResult,
  StreamDelta,
  StreamFrame,
  StreamFrames,
  TimeToLiveMs,
  UpdateResult,
  UpdateStep,
} from "./service/library-types.ts";
export type {
  Expectations,
  GroupRequest,
  ItemRequest,
  Keyed,
  ListAllResult,
  ListGroupsResult,
  Repeatable,
} from "./service/requests.ts";
export type { StreamOptions, StreamsOptions } from "./streams/stream-options.ts";
export {
  type PipeTextOptions,
  type PipedText,
  type TextPlace,
  pipeText,
} from "./pipe-text/pipe-text.ts";
export type { TextTarget } from "./pipe-text/text-target.ts";
export { memoryStore } from "./stores/memory/memory-store.ts";
export type * from "./core/idempotency-key.ts";
export type * from "./core/lifetime.ts";
export type * from "./core/store.ts";
export type { ChangeEvent, GroupEvent, TransientEvent, Item as StoredItem } from "./core/change.ts";
export { MAX_KEYS, keyIdOf, rememberedOf, repetitionOf } from "./core/idempotency.ts";
export type { GroupKey } from "./core/names.ts";
export { applyOps } from "./core/apply-ops.ts";
export type { OpError } from "./core/ops.ts";
export type * from "./core/outbox.ts";
export { GroupClock, nextTimestamp } from "./core/group-clock.ts";
export { type MemoryOutbox, createMemoryOutbox } from "./core/memory-outbox.ts";
export type { LogRange } from "./core/log-range.ts";
export type { Position } from "./core/position.ts";
export { type Code, type Reason, REASONS, StreamError } from "./core/errors.ts";
export { type Json, Value } from "./core/value.ts";

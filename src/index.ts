/** Millrace as a library: the service without a port, and the parts to build a store of one's own. */
export type { EngineOptions, QueueLimits } from "./service/engine.ts";
export { type StreamService, createStreamService } from "./service/stream-service.ts";
export type {
  DeleteResult,
  Item,
  ItemPage,
  Mutation,
  MutationResult,
  PageOptions,
  SetResult,
  StreamFrame,
  UpdateResult,
  UpdateStep,
} from "./service/plain.ts";
export type {
  Expectations,
  GroupRequest,
  ItemRequest,
  ListAllResult,
  ListGroupsResult,
} from "./service/requests.ts";
export { memoryStore } from "./stores/memory/memory-store.ts";
export type * from "./core/store.ts";
export type { ChangeEvent, GroupEvent, TransientEvent, Item as StoredItem } from "./core/change.ts";
export type { GroupKey } from "./core/names.ts";
export type { OpError } from "./core/ops.ts";
export type { Position } from "./core/position.ts";
export { type Code, type Reason, REASONS, StreamError } from "./core/errors.ts";
export { type Json, Value } from "./core/value.ts";

import { StreamError } from "../core/errors.ts";
import type { UpdateOp } from "../core/ops.ts";
import { RETRY_AFTER_MS } from "../limits/refusals.ts";
import type { GatedMutation, GatedWrite } from "../triggers/gated-write.ts";
import type { GateCaller } from "../triggers/payloads.ts";

/** Most bytes of writes that wait for gates, in all. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Most of them for one connection: a batch of the largest size fits. */
const MAX_CONNECTION_BYTES = 8 * 1024 * 1024;
/** What a write takes beside its values. */
const WRITE_BYTES = 1024;
const RETRY_MS = 1000;

/** Limits the memory of writes that wait for gates, which may take seconds. */
export class GatedBytes {
  readonly #ofConnections = new Map<string, number>();
  #bytes = 0;

  /**
   * Counts a write.
   *
   * @returns Gives its bytes back. To be called once.
   * @throws StreamError OVERLOADED
   */
  hold({ connection: { connectionId } }: GateCaller, write: GatedWrite): () => void {
    const bytes = sizeOf(write);
    const before = this.#ofConnections.get(connectionId) ?? 0;
    if (before + bytes > MAX_CONNECTION_BYTES || this.#bytes + bytes > MAX_BYTES) {
      throw new StreamError(
        "OVERLOADED",
        "Too many writes wait for write gates; the call may be made again in a moment.",
        { metadata: { [RETRY_AFTER_MS]: String(RETRY_MS) } },
      );
    }
    this.#add(connectionId, bytes);
    return () => this.#add(connectionId, -bytes);
  }

  #add(connectionId: string, bytes: number): void {
    this.#bytes += bytes;
    const held = (this.#ofConnections.get(connectionId) ?? 0) + bytes;
    if (held > 0) this.#ofConnections.set(connectionId, held);
    else this.#ofConnections.delete(connectionId);
  }
}

function sizeOf({ data, ops = [], mutations = [] }: GatedWrite): number {
  return (
    WRITE_BYTES +
    (data?.size ?? 0) +
    sizeOfOps(ops) +
    mutations.reduce((sum, mutation) => sum + sizeOfMutation(mutation), 0)
  );
}

function sizeOfMutation(mutation: GatedMutation): number {
  if (mutation.kind === "set") return WRITE_BYTES + (mutation.data?.size ?? 0);
  return mutation.kind === "update" ? WRITE_BYTES + sizeOfOps(mutation.ops) : WRITE_BYTES;
}

function sizeOfOps(ops: readonly UpdateOp[]): number {
  return ops.reduce((sum, op) => sum + 64 + ("value" in op ? op.value.size : 0), 0);
}

import type { Position } from "../../../src/core/position.ts";
import { opsFromJson } from "../../../src/core/op-json.ts";
import { naiveReduce } from "../../core/naive-reduce.ts";
import type { Json } from "./value-text.ts";

/** An item that a client holds. */
interface Held {
  readonly value: Json;
  readonly revision: number;
  /** The revision is that of a snapshot without revisions: the item may be older. */
  readonly bare: true | undefined;
}

/**
 * The items of a client that receives deltas, as it makes them of its frames. They outlive an
 * attempt: one that resumes continues with them.
 *
 * Steps are applied by the naive reducer of the tests, which shares no code with the service.
 */
export class HeldItems {
  #items = new Map<string, Held>();
  /** The parts of a sync so far: a client that is cut between them keeps what it had. */
  #parts = new Map<string, Held>();

  /** The item; undefined when there is none. */
  get(item: string): Held | undefined {
    return this.#items.get(item);
  }

  /** Takes a part of a snapshot. */
  takeSync(frame: {
    readonly items: readonly { item: string; value: Json; revision?: number | undefined }[];
    readonly position: Position;
    readonly first: boolean;
    readonly last: boolean;
  }): void {
    if (frame.first) this.#parts.clear();
    for (const { item, value, revision } of frame.items) {
      const bare = revision === undefined ? true : undefined;
      this.#parts.set(item, { value, revision: revision ?? frame.position.revision, bare });
    }
    if (!frame.last) return;
    this.#items = this.#parts;
    this.#parts = new Map();
  }

  /** Takes a change with its value. */
  takeChange(frame: {
    readonly change: "create" | "update" | "delete";
    readonly item: string;
    readonly value: Json;
    readonly position: Position;
  }): void {
    const { change, item, value, position } = frame;
    if (change === "delete") this.#items.delete(item);
    else this.#items.set(item, { value, revision: position.revision, bare: undefined });
  }

  /** Takes an update that came as steps. @returns the value; undefined when they do not apply. */
  takeDelta(frame: {
    readonly item: string;
    readonly ops: readonly unknown[];
    readonly position: Position;
  }): Json | undefined {
    const before = this.#items.get(frame.item);
    if (before === undefined) return undefined;
    const { value, errors } = naiveReduce(before.value, opsFromJson(frame.ops));
    if (errors.length > 0) return undefined;
    const { revision } = frame.position;
    this.#items.set(frame.item, { value, revision, bare: undefined });
    return value;
  }
}

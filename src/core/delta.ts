import { MAX_OPS, opsFromJson } from "./op-json.ts";
import { leastOpsBytes, opsText } from "./op-text.ts";
import type { UpdateOp } from "./ops.ts";
import { utf8Length } from "./text.ts";
import type { Value } from "./value.ts";

/** What the base revision takes in a frame, in bytes: `,"baseRevision":` and its digits. */
const BASE_BYTES = 24;

/**
 * The steps of an update that took effect, and the revision of the item they apply to. Applied to
 * that item by the reducer, they give its new value exactly.
 *
 * Kept as JSON text, as a Value is: logs store the text, and protocols encode it.
 */
export class Delta {
  /** Revision of the item before the update. */
  readonly baseRevision: number;
  /** The steps as JSON text, in the form that opsFromJson reads. */
  readonly text: string;
  /** Bytes of the text in UTF-8. */
  readonly size: number;
  #ops: readonly UpdateOp[] | undefined;

  private constructor(
    baseRevision: number,
    text: string,
    ops: readonly UpdateOp[] | undefined,
    size = utf8Length(text),
  ) {
    this.baseRevision = baseRevision;
    this.text = text;
    this.size = size;
    this.#ops = ops;
  }

  /** The delta of steps that took effect. */
  static of(baseRevision: number, ops: readonly UpdateOp[]): Delta {
    return new Delta(baseRevision, opsText(ops), ops);
  }

  /**
   * The delta of steps that took effect, if it is smaller than the value that they gave, its base
   * included. Steps that cannot be are not even written as text.
   */
  static smallerThan(
    value: Value,
    baseRevision: number,
    ops: readonly UpdateOp[],
  ): Delta | undefined {
    const most = value.size - BASE_BYTES;
    if (ops.length > MAX_OPS || leastOpsBytes(ops) >= most) return undefined;
    const delta = Delta.of(baseRevision, ops);
    return delta.size < most ? delta : undefined;
  }

  /** A delta as a store reads it back. */
  static trusted(baseRevision: number, text: string): Delta {
    return new Delta(baseRevision, text, undefined);
  }

  /** The same as its text alone: the steps would refer to the request that made them. */
  get bare(): Delta {
    return new Delta(this.baseRevision, this.text, undefined, this.size);
  }

  /** The steps. Parsed at the first use. */
  get ops(): readonly UpdateOp[] {
    this.#ops ??= opsFromJson(JSON.parse(this.text));
    return this.#ops;
  }
}

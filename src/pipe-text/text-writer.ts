import { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { Json } from "../core/value.ts";
import type { UpdateStep } from "../service/library-types.ts";
import { sleep } from "../timers/timers.ts";
import {
  type KeyedUpdate,
  type TextCalls,
  type TextItem,
  type TextTarget,
  callsOf,
  callFailureOf,
  keysOf,
} from "./text-target.ts";

/** Options of a writer. @see PipeTextOptions */
interface WriterOptions {
  readonly start?: readonly UpdateStep[];
  readonly final?: readonly UpdateStep[];
  readonly signal?: AbortSignal;
  readonly retryForMs: number;
}

/** Waits between repetitions of a call, in milliseconds: doubled up to the longest. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;

/**
 * How often one part is refused because others have written the item, before it is sent without an
 * expectation: they may write it all the time.
 */
const MAX_REFUSALS = 5;

/**
 * Writes a text into an item, part by part. Each part is written once, whatever fails and however
 * often it is sent:
 *
 * - Its idempotency key makes a repetition safe that follows an unknown outcome.
 * - The expected revision of the item makes it safe even when the key is forgotten, and prevents that
 *   a write which is delayed on its way takes effect after a later one of somebody else.
 */
export class TextWriter {
  readonly #calls: TextCalls;
  readonly #item: TextItem;
  readonly #path: readonly string[];
  readonly #start: readonly UpdateStep[];
  readonly #final: readonly UpdateStep[];
  readonly #signal: AbortSignal | undefined;
  readonly #retryForMs: number;
  /** Unique, so that the keys of two texts never meet. */
  readonly #id = crypto.randomUUID();
  #writes = 0;
  /** All text that has been written, in case that the service loses it. */
  #text = "";
  /** Position of the last write. */
  #position: Position = { epoch: "", revision: 0 };

  constructor(
    target: TextTarget,
    item: TextItem,
    path: string | readonly string[] | null | undefined,
    { start, final, signal, retryForMs }: WriterOptions,
  ) {
    this.#calls = callsOf(target, item, signal);
    this.#item = item;
    this.#path = keysOf(path);
    const hasDone = this.#path.length > 0 && final === undefined;
    this.#start = start ?? (hasDone ? [this.#mergeBeside({ done: false })] : []);
    this.#final = final ?? (hasDone ? [this.#mergeBeside({ done: true })] : []);
    this.#signal = signal;
    this.#retryForMs = retryForMs;
  }

  /** What has been written. */
  get result(): { readonly position: Position; readonly chars: number } {
    return { position: this.#position, chars: this.#text.length };
  }

  /** Makes the text, with what has been written of it so far. */
  async begin(): Promise<void> {
    const key = this.#path.at(-1);
    const base: UpdateStep =
      key === undefined
        ? { type: "set", path: "", value: this.#text }
        : this.#mergeBeside({ [key]: this.#text });
    await this.#write({ ops: [base, ...this.#start], idempotencyKey: this.#newKey() });
  }

  /** Appends to the text. */
  async append(text: string, isLast: boolean): Promise<void> {
    const appended: UpdateStep = { type: "append", path: this.#path, value: text };
    const more = isLast ? this.#final : [];
    const ops = text === "" ? more : [appended, ...more];
    if (ops.length > 0 && (await this.#appendOnce(ops, text))) return;
    this.#text += text;
    if (ops.length === 0) return;
    // The history is lost: the whole text is written again, then the steps of the end.
    do await this.begin();
    while (more.length > 0 && !(await this.#appendOnce(more, "")));
  }

  /** Appends if the group's history goes on. @returns whether it does. */
  async #appendOnce(ops: readonly UpdateStep[], text: string): Promise<boolean> {
    const idempotencyKey = this.#newKey();
    for (let refusals = 0; ; refusals++) {
      const { epoch: expectedEpoch, revision } = this.#position;
      const expectedRevision = refusals < MAX_REFUSALS ? revision : undefined;
      try {
        await this.#write({ ops, expectedEpoch, expectedRevision, idempotencyKey });
        break;
      } catch (error) {
        const { reason, currentRevision } = callFailureOf(error);
        if (reason === "EPOCH_MISMATCH") return false;
        if (reason !== "REVISION_MISMATCH") throw error;
        if (currentRevision === 0) throw stopped(this.#item, "was deleted");
      }
      if (await this.#isWritten(text)) break;
    }
    this.#text += text;
    return true;
  }

  /**
   * After another write of the item: takes its revision. The write that was refused did not take
   * effect, unless the service has forgotten its key.
   *
   * @returns whether the text is already appended.
   * @throws StreamError REVISION_MISMATCH when the text is not there any more.
   */
  async #isWritten(appended: string): Promise<boolean> {
    const item = await this.#insist(() => this.#calls.read());
    // Gone since: the next write is refused with the reason.
    if (item === undefined) return false;
    const present = memberAt(item.data, this.#path);
    this.#position = { ...this.#position, revision: item.revision };
    if (present === this.#text) return false;
    if (present === this.#text + appended) return true;
    throw stopped(this.#item, "has another text");
  }

  /** Sends an update until it is answered. */
  async #write(update: KeyedUpdate): Promise<void> {
    const { position, errors } = await this.#insist(() => this.#calls.update(update));
    const [failed] = errors;
    if (failed !== undefined) throw stepFailed(failed);
    this.#position = position;
  }

  /** Repeats a call while it fails in a way that may pass. */
  async #insist<T>(call: () => Promise<T>): Promise<T> {
    const endMs = performance.now() + this.#retryForMs;
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      this.#signal?.throwIfAborted();
      try {
        return await call();
      } catch (error) {
        const { isRetryable, retryAfterMs = 0 } = callFailureOf(error);
        // Half of the wait is random, so that texts do not all come back at the same time.
        const pauseMs = Math.max(retryAfterMs, waitMs * (0.5 + Math.random() / 2));
        if (!isRetryable || performance.now() + pauseMs > endMs) throw error;
        await sleep(pauseMs, this.#signal);
      }
    }
  }

  #newKey(): string {
    return `${this.#id}:${this.#writes++}`;
  }

  /** Merges into the object that has the text. */
  #mergeBeside(value: Readonly<Record<string, string | boolean>>): UpdateStep {
    return { type: "merge", path: this.#path.slice(0, -1), value };
  }
}

function memberAt(value: Json, path: readonly string[]): Json | undefined {
  let at: Json | undefined = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string, Json>>)[key];
  }
  return at;
}

function stopped({ itemId }: TextItem, what: string): StreamError {
  return new StreamError(
    "REVISION_MISMATCH",
    `The item ${JSON.stringify(itemId)} ${what} while its text was written; nothing more is written.`,
  );
}

function stepFailed({ code, message }: { readonly code: string; readonly message: string }) {
  return new StreamError("REQUEST_INVALID", `A step of the text has failed: ${message}`, {
    metadata: { field: "path", code },
  });
}

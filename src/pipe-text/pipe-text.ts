import { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import { requestInvalid } from "../service/checks.ts";
import type { UpdateStep } from "../service/library-types.ts";
import { sleep } from "../timers/timers.ts";
import { TextSource } from "./text-source.ts";
import {
  type KeyedResult,
  type KeyedUpdate,
  type TextTarget,
  failureOf,
  keysOf,
  updatesOf,
} from "./text-target.ts";

/** Where a text stands. */
export interface TextPlace {
  readonly streamName: string;
  readonly groupId: string;
  readonly itemId: string;
  /**
   * Keys that lead to the text in the item's value, as in an `append` step: one key or an array of
   * keys. Absent, null, `""` or `[]`: the value is the text.
   */
  readonly path?: string | readonly string[] | null;
}

/** Options of a text. */
export interface PipeTextOptions {
  /** How long text is collected for one write, in milliseconds: 0 to 60,000. Default 30. */
  readonly everyMs?: number;
  /**
   * Steps of the first write, after the one that sets the text to `""`. Default: `done` beside the
   * text becomes false; with steps in `final`, or without a path, none.
   */
  readonly start?: readonly UpdateStep[];
  /**
   * Steps of the last write, after the one that appends the last text. Default: `done` beside the
   * text becomes true; without a path, none.
   */
  readonly final?: readonly UpdateStep[];
  /** Stops writing. The call rejects with its reason; the text stays as it is. */
  readonly signal?: AbortSignal;
  /**
   * How long one write is repeated while it fails, in milliseconds. It has to be shorter than the
   * service's idempotency window of 10 minutes. Default 300,000.
   */
  readonly retryForMs?: number;
}

/** A text that has been written. */
export interface PipedText {
  /** Position of the last write. */
  readonly position: Position;
  /** Length of the text, in UTF-16 units. */
  readonly chars: number;
}

const DEFAULT_EVERY_MS = 30;
const MAX_EVERY_MS = 60_000;
const DEFAULT_RETRY_FOR_MS = 300_000;
/** Waits between repetitions of a write, in milliseconds: doubled up to the longest. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;

/**
 * Writes text as it comes, such as the answer of a language model, into one item: subscribers see it
 * grow, and whoever joins or comes back later has all of it.
 *
 * The first write sets the text to `""`. Then all text of `everyMs` is appended by one update, and
 * the last update also has the `final` steps. Each write has an idempotency key and is repeated
 * after a failure that may pass, such as a lost connection or a restart of the service: no text is
 * lost or doubled. When the group has a new epoch, because the service has lost its history, the
 * whole text so far is written again. No more than 64 Ki characters are read from the source ahead
 * of the store.
 *
 * When the source fails, the text that came before is written, without the `final` steps, and the
 * call rejects with its error.
 *
 * @param target The service in this process, or a client of `millrace.v1.StreamService` from
 *   `@connectrpc/connect`.
 * @param source Chunks of text. They may split surrogate pairs.
 * @throws StreamError (from a client: ConnectError) for a write that is refused, or that still fails
 *   after `retryForMs`; REVISION_MISMATCH when the item was deleted meanwhile; the reason of the
 *   signal; what the source throws. Custom streams refuse idempotency keys.
 */
export async function pipeText(
  target: TextTarget,
  place: TextPlace,
  source: AsyncIterable<string> | Iterable<string>,
  options: PipeTextOptions = {},
): Promise<PipedText> {
  const { everyMs = DEFAULT_EVERY_MS, signal } = options;
  checkMs("everyMs", everyMs, MAX_EVERY_MS);
  checkMs("retryForMs", options.retryForMs ?? 0, Number.MAX_SAFE_INTEGER);
  signal?.throwIfAborted();
  const writer = new TextWriter(target, place, options);
  const text = new TextSource(source);
  try {
    await unlessAborted(writer.begin(), signal);
    for (;;) {
      await unlessAborted(text.untilText(), signal);
      if (!text.isDue) await unlessAborted(untilDue(text, everyMs), signal);
      const taken = text.take();
      const isLast = taken.isLast && text.failure === undefined;
      await unlessAborted(writer.append(taken.text, isLast), signal);
      if (isLast) return writer.result;
      if (text.failure !== undefined) throw text.failure.error;
    }
  } finally {
    text.close();
  }
}

/** Resolves after a time, or as soon as the text is due. */
async function untilDue(text: TextSource, ms: number): Promise<void> {
  const waiting = new AbortController();
  const elapsed = sleep(ms, waiting.signal);
  elapsed.catch(() => {});
  await Promise.race([elapsed, text.untilDue()]);
  waiting.abort();
}

/** Rejects with the reason of the signal as soon as it is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Writes a text, part by part. */
class TextWriter {
  readonly #send: ReturnType<typeof updatesOf>;
  readonly #place: Pick<KeyedUpdate, "streamName" | "groupId" | "itemId">;
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
  #position: Position = { epoch: "", revision: 0 };

  constructor(
    target: TextTarget,
    { path, ...place }: TextPlace,
    { start, final, signal, retryForMs = DEFAULT_RETRY_FOR_MS }: PipeTextOptions,
  ) {
    const { streamName, groupId, itemId } = place;
    this.#send = updatesOf(target);
    this.#place = { streamName, groupId, itemId };
    this.#path = keysOf(path);
    const hasDone = this.#path.length > 0 && final === undefined;
    this.#start = start ?? (hasDone ? [this.#mergeBeside({ done: false })] : []);
    this.#final = final ?? (hasDone ? [this.#mergeBeside({ done: true })] : []);
    this.#signal = signal;
    this.#retryForMs = retryForMs;
  }

  get result(): PipedText {
    return { position: this.#position, chars: this.#text.length };
  }

  /** Makes the text, with what has been written of it so far. */
  async begin(): Promise<void> {
    const key = this.#path.at(-1);
    const base: UpdateStep =
      key === undefined
        ? { type: "set", path: "", value: this.#text }
        : this.#mergeBeside({ [key]: this.#text });
    await this.#write({ ops: [base, ...this.#start] });
  }

  /** Appends to the text. */
  async append(text: string, isLast: boolean): Promise<void> {
    this.#text += text;
    const appended: UpdateStep = { type: "append", path: this.#path, value: text };
    const more = isLast ? this.#final : [];
    for (let ops = text === "" ? more : [appended, ...more]; ops.length > 0; ops = more) {
      try {
        const { created } = await this.#write({ ops, expectedEpoch: this.#position.epoch });
        if (created) throw deleted(this.#place);
        return;
      } catch (error) {
        if (failureOf(error).reason !== "EPOCH_MISMATCH") throw error;
      }
      await this.begin();
    }
  }

  /** Writes once, however often that takes. */
  async #write(update: Pick<KeyedUpdate, "ops" | "expectedEpoch">): Promise<KeyedResult> {
    const keyed: KeyedUpdate = {
      ...this.#place,
      ...update,
      idempotencyKey: `${this.#id}:${this.#writes++}`,
    };
    const endMs = performance.now() + this.#retryForMs;
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      this.#signal?.throwIfAborted();
      try {
        const done = await this.#send(keyed, this.#signal);
        const [failed] = done.errors;
        if (failed !== undefined) throw stepFailed(failed);
        this.#position = done.position;
        return done;
      } catch (error) {
        const { isRetryable, retryAfterMs = 0 } = failureOf(error);
        // Half of the wait is random, so that texts do not all come back at the same time.
        const pauseMs = Math.max(retryAfterMs, waitMs * (0.5 + Math.random() / 2));
        if (!isRetryable || performance.now() + pauseMs > endMs) throw error;
        await sleep(pauseMs, this.#signal);
      }
    }
  }

  /** Merges into the object that has the text. */
  #mergeBeside(value: Readonly<Record<string, string | boolean>>): UpdateStep {
    return { type: "merge", path: this.#path.slice(0, -1), value };
  }
}

function checkMs(field: string, ms: number, maxMs: number): void {
  if (Number.isInteger(ms) && ms >= 0 && ms <= maxMs) return;
  throw requestInvalid(field, `${field} is ${ms}; it may be an integer from 0 to ${maxMs}.`);
}

function deleted({ itemId }: { readonly itemId: string }): StreamError {
  return new StreamError(
    "REVISION_MISMATCH",
    `The item ${JSON.stringify(itemId)} was deleted while its text was written; nothing more is written.`,
  );
}

function stepFailed({ code, message }: { readonly code: string; readonly message: string }) {
  return new StreamError("REQUEST_INVALID", `The text cannot be written: ${message}`, {
    metadata: { field: "path", code },
  });
}

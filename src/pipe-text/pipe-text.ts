import type { Position } from "../core/position.ts";
import { requestInvalid } from "../service/checks.ts";
import type { UpdateStep } from "../service/library-types.ts";
import { sleep } from "../timers/timers.ts";
import { TextSource } from "./text-source.ts";
import type { TextItem, TextTarget } from "./text-target.ts";
import { TextWriter } from "./text-writer.ts";

/** Where a text stands. */
export interface TextPlace extends TextItem {
  /**
   * Keys that lead to the text in the item's value, as in an `append` step: one key or an array of
   * keys. Absent, null, `""` or `[]`: the value is the text.
   */
  readonly path?: string | readonly string[] | null;
}

/** Options of a text. */
export interface PipeTextOptions {
  /**
   * Shortest time from one write to the next, in milliseconds: 0 to 60,000. What comes in between is
   * written together. Default 30.
   */
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
  /**
   * Stops writing: the call rejects with its reason, and the text stays as it is. A write that is
   * under way may still take effect, unless the item is written before.
   */
  readonly signal?: AbortSignal;
  /**
   * How long one write is repeated while the service is unavailable, in milliseconds. Default
   * 300,000.
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

/**
 * Writes text as it comes, such as the answer of a language model, into one item: subscribers see it
 * grow, and a subscriber that joins or resumes later receives all of it.
 *
 * The first write sets the text to `""`. Then what comes within `everyMs` is appended by one update,
 * and the last update also has the `final` steps. Each write has an idempotency key, expects the
 * item as the write before it left it, and is repeated after a failure that may pass, such as a lost
 * connection or a restart of the service: no text is lost or doubled. When the group has a new
 * epoch, because the service has lost its history, the whole text so far is written again. Others
 * may write beside the text meanwhile. No more than 64 Ki characters are read from the source ahead
 * of the store.
 *
 * When the source fails, the text that came before is written, without the `final` steps, and the
 * call rejects with its error.
 *
 * @param target The service in this process, or a client of `millrace.v1.StreamService` from
 *   `@connectrpc/connect`. Its caller needs the rights to write the item and to read it.
 * @param source Chunks of text. They may split surrogate pairs.
 * @throws StreamError (from a client: ConnectError) for a write that is refused, or that still fails
 *   after `retryForMs`. StreamError REVISION_MISMATCH when the item was deleted, or the text was
 *   replaced, meanwhile. The reason of the signal. What the source throws. Custom streams are
 *   refused.
 */
export async function pipeText(
  target: TextTarget,
  { path, ...item }: TextPlace,
  source: AsyncIterable<string> | Iterable<string>,
  options: PipeTextOptions = {},
): Promise<PipedText> {
  const { everyMs = DEFAULT_EVERY_MS, retryForMs = DEFAULT_RETRY_FOR_MS, signal } = options;
  checkMs("everyMs", everyMs, MAX_EVERY_MS);
  checkMs("retryForMs", retryForMs, Number.MAX_SAFE_INTEGER);
  signal?.throwIfAborted();
  const writer = new TextWriter(target, item, path, { ...options, retryForMs });
  const text = new TextSource(source);
  try {
    let nextMs = performance.now() + everyMs;
    await unlessAborted(writer.begin(), signal);
    for (;;) {
      await unlessAborted(text.untilText(), signal);
      if (!text.isDue) await unlessAborted(untilDue(text, nextMs - performance.now()), signal);
      const taken = text.take();
      const isLast = taken.isLast && text.failure === undefined;
      nextMs = performance.now() + everyMs;
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
  if (ms <= 0) return;
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

function checkMs(field: string, ms: number, maxMs: number): void {
  if (Number.isInteger(ms) && ms >= 0 && ms <= maxMs) return;
  throw requestInvalid(field, `${field} is ${ms}; it may be an integer from 0 to ${maxMs}.`);
}

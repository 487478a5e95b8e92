import { randomUUID } from "node:crypto";
import { Fifo } from "../core/fifo.ts";
import { FunctionError } from "../core/function-call.ts";
import { overriddenStream } from "../core/overrides.ts";
import { type Cause, currentCause } from "../functions/cause.ts";
import type { Invocation, Provider } from "../functions/provider.ts";
import type { WorkerLimits } from "./worker-limits.ts";
import { parseNested } from "../core/nesting.ts";

/** A call on its way to a worker. */
export interface OutgoingCall extends Invocation {
  /** A UUID: workers in Rust read it as one, and drop a call whose id is anything else. */
  readonly invocationId: string;
  readonly cause: Cause;
}

/** What came of a call. */
export type CallOutcome =
  | { readonly result: string | undefined }
  | { readonly error: { readonly code: string; readonly message: string } };

/** The way to a worker. */
export interface WorkerLine {
  /** What the worker calls itself; empty while it has not said. */
  readonly workerName: string;
  /** Largest payload with its metadata that it can take, in bytes of JSON text. */
  readonly maxPayloadBytes: number;
  /** Bytes that it has not read. */
  readonly unreadBytes: number;
  /** Sends it a call. */
  invoke(call: OutgoingCall): void;
  /** Tells it that nobody waits for an answer any more. */
  cancel(invocationId: string): void;
}

interface Pending {
  readonly call: OutgoingCall;
  /** Of its payload and metadata. */
  readonly bytes: number;
  readonly resolve: (result: string | undefined) => void;
  readonly reject: (error: FunctionError) => void;
}

/**
 * The calls that a worker has to answer. It gets no more at once than it grants; the others wait, within
 * bounds. A call that nobody waits for any more still takes its place until the worker has answered it:
 * it is still at work on it.
 */
export class Invocations implements Provider {
  readonly #line: WorkerLine;
  readonly #limits: WorkerLimits;
  readonly #waiting = new Fifo<Pending>();
  #waitingBytes = 0;
  /** Sent, and not answered; undefined when nobody waits. */
  readonly #sent = new Map<string, Pending | undefined>();
  /** How many calls it takes at once. */
  #credits: number;
  #refusal: FunctionError | undefined;
  #onIdle = () => {};

  /** @param credits How many calls it takes at once; undefined: as many as the limits allow. */
  constructor(line: WorkerLine, limits: WorkerLimits, credits: number | undefined) {
    this.#line = line;
    this.#limits = limits;
    this.#credits = Math.min(credits ?? limits.maxOutstanding, limits.maxOutstanding);
  }

  /** @see Provider */
  get workerName(): string {
    return this.#line.workerName;
  }

  /** Calls that it has not answered. */
  get outstanding(): number {
    return this.#sent.size;
  }

  /** @see Provider */
  invoke(invocation: Invocation): Promise<string | undefined> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    const bytes = Buffer.byteLength(invocation.payload) + (invocation.metadata?.length ?? 0);
    if (bytes > this.#line.maxPayloadBytes) {
      const sentence = `The payload for ${invocation.functionId} is too large for its worker; it may have up to ${this.#line.maxPayloadBytes} bytes as JSON text.`;
      return Promise.reject(new FunctionError("payload_too_large", sentence));
    }
    const { maxWaiting, maxWaitingBytes } = this.#limits;
    const isFull = this.#waiting.length >= maxWaiting || this.#waitingBytes >= maxWaitingBytes;
    if (isFull) {
      const sentence = `The worker of ${invocation.functionId} has too many calls; it may be called again later.`;
      return Promise.reject(new FunctionError("overloaded", sentence, { isUnserved: true }));
    }
    const call = { ...invocation, invocationId: randomUUID(), cause: currentCause() };
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, bytes, resolve, reject });
      this.#waitingBytes += bytes;
      // Whoever called hears from the registry; the worker hears it from here.
      invocation.signal.addEventListener("abort", () => this.#giveUp(call.invocationId), {
        once: true,
      });
      this.pump();
    });
  }

  /** Takes an answer. One to a call that was never made, or was answered, is ignored. */
  answer(invocationId: string, outcome: CallOutcome): void {
    const pending = this.#sent.get(invocationId);
    if (!this.#sent.delete(invocationId)) return;
    if (pending !== undefined) settle(pending, outcome);
    this.pump();
    if (this.#sent.size === 0) this.#onIdle();
  }

  /** The worker does not have the function that it was called for: others may. */
  answerMissing(invocationId: string): string | undefined {
    const pending = this.#sent.get(invocationId);
    if (!this.#sent.delete(invocationId)) return undefined;
    const functionId = pending?.call.functionId;
    const sentence = `The worker no longer provides ${functionId ?? "it"}.`;
    pending?.reject(new FunctionError("function_not_found", sentence, { isUnserved: true }));
    this.pump();
    return functionId;
  }

  /** Takes more calls at once. */
  grant(more: number): void {
    this.#credits = Math.min(this.#credits + more, this.#limits.maxOutstanding);
    this.pump();
  }

  /** Sends what can be sent. To be called when the worker has read something, too. */
  pump(): void {
    while (
      this.#sent.size < this.#credits &&
      this.#line.unreadBytes < this.#limits.maxUnreadBytes
    ) {
      const pending = this.#nextWaiting();
      if (pending === undefined) return;
      if (pending.call.signal.aborted) continue;
      this.#sent.set(pending.call.invocationId, pending);
      this.#line.invoke(pending.call);
    }
  }

  /** Takes no more calls. Those that were not sent fail, for others to take them. Resolves when the rest is answered. */
  async drain(): Promise<void> {
    this.#refuse();
    if (this.#sent.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** The worker has gone: all calls fail. */
  close(): void {
    const reason = this.#refuse();
    for (const pending of this.#sent.values()) pending?.reject(reason);
    this.#sent.clear();
    this.#onIdle();
  }

  /** Custom streams whose writes in a group it is at work on: it must not write there itself. */
  overridesIn(groupId: unknown): string[] {
    return Array.from(this.#sent.values()).flatMap((pending) => {
      const { functionId, payload } = pending?.call ?? { functionId: "", payload: "{}" };
      if (!/^stream::(?:set|update|delete)\(/.test(functionId)) return [];
      const streamName = overriddenStream(functionId);
      const isSame = (JSON.parse(payload) as { group_id?: unknown }).group_id === groupId;
      return streamName !== undefined && isSame ? [streamName] : [];
    });
  }

  #refuse(): FunctionError {
    const reason = new FunctionError("invocation_stopped", "The worker has gone.", {
      isUnserved: true,
    });
    this.#refusal ??= reason;
    for (let next = this.#nextWaiting(); next !== undefined; next = this.#nextWaiting())
      next.reject(reason);
    return reason;
  }

  #nextWaiting(): Pending | undefined {
    const next = this.#waiting.shift();
    this.#waitingBytes -= next?.bytes ?? 0;
    return next;
  }

  #giveUp(invocationId: string): void {
    if (!this.#sent.has(invocationId) || this.#sent.get(invocationId) === undefined) return;
    this.#sent.set(invocationId, undefined);
    this.#line.cancel(invocationId);
  }
}

function settle({ call, resolve, reject }: Pending, outcome: CallOutcome): void {
  if ("error" in outcome) {
    const { code, message } = outcome.error;
    return reject(new FunctionError(code || "invocation_failed", message));
  }
  if (outcome.result === undefined || isJson(outcome.result)) return resolve(outcome.result);
  const sentence = `The function ${call.functionId} returned what is not JSON; it may return any JSON value, or nothing.`;
  reject(new FunctionError("invocation_failed", sentence));
}

function isJson(text: string): boolean {
  try {
    parseNested(text);
    return true;
  } catch {
    return false;
  }
}

import { randomUUID } from "node:crypto";
import { Fifo } from "../core/fifo.ts";
import { FunctionError } from "../core/function-call.ts";
import { overriddenStream } from "../core/overrides.ts";
import { type CallCause, currentCause } from "../functions/cause.ts";
import type { Invocation, Provider } from "../functions/provider.ts";
import type { WorkerLimits } from "./worker-limits.ts";
import { parseNested } from "../core/nesting.ts";

/** A call to a worker. */
export interface OutgoingCall extends Invocation {
  /** A UUID: workers in Rust parse it, and drop a call with any other id. */
  readonly invocationId: string;
  readonly cause: CallCause;
}

/** The outcome of a call. */
export type CallOutcome =
  | { readonly result: string | undefined }
  | { readonly error: { readonly code: string; readonly message: string } };

/** The connection to a worker. */
export interface WorkerLine {
  /** The worker's name; empty until it sends one. */
  readonly workerName: string;
  /** Largest payload with its metadata, in bytes of JSON text. */
  readonly maxPayloadBytes: number;
  /** Number of bytes that it has not read. */
  readonly unreadBytes: number;
  /** Sends it a call. */
  invoke(call: OutgoingCall): void;
  /** Notifies it that a call was cancelled. */
  cancel(invocationId: string): void;
}

interface Pending {
  readonly call: OutgoingCall;
  /** Size of its payload and metadata. */
  readonly bytes: number;
  readonly resolve: (result: string | undefined) => void;
  readonly reject: (error: FunctionError) => void;
}

/**
 * The calls to a worker. It gets at most as many at once as it grants; the others wait in a bounded
 * queue. A cancelled call keeps its slot until the worker returns its result, because the worker is
 * still busy with it.
 */
export class Invocations implements Provider {
  readonly #line: WorkerLine;
  readonly #limits: WorkerLimits;
  readonly #waiting = new Fifo<Pending>();
  #waitingBytes = 0;
  /** Calls without a result; undefined: cancelled. */
  readonly #sent = new Map<string, Pending | undefined>();
  /** How many concurrent calls it accepts. */
  #credits: number;
  #refusal: FunctionError | undefined;
  #onIdle = () => {};

  /**
   * @param credits How many concurrent calls it accepts; undefined: as many as the limits allow.
   */
  constructor(line: WorkerLine, limits: WorkerLimits, credits: number | undefined) {
    this.#line = line;
    this.#limits = limits;
    this.#credits = Math.min(credits ?? limits.maxOutstanding, limits.maxOutstanding);
  }

  /** @see Provider */
  get workerName(): string {
    return this.#line.workerName;
  }

  /** Number of calls without a result. */
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
      // The registry notifies the caller; this notifies the worker.
      invocation.signal.addEventListener("abort", () => this.#giveUp(call.invocationId), {
        once: true,
      });
      this.pump();
    });
  }

  /** Receives a result. A result of an unknown or finished call is ignored. */
  answer(invocationId: string, outcome: CallOutcome): void {
    const pending = this.#sent.get(invocationId);
    if (!this.#sent.delete(invocationId)) return;
    if (pending !== undefined) settle(pending, outcome);
    this.pump();
    if (this.#sent.size === 0) this.#onIdle();
  }

  /** The worker does not have the called function: other providers may. */
  answerMissing(invocationId: string): string | undefined {
    const pending = this.#sent.get(invocationId);
    if (!this.#sent.delete(invocationId)) return undefined;
    const functionId = pending?.call.functionId;
    const sentence = `The worker no longer provides ${functionId ?? "it"}.`;
    pending?.reject(new FunctionError("function_not_found", sentence, { isUnserved: true }));
    this.pump();
    return functionId;
  }

  /** Grants more concurrent calls. */
  grant(more: number): void {
    this.#credits = Math.min(this.#credits + more, this.#limits.maxOutstanding);
    this.pump();
  }

  /** Sends as many waiting calls as possible. Also to be called when the worker has read bytes. */
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

  /**
   * Accepts no more calls; unsent ones fail over to other providers. Resolves when the sent ones
   * are done.
   */
  async drain(): Promise<void> {
    this.#refuse();
    if (this.#sent.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** Fails all calls: the worker has disconnected. */
  close(): void {
    const reason = this.#refuse();
    for (const pending of this.#sent.values()) pending?.reject(reason);
    this.#sent.clear();
    this.#onIdle();
  }

  /** The function of an open call, which somebody waits for; "" for any other id. */
  functionOf(invocationId: string): string {
    return this.#sent.get(invocationId)?.call.functionId ?? "";
  }

  /** The function of all open calls; "" when there are none, or calls of several functions. */
  get onlyFunction(): string {
    let only = "";
    for (const pending of this.#sent.values()) {
      if (pending === undefined) continue;
      const { functionId } = pending.call;
      if (only !== "" && functionId !== only) return "";
      only = functionId;
    }
    return only;
  }

  /** Custom streams of which it is running a write in this group: it must not write there itself. */
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

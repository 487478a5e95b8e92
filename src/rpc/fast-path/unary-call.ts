import type { DescMethod } from "@bufbuild/protobuf";
import type { Readable } from "node:stream";
import type { BodyBudget } from "../../limits/body-budget.ts";
import { BodyBuffer } from "../body-buffer.ts";
import { type Awaiting, BODY_DEADLINES } from "../../limits/body-deadlines.ts";
import { type Caller, NOBODY } from "../../rights/caller.ts";
import type { CallTransport } from "../call-transport.ts";
import { bodyLate, bodyTooLarge } from "../envelope.ts";
import { LARGE_BODY_BYTES, largeBodyTurn } from "../../timers/turns.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";
import { deadlineExceeded } from "../deadline.ts";

/**
 * A unary call in progress.
 *
 *     reading --body complete--> running --finished--> over
 *        '-- invalid, refused or late -----------------^
 *
 * The deadline, or a caller that disconnects, ends it in every state.
 */
export abstract class UnaryCall<Result> implements Awaiting {
  readonly #body: Readable;
  readonly #maxBytes: number;
  readonly #prefixBytes: number;
  readonly #budget: BodyBudget;
  #buffer: BodyBuffer | undefined;
  #caller: Caller | Promise<Caller> = NOBODY;
  #timer: Timer | undefined;
  #isOver = false;

  /**
   * @param maxBytes Largest message, in bytes.
   * @param prefixBytes Length of the prefix before the message, in bytes.
   */
  constructor(body: Readable, maxBytes: number, prefixBytes: number, budget: BodyBudget) {
    this.#body = body;
    this.#maxBytes = maxBytes;
    this.#prefixBytes = prefixBytes;
    this.#budget = budget;
  }

  /** Whether the headers or the first chunk announce a body that is too large. */
  protected abstract isTooLarge(first: Buffer): boolean;
  /** Runs the call. Decodes the whole body before it returns; may throw synchronously. */
  protected abstract run(body: Buffer, caller: Caller): Promise<Result>;
  /** Sends the response or the failure. Called at most once, and only while the caller is there. */
  protected abstract send(result: Result | undefined, failure: unknown): void;

  /** Starts the call. @param timeoutMs The timeout that the caller sets. */
  begin(of: DescMethod, transport: CallTransport, timeoutMs: number | undefined): void {
    const body = this.#body;
    if (timeoutMs !== undefined) {
      const expire = () => this.#fail(deadlineExceeded());
      if (timeoutMs <= 0) return expire();
      this.#timer = startTimer(timeoutMs, expire);
    }
    try {
      const { caller, openAccount } = transport.enter(of);
      const account = openAccount?.((refusal) => this.#fail(refusal)) ?? this.#budget;
      this.#buffer = new BodyBuffer(account, this.#maxBytes + this.#prefixBytes);
      this.#caller = caller;
      if (caller instanceof Promise) caller.catch((refusal: unknown) => this.#fail(refusal));
    } catch (refusal) {
      return this.#fail(refusal);
    }
    const buffer = this.#buffer;
    BODY_DEADLINES.begin(this);
    body.on("data", (chunk: Buffer) => this.#take(buffer, chunk));
    body.on("end", () => {
      BODY_DEADLINES.end(this);
      if (buffer.length >= LARGE_BODY_BYTES) void largeBodyTurn().then(() => this.#run(buffer));
      else this.#run(buffer);
    });
  }

  /** Fails the call: the body did not arrive in time. */
  late(): void {
    this.#fail(bodyLate());
  }

  /** Ends the call and releases its bytes. Subclasses call it when the caller disconnects. */
  protected leave(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    BODY_DEADLINES.end(this);
    this.#buffer?.release();
  }

  #take(buffer: BodyBuffer, chunk: Buffer): void {
    if (this.#isOver) return;
    const isFirst = buffer.length === 0;
    const maxBodyBytes = this.#maxBytes + this.#prefixBytes;
    if (buffer.length + chunk.length > maxBodyBytes || (isFirst && this.isTooLarge(chunk)))
      return this.#fail(bodyTooLarge(this.#maxBytes));
    try {
      buffer.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  #run(buffer: BodyBuffer): void {
    const caller = this.#caller;
    if (caller instanceof Promise)
      void caller.then(
        (found) => this.#runFor(buffer, found),
        () => {},
      );
    else this.#runFor(buffer, caller);
  }

  #runFor(buffer: BodyBuffer, caller: Caller): void {
    if (this.#isOver) return;
    const fail = (error: unknown) => this.#fail(error);
    try {
      const running = this.run(buffer.bytes, caller);
      // The body is decoded by now.
      buffer.release();
      void running.then((result) => this.#end(result, undefined), fail);
    } catch (error) {
      fail(error);
    }
  }

  #fail(failure: unknown): void {
    this.#end(undefined, failure);
  }

  #end(result: Result | undefined, failure: unknown): void {
    if (this.#isOver) return;
    this.leave();
    this.send(result, failure);
  }
}

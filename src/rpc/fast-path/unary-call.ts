import type { DescMethod } from "@bufbuild/protobuf";
import type { Readable } from "node:stream";
import type { BodyBudget } from "../../limits/body-budget.ts";
import { BodyBuffer } from "../body-buffer.ts";
import { type Awaiting, BODY_DEADLINES } from "../../limits/body-deadlines.ts";
import type { Transport } from "../framework/prepared-call.ts";
import { bodyLate, bodyTooLarge } from "../envelope.ts";
import { LARGE_BODY_BYTES, largeBodyTurn } from "../../timers/turns.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";
import { deadlineExceeded } from "../deadline.ts";

/**
 * One call that takes one message and gives one, on its way.
 *
 *     reading --whole--> running --answered--> over
 *        '--malformed, refused, late, gone------'
 */
export abstract class UnaryCall<Answer> implements Awaiting {
  readonly #body: Readable;
  readonly #maxBytes: number;
  readonly #prefixBytes: number;
  readonly #buffer: BodyBuffer;
  #timer: Timer | undefined;
  #isOver = false;

  /**
   * @param maxBytes Largest message, in bytes.
   * @param prefixBytes What precedes it in the body.
   */
  constructor(body: Readable, maxBytes: number, prefixBytes: number, budget: BodyBudget) {
    this.#body = body;
    this.#maxBytes = maxBytes;
    this.#prefixBytes = prefixBytes;
    this.#buffer = new BodyBuffer(budget, maxBytes + prefixBytes);
  }

  /** Whether the first chunk of a body tells that it is too large. */
  protected abstract isTooLarge(first: Buffer): boolean;
  /** Runs the call on a whole body, which it decodes before it returns. May throw at once. */
  protected abstract run(body: Buffer): Promise<Answer>;
  /** Sends the answer, or the failure. Called once, unless the caller is gone. */
  protected abstract send(answer: Answer | undefined, failure: unknown): void;

  /** @param timeoutMs How much time the caller gives it. */
  begin(of: DescMethod, { permit }: Transport, timeoutMs: number | undefined): void {
    const body = this.#body;
    if (timeoutMs !== undefined) {
      const expire = () => this.#fail(deadlineExceeded());
      if (timeoutMs <= 0) return expire();
      this.#timer = startTimer(timeoutMs, expire);
    }
    try {
      permit(of);
    } catch (refusal) {
      return this.#fail(refusal);
    }
    BODY_DEADLINES.begin(this);
    body.on("data", (chunk: Buffer) => this.#take(chunk));
    body.on("end", () => {
      BODY_DEADLINES.end(this);
      if (this.#buffer.length >= LARGE_BODY_BYTES) void largeBodyTurn().then(() => this.#run());
      else this.#run();
    });
  }

  /** The body took too long. */
  late(): void {
    this.#fail(bodyLate());
  }

  /** To be called when the caller is gone. */
  protected leave(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    BODY_DEADLINES.end(this);
    this.#buffer.release();
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    const buffer = this.#buffer;
    const isFirst = buffer.length === 0;
    const mostBytes = this.#maxBytes + this.#prefixBytes;
    if (buffer.length + chunk.length > mostBytes || (isFirst && this.isTooLarge(chunk)))
      return this.#fail(bodyTooLarge(this.#maxBytes));
    try {
      buffer.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  #run(): void {
    if (this.#isOver) return;
    const fail = (error: unknown) => this.#fail(error);
    try {
      const running = this.run(this.#buffer.bytes);
      // It has been decoded.
      this.#buffer.release();
      void running.then((answer) => this.#end(answer, undefined), fail);
    } catch (error) {
      fail(error);
    }
  }

  #fail(failure: unknown): void {
    this.#end(undefined, failure);
  }

  #end(answer: Answer | undefined, failure: unknown): void {
    if (this.#isOver) return;
    this.leave();
    this.send(answer, failure);
  }
}

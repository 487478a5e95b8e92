import type { DescMethod } from "@bufbuild/protobuf";
import type { Readable } from "node:stream";
import { type Awaiting, BodyDeadlines } from "./body-deadlines.ts";
import type { Transport } from "./prepared-call.ts";
import { BODY_TIMEOUT_MS, bodyInvalid, bodyTooLarge } from "./request-body.ts";
import { type Timer, startTimer } from "../timers/timers.ts";
import { deadlineExceeded } from "./deadline.ts";

const DEADLINES = new BodyDeadlines(BODY_TIMEOUT_MS);

/**
 * One call that takes one message and gives one, on its way.
 *
 *     reading --whole--> running --answered--> over
 *        '--malformed, refused, late, gone------'
 */
export abstract class UnaryCall<Answer> implements Awaiting {
  readonly #body: Readable;
  readonly #maxBytes: number;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #length = 0;
  #timer: Timer | undefined;
  #isOver = false;

  /** @param maxBytes Largest body, in bytes. */
  constructor(body: Readable, maxBytes: number) {
    this.#body = body;
    this.#maxBytes = maxBytes;
  }

  /** Whether the first chunk of a body tells that it is too large. */
  protected abstract isTooLarge(first: Buffer): boolean;
  /** Runs the call on a whole body. May throw at once. */
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
    DEADLINES.begin(this);
    body.on("data", (chunk: Buffer) => this.#take(chunk));
    body.on("end", () => {
      DEADLINES.end(this);
      if (!this.#isOver) this.#run();
    });
  }

  /** The body took too long. */
  late(): void {
    this.#fail(bodyInvalid(`The request did not arrive whole within ${BODY_TIMEOUT_MS} ms.`));
  }

  /** To be called when the caller is gone. */
  protected leave(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    DEADLINES.end(this);
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#length += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else (this.#more ??= []).push(chunk);
    if (this.#length > this.#maxBytes || (chunk === this.#first && this.isTooLarge(chunk)))
      this.#fail(bodyTooLarge());
  }

  #run(): void {
    const fail = (error: unknown) => this.#fail(error);
    try {
      void this.run(this.#whole()).then((answer) => this.#end(answer, undefined), fail);
    } catch (error) {
      fail(error);
    }
  }

  #whole(): Buffer {
    if (this.#first === undefined) return NOTHING;
    return this.#more === undefined
      ? this.#first
      : Buffer.concat([this.#first, ...this.#more], this.#length);
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

const NOTHING = Buffer.alloc(0);

import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Readable } from "node:stream";
import type { Transport } from "./prepared-call.ts";
import { BODY_TIMEOUT_MS, bodyInvalid, bodyTooLarge } from "./request-body.ts";

/**
 * One call that takes one message and gives one, on its way.
 *
 *     reading --whole--> running --answered--> over
 *        '--malformed, refused, late, gone------'
 */
export abstract class UnaryCall<Answer> {
  readonly #body: Readable;
  readonly #maxBytes: number;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #length = 0;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  /** @param maxBytes Largest body, in bytes. */
  constructor(body: Readable, maxBytes: number) {
    this.#body = body;
    this.#maxBytes = maxBytes;
  }

  /** Whether the first chunk of a body tells that it is too large. */
  protected abstract isTooLarge(first: Buffer): boolean;
  /** Runs the call on a whole body. */
  protected abstract run(body: Buffer): Promise<Answer>;
  /** Sends the answer, or the failure. Called once, unless the caller is gone. */
  protected abstract send(answer: Answer | undefined, failure: unknown): void;

  /** @param timeoutMs How much time the caller gives it. */
  begin(of: DescMethod, { permit }: Transport, timeoutMs: number | undefined): void {
    const body = this.#body;
    if (timeoutMs !== undefined) {
      const late = () =>
        this.#fail(new ConnectError("the operation timed out", Code.DeadlineExceeded));
      if (timeoutMs <= 0) return late();
      this.#timer = setTimeout(late, timeoutMs);
    }
    try {
      permit(of);
    } catch (refusal) {
      return this.#fail(refusal);
    }
    const slow = setTimeout(
      () =>
        this.#fail(bodyInvalid(`The request did not arrive whole within ${BODY_TIMEOUT_MS} ms.`)),
      BODY_TIMEOUT_MS,
    );
    body.on("data", (chunk: Buffer) => this.#take(chunk));
    body.on("end", () => {
      clearTimeout(slow);
      if (!this.#isOver) void this.#run();
    });
    body.on("close", () => clearTimeout(slow));
  }

  /** To be called when the caller is gone. */
  protected leave(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#length += chunk.length;
    if (this.#first === undefined) this.#first = chunk;
    else (this.#more ??= []).push(chunk);
    if (this.#length > this.#maxBytes || (chunk === this.#first && this.isTooLarge(chunk)))
      this.#fail(bodyTooLarge());
  }

  async #run(): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.run(this.#whole());
    } catch (error) {
      return this.#fail(error);
    }
    this.#end(answer, undefined);
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

import { type ItemRequest, StreamError, type StreamService, type TextTarget } from "millrace";
import type { Random } from "../support/random.ts";

type BatchRequest = Parameters<StreamService["batch"]>[0];

/** Where a call fails: before it reaches the service, or after the service has done it. */
type Fault = "before" | "after" | "limited" | undefined;

/** A service whose updates fail when a test wants it, and what was sent to it. */
export interface FailingTarget {
  readonly target: TextTarget;
  /** The steps of every attempt. */
  readonly attempts: readonly (readonly unknown[])[];
  /** The service that gets later calls. */
  service: StreamService;
}

/** Fails attempts as `faultOf` says. `pass` may change what reaches the service. */
export function failingTarget(
  service: StreamService,
  faultOf: (attempt: number) => Fault,
  pass = (request: BatchRequest) => request,
): FailingTarget {
  const attempts: (readonly unknown[])[] = [];
  const failing: FailingTarget = {
    service,
    attempts,
    target: {
      registerFunction: (...args: Parameters<StreamService["registerFunction"]>) =>
        failing.service.registerFunction(...args),
      get: (request: ItemRequest) => failing.service.get(request),
      async batch(request: BatchRequest) {
        const fault = faultOf(attempts.length);
        attempts.push(request.mutations);
        if (fault === "before") throw new StreamError("STORE_UNAVAILABLE", "Not now.");
        if (fault === "limited")
          throw new StreamError("RATE_LIMITED", "Too many.", { metadata: { retry_after_ms: "5" } });
        const done = await failing.service.batch(pass(request));
        if (fault === "after") throw new StreamError("OUTCOME_UNKNOWN", "Perhaps.");
        return done;
      },
    },
  };
  return failing;
}

/** Text with characters of one to four bytes, some of them surrogate pairs. */
export function randomText(dice: Random, length: number): string {
  const letters = ["a", "b", " ", "é", "ß", "漢", "💧", "👩‍💻", "\n", '"', "\\"];
  let text = "";
  while (text.length < length) text += dice.pick(letters);
  return text;
}

/** Splits a text anywhere, inside of surrogate pairs too. */
export function randomChunks(dice: Random, text: string, longest: number): string[] {
  const chunks: string[] = [];
  for (let at = 0; at < text.length;) {
    const length = dice.below(longest + 1);
    chunks.push(text.slice(at, at + length));
    at += length;
  }
  return chunks;
}

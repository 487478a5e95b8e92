/** A call that another process is asked to make. */
export interface CallMessage {
  readonly kind: "call";
  readonly id: string;
  /** Process that asks, and gets the answer. */
  readonly from: string;
  readonly functionId: string;
  readonly payload: string;
  readonly metadata?: string | undefined;
  readonly depth?: number | undefined;
  readonly timeoutMs: number;
}

/** What became of a call. Neither result nor error: the function returned nothing. */
export interface AnswerMessage {
  readonly kind: "answer";
  readonly id: string;
  readonly result?: string | undefined;
  readonly error?:
    | { readonly code: string; readonly message: string; readonly isUnserved: boolean }
    | undefined;
}

/** Nobody waits for a call any more. */
export interface CancelMessage {
  readonly kind: "cancel";
  readonly id: string;
}

/**
 * The process that says so may have missed calls: these are all that it is making for the one that it tells.
 */
export interface RunningMessage {
  readonly kind: "running";
  readonly from: string;
  readonly ids: readonly string[];
}

/** What processes send each other about calls. */
export type RoutingMessage = CallMessage | AnswerMessage | CancelMessage | RunningMessage;

/** Reads a message; undefined: it is none. */
export function readMessage(bytes: Buffer): RoutingMessage | undefined {
  try {
    const message = JSON.parse(bytes.toString()) as RoutingMessage | null;
    return typeof message?.kind === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

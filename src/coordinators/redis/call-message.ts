/** A request to another process to call a function. */
export interface CallMessage {
  readonly kind: "call";
  readonly id: string;
  /** The calling process, which gets the result. */
  readonly from: string;
  readonly functionId: string;
  readonly payload: string;
  readonly metadata?: string | undefined;
  readonly depth?: number | undefined;
  readonly timeoutMs: number;
}

/** The outcome of a call. Neither result nor error: the function returned nothing. */
export interface AnswerMessage {
  readonly kind: "answer";
  readonly id: string;
  readonly result?: string | undefined;
  readonly error?:
    | { readonly code: string; readonly message: string; readonly isUnserved: boolean }
    | undefined;
}

/** Cancels a call: its caller no longer waits. */
export interface CancelMessage {
  readonly kind: "cancel";
  readonly id: string;
}

/**
 * Sent by a process that may have missed calls: the ids of all calls that it is running for the
 * receiver.
 */
export interface RunningMessage {
  readonly kind: "running";
  readonly from: string;
  readonly ids: readonly string[];
}

/** A message between processes about a call. */
export type RoutingMessage = CallMessage | AnswerMessage | CancelMessage | RunningMessage;

/** Parses a message; undefined: invalid. */
export function readMessage(bytes: Buffer): RoutingMessage | undefined {
  try {
    const message = JSON.parse(bytes.toString()) as RoutingMessage | null;
    return typeof message?.kind === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

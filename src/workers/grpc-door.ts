import { END_GRACE_MS } from "../limits/end-grace.ts";
import { type MessageInitShape, create } from "@bufbuild/protobuf";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
} from "../../gen/millrace/v1/worker_service_pb.ts";
import { StreamError } from "../core/errors.ts";
import { FunctionError } from "../core/function-call.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { Decoded } from "../wire/request/decoded.ts";
import { readCause, writeCause } from "./call-cause.ts";
import type { CallOutcome, WorkerLine } from "./invocations.ts";
import type { WorkerDirectory } from "./worker-directory.ts";
import { type WorkerHost, WorkerSession } from "./worker-session.ts";
import { type Timer, startTimer } from "../timers/timers.ts";
import { carriedTimeoutMs } from "../functions/call-timeout.ts";
import { MAX_NESTING, parseNested } from "../core/nesting.ts";

/** A message of a worker. */
export type WorkerMessage = Decoded<ConnectRequest>["message"];
type MessageOf<Case extends string> = Extract<WorkerMessage, { case: Case }>["value"];
type Answer = NonNullable<MessageInitShape<typeof ConnectResponseSchema>["message"]>;

/** The transport of a worker's stream. */
export interface WorkerStreamOptions {
  readonly host: WorkerHost;
  readonly directory: WorkerDirectory;
  /** The worker's messages, decoded, in order. */
  readonly messages: AsyncIterable<WorkerMessage>;
  /** Aborted with the error to send when the service stops. The worker may still return results. */
  readonly draining: AbortSignal;
  /** Aborted when the worker has disconnected, or its credentials have expired. */
  readonly caller: AbortSignal;
  /** Terminates the transport. */
  readonly abort: () => void;
}

/**
 * Largest payload and result sent to a worker, in bytes of JSON text: the whole message stays under
 * 3.5 MiB, because clients accept 4 MiB by default.
 */
const MAX_TEXT_BYTES = 3.4 * 1024 * 1024;
/** Size of other messages beside their text, in bytes. */
const MESSAGE_BYTES = 64;

/**
 * Serves a worker over `WorkerService.Connect`. A worker's messages take effect in order; responses
 * are sent as they become available.
 *
 * @throws StreamError REQUEST_INVALID for an invalid message; SHUTTING_DOWN.
 */
export async function* serveWorker(
  options: WorkerStreamOptions,
): AsyncGenerator<ConnectResponse, void> {
  const { host, directory, messages, draining, caller, abort } = options;
  const out = createOut();
  const reading = messages[Symbol.asyncIterator]();
  const hello = helloOf(await within(reading.next(), host.limits.silenceMs));
  const session = new WorkerSession(
    host,
    out.line(hello.workerName, () => session.invocations.pump()),
    hello.credits,
  );
  const { workerId, reattachToken, info } = directory.enter(session, () =>
    out.end({ error: draining.aborted ? draining.reason : undefined }),
  );
  info.name = hello.workerName;
  out.push({ case: "welcome", value: { workerId, reattachToken } });

  // It may still return results of running calls; the directory ends it.
  const onDraining = () => out.push({ case: "draining", value: {} });
  const onCaller = () => {
    // The consumer may wait for a client that is gone, and then it never asks again.
    draining.removeEventListener("abort", onDraining);
    out.end({ error: caller.reason });
  };
  draining.addEventListener("abort", onDraining, { once: true });
  caller.addEventListener("abort", onCaller, { once: true });

  const consume = async () => {
    await directory.reattach(
      { workerId: hello.previousWorkerId, reattachToken: hello.reattachToken },
      session,
    );
    for (;;) {
      const next = await within(reading.next(), host.limits.silenceMs);
      if (next.done === true || out.ended) return;
      // It returns results of running calls, so it is still read.
      if (next.value.case === "goodbye") void session.drain().then(() => out.end({}));
      else take(session, next.value, out.push);
      // A worker that does not read is not read from, either.
      await session.whenFree();
      const { maxUnreadBytes, silenceMs } = host.limits;
      if (out.unreadBytes >= maxUnreadBytes)
        await within(out.whenRead(maxUnreadBytes), silenceMs, "read nothing");
    }
  };
  let cutTimer: NodeJS.Timeout | undefined;
  // A worker that reads nothing cannot receive the end, so it is not awaited.
  out.onEnd(() => {
    directory.leave(workerId);
    session.close();
    cutTimer = setTimeout(abort, END_GRACE_MS);
  });
  consume().then(
    () => out.end({}),
    (error: unknown) => out.end({ error }),
  );
  try {
    yield* out.messages();
  } finally {
    draining.removeEventListener("abort", onDraining);
    caller.removeEventListener("abort", onCaller);
    out.end({});
    clearTimeout(cutTimer);
  }
}

/** Handles a message. Its outcome is sent as a response. */
function take(
  session: WorkerSession,
  message: Exclude<WorkerMessage, { case: "goodbye" }>,
  answer: (answer: Answer) => void,
) {
  switch (message.case) {
    case "registerFunction":
      return registered(message.value, answer, session.registerFunction(message.value.functionId));
    case "unregisterFunction":
      return registered(
        message.value,
        answer,
        session.unregisterFunction(message.value.functionId),
      );
    case "registerTrigger":
      return registered(message.value, answer, registerTrigger(session, message.value));
    case "unregisterTrigger":
      return registered(message.value, answer, session.unregisterTrigger(message.value.triggerId));
    case "invoke":
      return void invoke(session, message.value, answer);
    case "result":
      return session.answer(message.value.invocationId, outcomeOf(message.value));
    case "credits":
      return session.invocations.grant(message.value.more);
    case "heartbeat":
      return answer({ case: "heartbeat", value: {} });
    case "hello":
      throw invalid("hello comes first, and once");
    case undefined:
      throw invalid("message is empty; it may be one of those of ConnectRequest");
  }
}

function registered(
  { requestId }: { readonly requestId: number | bigint },
  answer: (answer: Answer) => void,
  done: Promise<void>,
): void {
  const value = { requestId: BigInt(requestId) };
  done.then(
    () => answer({ case: "registered", value }),
    (cause: unknown) => {
      const { code, message } = FunctionError.from(cause);
      answer({ case: "registered", value: { ...value, error: { code, message } } });
    },
  );
}

async function registerTrigger(
  session: WorkerSession,
  { triggerId, type, functionId, config, metadata }: MessageOf<"registerTrigger">,
): Promise<void> {
  await session.registerTrigger(triggerId, {
    type,
    function_id: functionId,
    config: jsonOf("config", config),
    metadata: jsonOf("metadata", metadata),
  });
}

async function invoke(
  session: WorkerSession,
  { invocationId, functionId, payload, metadata, timeoutMs, noAnswer, cause }: MessageOf<"invoke">,
  answer: (answer: Answer) => void,
): Promise<void> {
  let value: MessageInitShape<typeof ConnectResponseSchema>["message"];
  try {
    jsonOf("payload", payload);
    jsonOf("metadata", metadata);
    const result = await session.call({
      functionId,
      metadata: metadata === "" ? undefined : metadata,
      payload: payload === "" ? "{}" : payload,
      timeoutMs: timeoutMs === 0 ? undefined : timeoutMs,
      cause: readCause(cause, (id) => session.invocations.functionOf(id)),
    });
    if (result !== undefined && Buffer.byteLength(result) > MAX_TEXT_BYTES) {
      const sentence = `The result of ${functionId} is too large for a message; it may have up to ${MAX_TEXT_BYTES} bytes as JSON text. Lists may be read page by page with List.`;
      throw new FunctionError("payload_too_large", sentence);
    }
    const outcome =
      result === undefined ? {} : { outcome: { case: "result" as const, value: result } };
    value = { case: "result", value: { invocationId, ...outcome } };
  } catch (error) {
    const { code, message } = FunctionError.from(error);
    const outcome = { case: "error" as const, value: { code, message } };
    value = { case: "result", value: { invocationId, outcome } };
  }
  if (!noAnswer) answer(value);
}

function outcomeOf({ outcome }: MessageOf<"result">): CallOutcome {
  if (outcome.case === "error") return { error: outcome.value };
  return { result: outcome.value };
}

function jsonOf(field: string, text: string): unknown {
  if (text === "") return undefined;
  try {
    return parseNested(text);
  } catch {
    throw new FunctionError(
      "deserialization_error",
      `${field} is not JSON; it may be JSON text of up to ${MAX_NESTING} levels.`,
    );
  }
}

/** The first message. */
function helloOf(first: IteratorResult<WorkerMessage>): MessageOf<"hello"> {
  if (first.done === true || first.value.case !== "hello")
    throw invalid("the first message is not hello; it may be nothing else");
  if (Buffer.byteLength(first.value.value.workerName) > MAX_NAME_BYTES)
    throw invalid(`worker_name is too long; it may be up to ${MAX_NAME_BYTES} bytes`);
  return first.value.value;
}

function invalid(problem: string): StreamError {
  return new StreamError("REQUEST_INVALID", `A worker's stream is malformed: ${problem}.`);
}

/** @throws StreamError SLOW_SUBSCRIBER when the worker sends or reads nothing for too long. */
async function within<T>(work: Promise<T>, ms: number, did = "said nothing"): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new StreamError(
      "SLOW_SUBSCRIBER",
      `The worker ${did} for ${ms} ms; it may send heartbeats, read its messages, and reconnect.`,
    );
    timer = startTimer(ms, () => reject(error));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    timer?.cancel();
  }
}

/** The messages to a worker, sent as fast as it reads them. */
function createOut() {
  const queue: ConnectResponse[] = [];
  let unreadBytes = 0;
  let ended: { readonly error?: unknown } | undefined;
  let wake = () => {};
  let proceed = () => {};
  let onRead = () => {};
  let onEnd = () => {};
  const push = (message: Answer) => {
    if (ended !== undefined) return;
    queue.push(create(ConnectResponseSchema, { message }));
    unreadBytes += weightOf(message);
    wake();
  };
  return {
    push,
    get ended() {
      return ended !== undefined;
    },
    end(why: { readonly error?: unknown }) {
      if (ended !== undefined) return;
      ended = why;
      onEnd();
      wake();
      proceed();
    },
    /** Calls back once, when it has ended. */
    onEnd(callback: () => void) {
      onEnd = callback;
    },
    get unreadBytes() {
      return unreadBytes;
    },
    /** Resolves when fewer than `bytes` bytes are unread, or it has ended. */
    async whenRead(bytes: number) {
      while (unreadBytes >= bytes && ended === undefined)
        await new Promise<void>((resolve) => (proceed = resolve));
    },
    /** @param pump Called when the worker has read something. */
    line(workerName: string, pump: () => void): WorkerLine {
      onRead = pump;
      return {
        workerName,
        maxPayloadBytes: MAX_TEXT_BYTES,
        get unreadBytes() {
          return unreadBytes;
        },
        invoke({ invocationId, functionId, payload, metadata = "", timeoutMs: ms, cause }) {
          const timeoutMs = carriedTimeoutMs(ms);
          const value = { invocationId, functionId, payload, metadata, timeoutMs };
          push({ case: "invoke", value: { ...value, cause: writeCause(cause, invocationId) } });
        },
        cancel: (invocationId) => push({ case: "cancel", value: { invocationId } }),
      };
    },
    async *messages(): AsyncGenerator<ConnectResponse, void> {
      for (;;) {
        const next = queue.shift();
        if (next !== undefined) {
          yield next;
          unreadBytes -= weightOf(next.message);
          onRead();
          proceed();
        } else if (ended !== undefined) {
          if (ended.error !== undefined) throw ended.error;
          return;
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

function weightOf(message: Answer | ConnectResponse["message"]): number {
  if (message.case === "invoke") return MESSAGE_BYTES + (message.value.payload?.length ?? 0);
  const outcome = message.case === "result" ? message.value.outcome : undefined;
  return MESSAGE_BYTES + (outcome?.case === "result" ? outcome.value.length : 0);
}

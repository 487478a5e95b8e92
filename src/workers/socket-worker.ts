import { FunctionError } from "../core/function-call.ts";
import { MAX_NESTING } from "../core/nesting.ts";
import { type CallCause, OUTERMOST } from "../functions/cause.ts";
import type { WorkerLine } from "./invocations.ts";
import {
  type SocketFrame,
  invokeFrame,
  readSocketFrame,
  registeredFrame,
  resultFrame,
  triggerResultFrame,
} from "./socket-frames.ts";
import type { WorkerDirectory, WorkerInfo } from "./worker-directory.ts";
import { type WorkerHost, WorkerSession } from "./worker-session.ts";

/** The socket of a worker. */
export interface WorkerSocket {
  /** Bytes that were sent but not yet accepted by the operating system. */
  readonly bufferedBytes: number;
  /**
   * Sends a text frame. `taken` is called when the operating system has accepted it, or never will.
   */
  send(frame: string, taken: () => void): void;
  /** Stops reading until `resume`. */
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
}

/** Dependencies of a worker. */
export interface SocketWorkerOptions {
  readonly host: WorkerHost;
  readonly directory: WorkerDirectory;
  readonly socket: WorkerSocket;
  /** Logs a message for the operator. */
  readonly onOdd: (message: string) => void;
}

type FrameOf<Type extends SocketFrame["type"]> = Extract<SocketFrame, { type: Type }>;

const MALFORMED = 4400;
const GOING_AWAY = 1001;
/** Malformed frames after which the socket is closed. */
const MAX_MALFORMED = 10;
/** The function to which workers send their metadata; it cannot be provided. */
const REGISTER_WORKER = "engine::workers::register";
/** Functions that write to a stream, which a custom stream's own function must not call. */
const WRITES: readonly string[] = ["stream::set", "stream::update", "stream::delete"];

/** A worker connected over a WebSocket: handles its frames. */
export class SocketWorker {
  readonly #host: WorkerHost;
  readonly #directory: WorkerDirectory;
  readonly #socket: WorkerSocket;
  readonly #onOdd: (message: string) => void;
  readonly #session: WorkerSession;
  readonly #info: WorkerInfo;
  #malformed = 0;
  #isPaused = false;

  constructor({ host, directory, socket, onOdd }: SocketWorkerOptions) {
    this.#host = host;
    this.#directory = directory;
    this.#socket = socket;
    this.#onOdd = onOdd;
    const send = (frame: string) => socket.send(frame, this.#taken);
    const nameOf = () => this.#info.name;
    const line: WorkerLine = {
      get workerName() {
        return nameOf();
      },
      maxPayloadBytes: Infinity,
      get unreadBytes() {
        return socket.bufferedBytes;
      },
      invoke: (call) => send(invokeFrame(call)),
      // The protocol has no message for it.
      cancel() {},
    };
    this.#session = new WorkerSession(host, line);
    const { workerId, reattachToken, info } = directory.enter(this.#session, () =>
      socket.close(GOING_AWAY, "the worker came back elsewhere, or the service stops"),
    );
    this.#info = info;
    send(registeredFrame(workerId, reattachToken));
  }

  /** Receives a frame: JSON in UTF-8. */
  receive(bytes: Uint8Array): void {
    const frame = readSocketFrame(bytes);
    if (frame === undefined) {
      this.#malformed++;
      if (this.#malformed >= MAX_MALFORMED)
        this.#socket.close(MALFORMED, "too many malformed frames");
      return;
    }
    this.#take(frame);
    this.#pauseIfBusy();
  }

  /** To be called when the socket has closed. */
  close(): void {
    this.#directory.leave(this.#info.workerId);
    this.#session.close();
  }

  #take(frame: SocketFrame): void {
    switch (frame.type) {
      case "reattach": {
        const { previousWorkerId: workerId, reattachToken } = frame;
        return void this.#directory.reattach({ workerId, reattachToken }, this.#session);
      }
      case "registerfunction":
        return this.#registerFunction(frame);
      case "unregisterfunction":
        return void this.#session.unregisterFunction(frame.id);
      case "registertriggertype":
        return this.#send(
          triggerResultFrame(frame.id, frame.id, "", {
            code: "trigger_type_not_supported",
            message:
              "The types of triggers are fixed here: stream, stream:join, stream:leave and stream:write; a worker cannot add one.",
          }),
        );
      case "registertrigger":
        return void this.#registerTrigger(frame);
      case "unregistertrigger":
        return void this.#session.unregisterTrigger(frame.id);
      case "invokefunction":
        return void this.#invoke(frame);
      case "invocationresult": {
        const { invocationId, result, error } = frame;
        // It may have dropped the function while it was disconnected.
        if (error?.code === "function_not_found") return this.#session.answerMissing(invocationId);
        return this.#session.answer(invocationId, error === undefined ? { result } : { error });
      }
      case "other":
    }
  }

  #registerFunction({ id, isHttp }: FrameOf<"registerfunction">): void {
    if (isHttp) {
      return this.#onOdd(
        `The worker ${this.#info.name} wants ${id} to be called over HTTP, which is refused; configure it as a webhook in functions.`,
      );
    }
    // The protocol has no response to it.
    this.#session.registerFunction(id).catch((error: unknown) => {
      const { code, message } = FunctionError.from(error);
      this.#onOdd(`The worker ${this.#info.name} may not provide ${id}: ${code}: ${message}`);
    });
  }

  async #registerTrigger(frame: FrameOf<"registertrigger">): Promise<void> {
    const { id, triggerType, functionId, config, metadata } = frame;
    const result = (error?: { readonly code: string; readonly message: string }) =>
      this.#send(triggerResultFrame(id, triggerType, functionId, error));
    try {
      const request = { type: triggerType, function_id: functionId, config, metadata };
      await this.#session.registerTrigger(id, request);
      result();
    } catch (error) {
      const { code, message } = FunctionError.from(error);
      result({ code, message });
    }
  }

  async #invoke(frame: FrameOf<"invokefunction">): Promise<void> {
    const { invocationId, functionId, payload, metadata, action } = frame;
    const isAwaited = invocationId !== undefined && action !== "void";
    const answer = (outcome: Parameters<typeof resultFrame>[2]) => {
      if (isAwaited) this.#send(resultFrame(invocationId, functionId, outcome));
    };
    if (payload === undefined) {
      const message = `data has too many levels of arrays and objects; it may have up to ${MAX_NESTING}.`;
      return answer({ error: { code: "deserialization_error", message } });
    }
    if (functionId === REGISTER_WORKER) {
      this.#introduce(payload);
      return answer({ result: "null" });
    }
    if (action === "enqueue") {
      const message =
        "Queues are not supported; the function may be called at once, or by a trigger.";
      return answer({ error: { code: "unsupported_action", message } });
    }
    try {
      const cause = this.#causeOf(functionId, payload);
      answer({
        result: await this.#session.call({
          ...{ functionId, payload, metadata, cause },
          timeoutMs: undefined,
        }),
      });
    } catch (error) {
      const { code, message } = FunctionError.from(error);
      answer({ error: { code, message } });
    }
  }

  /**
   * The cause of a call, which the protocol does not carry. A worker with running calls may be
   * making this one for them, and its author is known if they are all of one function; and one that
   * runs a write of a custom stream must not write to it through the service.
   */
  #causeOf(functionId: string, payload: string): CallCause {
    const { invocations } = this.#session;
    if (invocations.outstanding === 0) return OUTERMOST;
    const overriding = WRITES.includes(functionId)
      ? invocations.overridesIn((JSON.parse(payload) as { group_id?: unknown } | null)?.group_id)
      : [];
    return { depth: 1, overriding, functionId: invocations.onlyFunction };
  }

  /** Stores a worker's metadata. */
  #introduce(payload: string): void {
    const { name } = Object(JSON.parse(payload)) as { readonly name?: unknown };
    if (typeof name === "string") this.#info.name = name.slice(0, 256);
    if (payload.length <= 4096) this.#info.metadata = payload;
  }

  #send(frame: string): void {
    this.#socket.send(frame, this.#taken);
    this.#pauseIfBusy();
  }

  /** Stops reading from a worker that does not read, or has too many calls. */
  #pauseIfBusy(): void {
    const { maxOwnCalls, maxUnreadBytes } = this.#host.limits;
    const isBusy =
      this.#session.ownCalls >= maxOwnCalls || this.#socket.bufferedBytes >= maxUnreadBytes;
    if (isBusy === this.#isPaused) return;
    this.#isPaused = isBusy;
    if (!isBusy) return this.#socket.resume();
    this.#socket.pause();
    void this.#session.whenFree().then(() => this.#pauseIfBusy());
  }

  readonly #taken = () => {
    this.#pauseIfBusy();
    this.#session.invocations.pump();
  };
}

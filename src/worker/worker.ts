import { AsyncLocalStorage } from "node:async_hooks";
import { hostname } from "node:os";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import {
  type ConnectResponse_Invoke,
  WorkerService,
} from "../../gen/millrace/v1/worker_service_pb.ts";
import { FunctionError, type FunctionErrorCode } from "../core/function-call.ts";
import type { Json } from "../core/value.ts";
import { type Handler, handlerProvider } from "../functions/handler.ts";
import { jsonText } from "../functions/json-text.ts";
import type { Registration } from "../functions/provider.ts";
import type { CallRequest } from "../service/stream-service.ts";
import { type StreamAdapter, adapterFunctions } from "../service/stream-adapter.ts";
import type { TriggerRequest } from "../triggers/definition.ts";
import { OwnCalls } from "./calls.ts";
import type { Worker, WorkerOptions, WorkerState } from "./worker-api.ts";
import { type FromService, type Link, type ToService, openLink } from "./link.ts";
import { type Timer, startTimer } from "../timers/timers.ts";
import { carriedTimeoutMs } from "../functions/call-timeout.ts";

/** Something that was registered, to be registered again on each connection. */
interface Kept {
  /** Says it to the service. */
  readonly register: (requestId: bigint) => ToService;
  readonly unregister: (requestId: bigint) => ToService;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_INITIAL_MS = 1000;
const DEFAULT_MAX_MS = 30_000;
/** Largest payload and result: a message to the service has up to 4 MiB, and holds ids besides. */
const MAX_PAYLOAD_BYTES = 4 * 1024 * 1024 - 4096;
/** How long it waits for the service to end the connection when it leaves, in milliseconds. */
const GOODBYE_MS = 31_000;

/** Connects a worker to the service at `url`, for example `http://127.0.0.1:3112`. */
export function registerWorker(url: string, options: WorkerOptions = {}): Worker {
  return new GrpcWorker(url, options);
}

class GrpcWorker implements Worker {
  readonly #options: WorkerOptions;
  readonly #sessions: Http2SessionManager;
  readonly #client: Client<typeof WorkerService>;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #kept = new Set<Kept>();
  readonly #handlers = new Map<string, Handler>();
  /** Who waits for a registration to hold for the first time. */
  readonly #firstAnswers = new Map<Kept, (error: FunctionError | undefined) => void>();
  /** What was taken back, until the service knows it; and who waits for that. */
  readonly #forgotten = new Map<Kept, () => void>();
  /** Who waits for the answer to a registration, by request id. */
  readonly #asked = new Map<bigint, (error: FunctionError | undefined) => void>();
  readonly #calls = new OwnCalls();
  /** Calls that it is answering, by invocation id. */
  readonly #answering = new Map<string, AbortController>();
  /** Cause of the call that the code which runs now answers. */
  readonly #causes = new AsyncLocalStorage<string>();
  #link: Link | undefined;
  /** Whether the service has welcomed it. */
  #isWelcome = false;
  #identity = { previousWorkerId: "", reattachToken: "" };
  #state: WorkerState = "connecting";
  #attempts = 0;
  #requestId = 0n;
  #triggerId = 0;
  #timer: Timer | undefined;
  #shutdown: Promise<void> | undefined;

  constructor(url: string, options: WorkerOptions) {
    this.#options = options;
    this.#sessions = new Http2SessionManager(url);
    const transport = createGrpcTransport({ baseUrl: url, sessionManager: this.#sessions });
    this.#client = createClient(WorkerService, transport);
    this.#headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    this.#connect();
  }

  get state(): WorkerState {
    return this.#state;
  }

  async registerFunction(id: string, handler: Handler): Promise<Registration> {
    if (this.#handlers.has(id)) {
      const sentence = `function id ${id} is registered already; it may be unregistered first.`;
      throw new FunctionError("FORBIDDEN", sentence);
    }
    this.#handlers.set(id, handler);
    const value = { functionId: id };
    try {
      const registration = await this.#keep({
        register: (requestId) => ({ case: "registerFunction", value: { ...value, requestId } }),
        unregister: (requestId) => ({ case: "unregisterFunction", value: { ...value, requestId } }),
      });
      return {
        unregister: async () => {
          this.#handlers.delete(id);
          await registration.unregister();
        },
      };
    } catch (error) {
      this.#handlers.delete(id);
      throw error;
    }
  }

  async registerTrigger({ type, function_id, config, metadata }: TriggerRequest) {
    const triggerId = String(++this.#triggerId);
    const value = {
      triggerId,
      type,
      functionId: function_id,
      config: jsonText("config", config ?? {}),
      metadata: metadata === undefined ? "" : jsonText("metadata", metadata),
    };
    return this.#keep({
      register: (requestId) => ({ case: "registerTrigger", value: { ...value, requestId } }),
      unregister: (requestId) => ({ case: "unregisterTrigger", value: { triggerId, requestId } }),
    });
  }

  createStream(streamName: string, adapter: StreamAdapter): Promise<Registration> {
    return adapterFunctions(streamName, adapter, (id, handler) =>
      this.registerFunction(id, handler),
    );
  }

  async trigger({ function_id: functionId, payload = {}, metadata, timeout_ms }: CallRequest) {
    if (this.#shutdown !== undefined && !this.#isWelcome)
      throw new FunctionError("invocation_stopped", "The worker has shut down.");
    const timeoutMs = timeout_ms ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const text = jsonText("payload", payload);
    checkSize("payload_too_large", `The payload for ${functionId} is too large`, text);
    const invoke = {
      functionId,
      payload: text,
      metadata: metadata === undefined ? "" : jsonText("metadata", metadata),
      timeoutMs: carriedTimeoutMs(timeoutMs),
      cause: this.#causes.getStore() ?? "",
    };
    const link = this.#isWelcome ? this.#link : undefined;
    const result = await this.#calls.make(invoke, timeoutMs, link);
    return result === undefined ? undefined : (JSON.parse(result) as Json);
  }

  shutdown(): Promise<void> {
    return (this.#shutdown ??= this.#leave());
  }

  async #leave(): Promise<void> {
    this.#timer?.cancel();
    const link = this.#link;
    if (link !== undefined && this.#isWelcome) {
      link.send({ case: "goodbye", value: {} });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((resolve) => (timer = setTimeout(resolve, GOODBYE_MS)));
      await Promise.race([link.ended, late]);
      clearTimeout(timer);
    }
    link?.cut();
    await link?.ended;
    this.#sessions.abort();
    this.#isWelcome = false;
    const sentence = "The worker has shut down.";
    this.#calls.fail(sentence, true);
    const stopped = new FunctionError("invocation_stopped", sentence);
    for (const settle of [...this.#firstAnswers.values(), ...this.#asked.values()]) settle(stopped);
    for (const resolve of this.#forgotten.values()) resolve();
    this.#enter("closed", undefined);
  }

  #connect(): void {
    this.#enter("connecting", undefined);
    const { maxConcurrentCalls, workerName = `${hostname()}:${process.pid}` } = this.#options;
    const link = openLink({
      client: this.#client,
      headers: this.#headers,
      hello: {
        case: "hello",
        value: {
          workerName,
          ...this.#identity,
          ...(maxConcurrentCalls !== undefined && { credits: maxConcurrentCalls }),
        },
      },
      onMessage: (message) => this.#receive(message),
    });
    this.#link = link;
    void link.ended.then((why) => this.#lost(link, why));
  }

  #lost(link: Link, why: unknown): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#isWelcome = false;
    this.#calls.fail("The connection to the service was lost during the call; it may have run.");
    for (const controller of this.#answering.values()) controller.abort(why);
    this.#answering.clear();
    if (this.#shutdown !== undefined) return;
    const { initialMs = DEFAULT_INITIAL_MS, maxMs = DEFAULT_MAX_MS } =
      this.#options.reconnect ?? {};
    const pauseMs = Math.min(maxMs, initialMs * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
    this.#enter("waiting", why === undefined ? undefined : ConnectError.from(why));
    this.#timer = startTimer(pauseMs, () => this.#connect());
  }

  #receive(message: FromService): void {
    switch (message.case) {
      case "welcome":
        return this.#welcome(message.value.workerId, message.value.reattachToken);
      case "registered": {
        const { requestId, error } = message.value;
        const settle = this.#asked.get(requestId);
        this.#asked.delete(requestId);
        return settle?.(error && new FunctionError(error.code, error.message));
      }
      case "invoke":
        return void this.#answer(message.value);
      case "cancel":
        return this.#answering.get(message.value.invocationId)?.abort();
      case "result": {
        const { invocationId, outcome } = message.value;
        const answer =
          outcome.case === "error"
            ? new FunctionError(outcome.value.code, outcome.value.message)
            : { result: outcome.value };
        return this.#calls.answer(invocationId, answer);
      }
      // It will be cut, and come back elsewhere, or later.
      case "draining":
      case "heartbeat":
      case undefined:
    }
  }

  #welcome(previousWorkerId: string, reattachToken: string): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#identity = { previousWorkerId, reattachToken };
    this.#attempts = 0;
    this.#isWelcome = true;
    // What was asked on an earlier connection, and was not answered there, is asked again.
    this.#asked.clear();
    for (const kept of this.#forgotten.keys()) this.#sayForgotten(kept);
    for (const kept of this.#kept) this.#say(kept);
    this.#calls.sendWaiting(link);
    this.#enter("connected", undefined);
  }

  /** Registers something now, and on each later connection. */
  #keep(kept: Kept): Promise<Registration> {
    if (this.#shutdown !== undefined)
      throw new FunctionError("invocation_stopped", "The worker has shut down.");
    this.#kept.add(kept);
    return new Promise((resolve, reject) => {
      this.#firstAnswers.set(kept, (error) => {
        this.#firstAnswers.delete(kept);
        if (error === undefined) return resolve({ unregister: () => this.#forget(kept) });
        this.#kept.delete(kept);
        reject(error);
      });
      if (this.#isWelcome) this.#say(kept);
    });
  }

  #say(kept: Kept): void {
    const requestId = ++this.#requestId;
    this.#asked.set(requestId, (error) => {
      const first = this.#firstAnswers.get(kept);
      if (first !== undefined) first(error);
      else if (error !== undefined) this.#options.onProblem?.(error);
    });
    this.#link?.send(kept.register(requestId));
  }

  async #forget(kept: Kept): Promise<void> {
    if (!this.#kept.delete(kept) || this.#state === "closed") return;
    await new Promise<void>((resolve) => {
      this.#forgotten.set(kept, resolve);
      // Without a connection: on the next one, which brings back what the service remembers.
      if (this.#isWelcome) this.#sayForgotten(kept);
    });
  }

  #sayForgotten(kept: Kept): void {
    const requestId = ++this.#requestId;
    this.#asked.set(requestId, () => {
      this.#forgotten.get(kept)?.();
      this.#forgotten.delete(kept);
    });
    this.#link?.send(kept.unregister(requestId));
  }

  async #answer(invoke: ConnectResponse_Invoke): Promise<void> {
    const { invocationId, functionId, payload, metadata, timeoutMs, cause } = invoke;
    const link = this.#link;
    const controller = new AbortController();
    this.#answering.set(invocationId, controller);
    const provider = handlerProvider(this.#handlers.get(functionId) ?? notHere(functionId));
    try {
      const result = await this.#causes.run(cause, () =>
        provider.invoke({
          functionId,
          payload,
          metadata: metadata === "" ? undefined : metadata,
          timeoutMs,
          signal: controller.signal,
        }),
      );
      checkSize("invocation_failed", `The function ${functionId} returned too much`, result);
      const outcome =
        result === undefined ? {} : { outcome: { case: "result" as const, value: result } };
      link?.send({ case: "result", value: { invocationId, ...outcome } });
    } catch (error) {
      const { code, message } = FunctionError.from(error);
      const outcome = { case: "error" as const, value: { code, message } };
      link?.send({ case: "result", value: { invocationId, outcome } });
    } finally {
      this.#answering.delete(invocationId);
    }
  }

  #enter(state: WorkerState, why: unknown): void {
    this.#state = state;
    this.#options.onState?.(state, why);
  }
}

/** @throws FunctionError for what does not fit into a message. */
function checkSize(code: FunctionErrorCode, problem: string, text: string | undefined): void {
  if (text === undefined || Buffer.byteLength(text) <= MAX_PAYLOAD_BYTES) return;
  throw new FunctionError(
    code,
    `${problem}; it may have up to ${MAX_PAYLOAD_BYTES} bytes as JSON text.`,
  );
}

/** It was unregistered while a call was on its way. */
function notHere(functionId: string): Handler {
  return () => {
    throw new FunctionError("function_not_found", `The worker no longer provides ${functionId}.`);
  };
}

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

/** A registration, which is repeated on each connection. */
interface KeptRegistration {
  readonly register: (requestId: bigint) => ToService;
  readonly unregister: (requestId: bigint) => ToService;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_INITIAL_MS = 1000;
const DEFAULT_MAX_MS = 30_000;
/** Largest payload and result: a message to the service has up to 4 MiB, ids included. */
const MAX_PAYLOAD_BYTES = 4 * 1024 * 1024 - 4096;
/** Longest wait for the service to end the connection after a goodbye, in milliseconds. */
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
  readonly #kept = new Set<KeptRegistration>();
  readonly #handlers = new Map<string, Handler>();
  /** Settles the first attempt of each registration. */
  readonly #firstAttempts = new Map<KeptRegistration, (error: FunctionError | undefined) => void>();
  /** Withdrawn registrations until the service confirms, with what to call then. */
  readonly #forgotten = new Map<KeptRegistration, () => void>();
  /** Pending requests to register or unregister, by request id. */
  readonly #requests = new Map<bigint, (error: FunctionError | undefined) => void>();
  readonly #calls = new OwnCalls();
  /** Calls from the service that are running, by invocation id. */
  readonly #running = new Map<string, AbortController>();
  /** Cause of the call that the current code runs for. */
  readonly #causes = new AsyncLocalStorage<string>();
  #link: Link | undefined;
  /** Whether the service has sent its welcome. */
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
    for (const settle of [...this.#firstAttempts.values(), ...this.#requests.values()])
      settle(stopped);
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
    for (const controller of this.#running.values()) controller.abort(why);
    this.#running.clear();
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
        const settle = this.#requests.get(requestId);
        this.#requests.delete(requestId);
        return settle?.(error && new FunctionError(error.code, error.message));
      }
      case "invoke":
        return void this.#run(message.value);
      case "cancel":
        return this.#running.get(message.value.invocationId)?.abort();
      case "result": {
        const { invocationId, outcome } = message.value;
        const settled =
          outcome.case === "error"
            ? new FunctionError(outcome.value.code, outcome.value.message)
            : { result: outcome.value };
        return this.#calls.settle(invocationId, settled);
      }
      // The service will close the connection; the worker reconnects.
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
    // Unconfirmed requests of an earlier connection are repeated.
    this.#requests.clear();
    for (const kept of this.#forgotten.keys()) this.#sendUnregister(kept);
    for (const kept of this.#kept) this.#sendRegister(kept);
    this.#calls.sendWaiting(link);
    this.#enter("connected", undefined);
  }

  /** Registers now, and on each later connection. */
  #keep(kept: KeptRegistration): Promise<Registration> {
    if (this.#shutdown !== undefined)
      throw new FunctionError("invocation_stopped", "The worker has shut down.");
    this.#kept.add(kept);
    return new Promise((resolve, reject) => {
      this.#firstAttempts.set(kept, (error) => {
        this.#firstAttempts.delete(kept);
        if (error === undefined) return resolve({ unregister: () => this.#forget(kept) });
        this.#kept.delete(kept);
        reject(error);
      });
      if (this.#isWelcome) this.#sendRegister(kept);
    });
  }

  #sendRegister(kept: KeptRegistration): void {
    const requestId = ++this.#requestId;
    this.#requests.set(requestId, (error) => {
      const first = this.#firstAttempts.get(kept);
      if (first !== undefined) first(error);
      else if (error !== undefined) this.#options.onProblem?.(error);
    });
    this.#link?.send(kept.register(requestId));
  }

  async #forget(kept: KeptRegistration): Promise<void> {
    if (!this.#kept.delete(kept) || this.#state === "closed") return;
    await new Promise<void>((resolve) => {
      this.#forgotten.set(kept, resolve);
      // Without a connection, it is sent on the next one, where the service still has the
      // registration.
      if (this.#isWelcome) this.#sendUnregister(kept);
    });
  }

  #sendUnregister(kept: KeptRegistration): void {
    const requestId = ++this.#requestId;
    this.#requests.set(requestId, () => {
      this.#forgotten.get(kept)?.();
      this.#forgotten.delete(kept);
    });
    this.#link?.send(kept.unregister(requestId));
  }

  async #run(invoke: ConnectResponse_Invoke): Promise<void> {
    const { invocationId, functionId, payload, metadata, timeoutMs, cause } = invoke;
    const link = this.#link;
    const controller = new AbortController();
    this.#running.set(invocationId, controller);
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
      this.#running.delete(invocationId);
    }
  }

  #enter(state: WorkerState, why: unknown): void {
    this.#state = state;
    this.#options.onState?.(state, why);
  }
}

/** @throws FunctionError when the text does not fit into a message. */
function checkSize(code: FunctionErrorCode, problem: string, text: string | undefined): void {
  if (text === undefined || Buffer.byteLength(text) <= MAX_PAYLOAD_BYTES) return;
  throw new FunctionError(
    code,
    `${problem}; it may have up to ${MAX_PAYLOAD_BYTES} bytes as JSON text.`,
  );
}

/** For a call that arrives after the function was unregistered. */
function notHere(functionId: string): Handler {
  return () => {
    throw new FunctionError("function_not_found", `The worker no longer provides ${functionId}.`);
  };
}

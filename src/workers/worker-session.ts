import { FunctionError } from "../core/function-call.ts";
import { type CallCause, runCaused } from "../functions/cause.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { Registration } from "../functions/provider.ts";
import type { TriggerEngine } from "../triggers/trigger-engine.ts";
import type { TriggerRequest } from "../triggers/definition.ts";
import { type CallOutcome, Invocations, type WorkerLine } from "./invocations.ts";
import type { WorkerLimits } from "./worker-limits.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Dependencies of workers. */
export interface WorkerHost {
  readonly functions: FunctionRegistry;
  readonly triggerEngine: Pick<TriggerEngine, "register">;
  readonly limits: WorkerLimits;
}

/** A worker's registrations, which can be repeated. */
export interface WorkerHoldings {
  readonly functions: readonly string[];
  readonly triggers: readonly (readonly [triggerId: string, request: TriggerRequest])[];
}

/** A call that a worker makes. */
export interface WorkerCall {
  readonly functionId: string;
  /** JSON text. */
  readonly payload: string;
  /** JSON text. */
  readonly metadata?: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly cause: CallCause;
}

interface RegistrationSlot<T> {
  readonly what: T;
  readonly registration: Promise<Registration>;
}

/**
 * A worker's connection, over any protocol: its registrations, the calls to it, and its own calls.
 * Repeated registrations count once.
 */
export class WorkerSession {
  readonly #host: WorkerHost;
  readonly #invocations: Invocations;
  readonly #functions = new Map<string, RegistrationSlot<string>>();
  readonly #triggers = new Map<string, RegistrationSlot<TriggerRequest>>();
  #ownCalls = 0;
  #proceed = () => {};
  #closed = false;

  constructor(host: WorkerHost, line: WorkerLine, credits?: number) {
    this.#host = host;
    this.#invocations = new Invocations(line, host.limits, credits);
  }

  /** The calls to it. */
  get invocations(): Invocations {
    return this.#invocations;
  }

  /** Number of its own calls under way. */
  get ownCalls(): number {
    return this.#ownCalls;
  }

  /** Its registrations. */
  get holdings(): WorkerHoldings {
    return {
      functions: Array.from(this.#functions.keys()),
      triggers: Array.from(this.#triggers, ([id, { what }]) => [id, what] as const),
    };
  }

  /** Registers a function. Resolves when it is in force. @throws FunctionError */
  async registerFunction(functionId: string): Promise<void> {
    await this.#register(this.#functions, functionId, functionId, () =>
      this.#host.functions.register(functionId, this.#invocations),
    );
  }

  /** Unregisters a function. An unknown one is ignored. */
  async unregisterFunction(functionId: string): Promise<void> {
    await unregister(this.#functions, functionId, "withdrawn");
  }

  /**
   * Registers a trigger, under a name of the worker. Resolves when it is in force. @throws
   * FunctionError
   */
  async registerTrigger(triggerId: string, request: TriggerRequest): Promise<void> {
    await this.#register(this.#triggers, triggerId, request, () =>
      this.#host.triggerEngine.register(request),
    );
  }

  /** Unregisters a trigger. An unknown one is ignored. */
  async unregisterTrigger(triggerId: string): Promise<void> {
    await unregister(this.#triggers, triggerId, "withdrawn");
  }

  /** Repeats the registrations of an earlier connection, except those that are refused now. */
  async adopt({ functions, triggers }: WorkerHoldings): Promise<void> {
    await Promise.allSettled([
      ...functions.map((id) => this.registerFunction(id)),
      ...triggers.map(([id, request]) => this.registerTrigger(id, request)),
    ]);
  }

  /** Makes a call of the worker. @throws FunctionError */
  async call({
    functionId,
    payload,
    metadata,
    timeoutMs,
    cause,
  }: WorkerCall): Promise<string | undefined> {
    this.#ownCalls++;
    try {
      return await runCaused(cause, () =>
        this.#host.functions.call(functionId, payload, { timeoutMs, metadata }),
      );
    } finally {
      this.#ownCalls--;
      this.#proceed();
    }
  }

  /** Resolves when it may make another call: until then nothing should be read from it. */
  async whenFree(): Promise<void> {
    while (this.#ownCalls >= this.#host.limits.maxOwnCalls && !this.#closed)
      await new Promise<void>((resolve) => (this.#proceed = resolve));
  }

  /** Receives a result. */
  answer(invocationId: string, outcome: CallOutcome): void {
    this.#invocations.answer(invocationId, outcome);
  }

  /** The worker does not have the called function: it is no longer called for it. */
  answerMissing(invocationId: string): void {
    const functionId = this.#invocations.answerMissing(invocationId);
    if (functionId !== undefined) void unregister(this.#functions, functionId, "lost");
  }

  /** Sends it no more calls. Resolves when those under way are done, or after the grace period. */
  async drain(): Promise<void> {
    const withdrawn = Array.from(this.#functions.keys(), (id) =>
      unregister(this.#functions, id, "drained"),
    );
    let timer: Timer | undefined;
    const { drainMs } = this.#host.limits;
    const late = new Promise<void>((resolve) => (timer = startTimer(drainMs, resolve)));
    await Promise.race([Promise.all([this.#invocations.drain(), ...withdrawn]), late]);
    timer?.cancel();
  }

  /** To be called when it has disconnected. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#proceed();
    // First, so the calls fail with the end of the worker, not of their function.
    this.#invocations.close();
    for (const id of Array.from(this.#functions.keys()))
      void unregister(this.#functions, id, "lost");
    for (const id of Array.from(this.#triggers.keys())) void unregister(this.#triggers, id, "lost");
  }

  async #register<T>(
    held: Map<string, RegistrationSlot<T>>,
    id: string,
    what: T,
    register: () => Promise<Registration>,
  ): Promise<void> {
    if (this.#closed) throw new FunctionError("invocation_stopped", "The worker has gone.");
    const before = held.get(id);
    if (before !== undefined && JSON.stringify(before.what) === JSON.stringify(what)) {
      await before.registration;
      return;
    }
    if (this.#functions.size + this.#triggers.size >= this.#host.limits.maxRegistrations) {
      const sentence = `The worker has too many registrations; it may have up to ${this.#host.limits.maxRegistrations}.`;
      throw new FunctionError("overloaded", sentence);
    }
    const registration = register();
    const entry = { what, registration };
    held.set(id, entry);
    try {
      await registration;
    } catch (error) {
      if (held.get(id) === entry) held.delete(id);
      throw error;
    }
    // A trigger of the same name replaces the earlier one.
    if (before !== undefined) await (await before.registration).unregister();
    // The worker disconnected meanwhile.
    if (this.#closed) await (await registration).unregister("lost");
  }
}

async function unregister<T>(
  held: Map<string, RegistrationSlot<T>>,
  id: string,
  how: "withdrawn" | "lost" | "drained",
): Promise<void> {
  const entry = held.get(id);
  held.delete(id);
  const registration = await entry?.registration.catch(() => undefined);
  await registration?.unregister(how).catch(() => {});
}

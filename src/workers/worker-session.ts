import { FunctionError } from "../core/function-call.ts";
import { type Cause, runCaused } from "../functions/cause.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { Registration } from "../functions/provider.ts";
import type { Reactive } from "../service/reactive.ts";
import type { TriggerRequest } from "../triggers/definition.ts";
import { type CallOutcome, Invocations, type WorkerLine } from "./invocations.ts";
import type { WorkerLimits } from "./worker-limits.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** What workers work with. */
export interface WorkerHost {
  readonly functions: FunctionRegistry;
  readonly reactive: Pick<Reactive, "register">;
  readonly limits: WorkerLimits;
}

/** What a worker registered: enough to do it again. */
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
  readonly cause: Cause;
}

interface Held<T> {
  readonly what: T;
  readonly registration: Promise<Registration>;
}

/**
 * One connection of a worker, whatever the door: what it registered, the calls it has to answer, and
 * those that it makes. What it registers twice is registered once.
 */
export class WorkerSession {
  readonly #host: WorkerHost;
  readonly #invocations: Invocations;
  readonly #functions = new Map<string, Held<string>>();
  readonly #triggers = new Map<string, Held<TriggerRequest>>();
  #ownCalls = 0;
  #proceed = () => {};
  #closed = false;

  constructor(host: WorkerHost, line: WorkerLine, credits?: number) {
    this.#host = host;
    this.#invocations = new Invocations(line, host.limits, credits);
  }

  /** The calls that it has to answer. */
  get invocations(): Invocations {
    return this.#invocations;
  }

  /** Calls that it makes and that are not answered. */
  get ownCalls(): number {
    return this.#ownCalls;
  }

  /** What it has registered. */
  get holdings(): WorkerHoldings {
    return {
      functions: Array.from(this.#functions.keys()),
      triggers: Array.from(this.#triggers, ([id, { what }]) => [id, what] as const),
    };
  }

  /** Provides a function. Resolves when that holds. @throws FunctionError */
  async registerFunction(functionId: string): Promise<void> {
    await this.#register(this.#functions, functionId, functionId, () =>
      this.#host.functions.register(functionId, this.#invocations),
    );
  }

  /** Takes a function back. One that it does not have is ignored. */
  async unregisterFunction(functionId: string): Promise<void> {
    await unregister(this.#functions, functionId, "withdrawn");
  }

  /** Registers a trigger, under a name of the worker's own. Resolves when it holds. @throws FunctionError */
  async registerTrigger(triggerId: string, request: TriggerRequest): Promise<void> {
    await this.#register(this.#triggers, triggerId, request, () =>
      this.#host.reactive.register(request),
    );
  }

  /** Takes a trigger back. One that it does not have is ignored. */
  async unregisterTrigger(triggerId: string): Promise<void> {
    await unregister(this.#triggers, triggerId, "withdrawn");
  }

  /** Registers what an earlier connection had. What is refused now is left out. */
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

  /** Resolves when it may make another call: until then nothing of it should be read. */
  async whenFree(): Promise<void> {
    while (this.#ownCalls >= this.#host.limits.maxOwnCalls && !this.#closed)
      await new Promise<void>((resolve) => (this.#proceed = resolve));
  }

  /** Takes an answer. */
  answer(invocationId: string, outcome: CallOutcome): void {
    this.#invocations.answer(invocationId, outcome);
  }

  /** It says that it does not have the function that it was called for: it is not called for it any more. */
  answerMissing(invocationId: string): void {
    const functionId = this.#invocations.answerMissing(invocationId);
    if (functionId !== undefined) void unregister(this.#functions, functionId, "lost");
  }

  /** It gets no more calls. Resolves when it has answered those under way, or had its time. */
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

  /** It has gone. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#proceed();
    // First: what is in the calls is the worker's end, not that of their function.
    this.#invocations.close();
    for (const id of Array.from(this.#functions.keys()))
      void unregister(this.#functions, id, "lost");
    for (const id of Array.from(this.#triggers.keys())) void unregister(this.#triggers, id, "lost");
  }

  async #register<T>(
    held: Map<string, Held<T>>,
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
    // Another trigger of the same name takes the place of the one before it.
    if (before !== undefined) await (await before.registration).unregister();
    // It went while this was under way.
    if (this.#closed) await (await registration).unregister("lost");
  }
}

async function unregister<T>(
  held: Map<string, Held<T>>,
  id: string,
  how: "withdrawn" | "lost" | "drained",
): Promise<void> {
  const entry = held.get(id);
  held.delete(id);
  const registration = await entry?.registration.catch(() => undefined);
  await registration?.unregister(how).catch(() => {});
}

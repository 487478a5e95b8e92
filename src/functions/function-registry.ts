import type { Coordinator } from "../core/coordinator.ts";
import { type Call, type CallOptions, FunctionError } from "../core/function-call.ts";
import { compareUtf8, utf8Length } from "../core/text.ts";
import {
  type CallCause,
  MAX_DEPTH,
  OUTERMOST,
  currentCause,
  runCaused,
  runCausedPlain,
} from "./cause.ts";
import { checkFunctionId, checkProvidable } from "./function-id.ts";
import type { FunctionLimits } from "./function-limits.ts";
import { LazySignal } from "./lazy-signal.ts";
import type { EndOfRegistration, Provider, Registration } from "./provider.ts";
import { startTimer } from "../timers/timers.ts";

/** Dependencies of the registry. */
export interface FunctionRegistryOptions {
  readonly coordinator: Pick<Coordinator, "registry" | "routing">;
  readonly limits: FunctionLimits;
}

/** A function that can be called. */
export interface ListedFunction {
  readonly functionId: string;
  /** Whether it is built into the service. */
  readonly isBuiltIn: boolean;
  /** Name of a worker connected to this process that provides it; empty when there is none. */
  readonly workerName: string;
}

/** A registered provider and its calls in flight. */
interface Slot {
  readonly provider: Provider;
  /** Fails each call in flight with a reason. */
  readonly inFlight: Set<(reason: FunctionError) => void>;
}

interface Entry {
  readonly slots: Slot[];
  /** Index of the next provider in turn. */
  next: number;
  inFlight: number;
}

/**
 * All functions that can be called here: those of this process, of its workers, and those that
 * other processes provide.
 *
 * Calls rotate among the providers of an id. A call fails when its deadline passes, when its
 * provider disconnects, or at once when too many are in flight.
 */
export class FunctionRegistry {
  readonly #registry: Coordinator["registry"];
  readonly #routing: Coordinator["routing"];
  readonly #limits: FunctionLimits;
  readonly #entries = new Map<string, Entry>();
  readonly #builtIn = new Map<string, Provider>();
  #inFlight = 0;

  constructor({ coordinator, limits }: FunctionRegistryOptions) {
    this.#registry = coordinator.registry;
    this.#routing = coordinator.routing;
    this.#limits = limits;
    this.#routing.serve((functionId, payload, options) =>
      this.#callHere(functionId, payload, options, { ...OUTERMOST, depth: options.depth ?? 1 }),
    );
  }

  /** Adds a function of the service itself. */
  addBuiltIn(functionId: string, provider: Provider): void {
    this.#builtIn.set(functionId, provider);
  }

  /**
   * Adds a provider of a function, beside its other ones. Resolves when every process of the fleet
   * knows.
   *
   * @throws FunctionError deserialization_error when the id is not a name, FORBIDDEN when it is
   *   reserved.
   */
  async register(id: unknown, provider: Provider): Promise<Registration> {
    const functionId = checkProvidable(id);
    const entry = this.#entries.get(functionId) ?? { slots: [], next: 0, inFlight: 0 };
    this.#entries.set(functionId, entry);
    const slot: Slot = { provider, inFlight: new Set() };
    entry.slots.push(slot);
    let ended: Promise<void> | undefined;
    const unregister = (how: EndOfRegistration = "withdrawn") =>
      (ended ??= this.#remove(functionId, entry, slot, how));
    try {
      await this.#registry.provide(functionId);
    } catch (error) {
      await unregister().catch(() => {});
      throw error;
    }
    return { unregister };
  }

  /** Whether the function has a provider, here or at another process. */
  has(functionId: string): boolean {
    return (
      this.#entries.has(functionId) ||
      this.#builtIn.has(functionId) ||
      this.#registry.provides(functionId)
    );
  }

  /** All functions that can be called here, each once, sorted by their ids. */
  list(): ListedFunction[] {
    const ids = new Set([...this.#builtIn.keys(), ...this.#registry.functions()]);
    return Array.from(ids)
      .sort(compareUtf8)
      .map((functionId) => {
        const names = this.#entries
          .get(functionId)
          ?.slots.map(({ provider }) => provider.workerName);
        const workerName = names?.find((name) => name !== undefined && name !== "") ?? "";
        return { functionId, isBuiltIn: this.#builtIn.has(functionId), workerName };
      });
  }

  /** @see Call */
  readonly call: Call = async (id, payload, options = {}) => {
    const functionId = checkFunctionId("function_id", id);
    const before = currentCause();
    const depth = (options.depth ?? before.depth) + 1;
    if (depth > MAX_DEPTH) {
      throw new FunctionError(
        "invocation_failed",
        `The chain of calls and triggers is ${MAX_DEPTH} long; the function ${functionId} is not called again.`,
      );
    }
    if (
      payload.length > this.#limits.maxPayloadBytes / 3 &&
      utf8Length(payload) > this.#limits.maxPayloadBytes
    ) {
      throw new FunctionError(
        "payload_too_large",
        `The payload for ${functionId} is too large; it may have up to ${this.#limits.maxPayloadBytes} bytes as JSON text.`,
      );
    }
    // A call with an explicit depth is made for an event, not on behalf of the surrounding code.
    const caller = options.depth === undefined ? before : OUTERMOST;
    const mayRoute = this.#registry.provides(functionId);
    return this.#callHere(
      functionId,
      payload,
      { ...options, depth },
      { ...caller, depth },
      mayRoute,
    );
  };

  /**
   * @param cause The cause of the call, as its caller has it: built-in functions run on behalf of it.
   * @param mayRoute Whether the call may be routed to another process.
   */
  async #callHere(
    functionId: string,
    payload: string,
    options: CallOptions,
    cause: CallCause,
    mayRoute = false,
  ): Promise<string | undefined> {
    const builtIn = this.#builtIn.get(functionId);
    const entry = this.#entries.get(functionId);
    const slot = entry?.slots[entry.next % entry.slots.length];
    if (entry !== undefined) entry.next = (entry.next + 1) % entry.slots.length;
    if (builtIn === undefined && slot === undefined && !mayRoute) {
      throw new FunctionError(
        "function_not_found",
        `The function ${functionId} has no provider; register it first.`,
        { isUnserved: true },
      );
    }
    const { maxInFlight, maxInFlightPerFunction } = this.#limits;
    if (this.#inFlight >= maxInFlight || (entry?.inFlight ?? 0) >= maxInFlightPerFunction) {
      throw new FunctionError(
        "overloaded",
        `Too many calls are in flight; ${functionId} may be called again later.`,
        { isUnserved: true },
      );
    }
    this.#inFlight++;
    if (entry !== undefined) entry.inFlight++;
    try {
      // Lists of a custom stream have the limit of the built-in lists.
      const isList = builtIn !== undefined || LISTS.test(functionId);
      const limit = isList ? this.#limits.maxBuiltInResultBytes : this.#limits.maxPayloadBytes;
      const result = await this.#run(builtIn, slot, functionId, payload, options, cause);
      return checkResult(functionId, result, limit);
    } finally {
      this.#inFlight--;
      if (entry !== undefined) entry.inFlight--;
    }
  }

  #run(
    builtIn: Provider | undefined,
    slot: Slot | undefined,
    functionId: string,
    payload: string,
    options: CallOptions,
    cause: CallCause,
  ): Promise<string | undefined> {
    const timeoutMs = timeoutOf(options.timeoutMs, this.#limits.timeoutMs);
    const { metadata } = options;
    const stop = new LazySignal();
    const provider = builtIn ?? slot?.provider;
    return new Promise((resolve, reject) => {
      const fail = (reason: FunctionError) => {
        settle();
        reject(reason);
        stop.abort(reason);
      };
      const timer = startTimer(timeoutMs, () => {
        const sentence = `The function ${functionId} took more than ${timeoutMs} ms.`;
        fail(new FunctionError("TIMEOUT", sentence));
      });
      const abandon = () =>
        fail(new FunctionError("invocation_stopped", `The call of ${functionId} was given up.`));
      const settle = () => {
        timer.cancel();
        slot?.inFlight.delete(fail);
        options.signal?.removeEventListener("abort", abandon);
      };
      slot?.inFlight.add(fail);
      if (options.signal?.aborted === true) return abandon();
      options.signal?.addEventListener("abort", abandon, { once: true });
      const invoke = async () =>
        provider === undefined
          ? this.#routing.call(functionId, payload, { ...options, timeoutMs, signal: stop.signal })
          : provider.invoke({
              functionId,
              payload,
              metadata,
              timeoutMs,
              get signal() {
                return stop.signal;
              },
            });
      const run = provider?.isPlain === true ? runCausedPlain : runCaused;
      run(builtIn === undefined ? { ...cause, functionId } : cause, invoke).then(
        (result) => {
          settle();
          resolve(result);
        },
        (error: unknown) => {
          settle();
          reject(FunctionError.from(error));
        },
      );
    });
  }

  async #remove(
    functionId: string,
    entry: Entry,
    slot: Slot,
    how: EndOfRegistration,
  ): Promise<void> {
    entry.slots.splice(entry.slots.indexOf(slot), 1);
    if (entry.slots.length === 0 && this.#entries.get(functionId) === entry)
      this.#entries.delete(functionId);
    const stopped = new FunctionError(
      "invocation_stopped",
      `The provider of ${functionId} went away during the call.`,
      { isUnserved: true },
    );
    if (how !== "drained") for (const fail of Array.from(slot.inFlight)) fail(stopped);
    if (!this.#entries.has(functionId))
      await this.#registry.withdraw(functionId, how === "withdrawn" ? how : "lost");
  }
}

/** Functions of custom streams that return whole lists. */
const LISTS = /^stream::list(?:_groups)?\(/;

/** A timeout from a caller may be invalid. */
function timeoutOf(given: number | undefined, fallback: number): number {
  const isTime = typeof given === "number" && given > 0;
  return isTime ? given : fallback;
}

function checkResult(
  functionId: string,
  result: string | undefined,
  maxBytes: number,
): string | undefined {
  if (result === undefined || result.length <= maxBytes / 3 || utf8Length(result) <= maxBytes)
    return result;
  throw new FunctionError(
    "invocation_failed",
    `The function ${functionId} returned too much; its result may have up to ${maxBytes} bytes as JSON text.`,
  );
}

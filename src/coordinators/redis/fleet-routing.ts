import { randomUUID } from "node:crypto";
import type { Routing } from "../../core/coordinator.ts";
import { type CallOptions, FunctionError } from "../../core/function-call.ts";
import {
  type CallMessage,
  type RoutingMessage,
  readMessage,
  createCallReceiver,
} from "./call-receiver.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import { type FleetKeys, processOf } from "./fleet-keys.ts";
import { providersOf } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import { startTimer } from "../../timers/timers.ts";

/** Dependencies of the routing of a fleet. */
export interface FleetRoutingOptions {
  /** Id of this process. */
  readonly process: string;
  readonly keys: FleetKeys;
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
}

/** The routing of a fleet. */
export interface FleetRouting extends Routing {
  /** Receives a message to this process. */
  receive(message: Buffer): void;
  /** Messages to this process may have been missed. */
  doubt(): void;
  /** Fails the pending calls. */
  close(): void;
}

/** A call that waits for its result. */
interface Pending {
  readonly functionId: string;
  /** The member that was tried last. */
  member: string;
  /** Whether a provider has received the call. */
  isHanded: boolean;
  readonly settle: (outcome: string | undefined | FunctionError) => void;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Calls functions at other processes, round robin, and runs the calls of those. */
export function createFleetRouting(options: FleetRoutingOptions): FleetRouting {
  const { process, keys, commands, replica, membership } = options;
  const pending = new Map<string, Pending>();
  /** Function id -> index of the next provider. */
  const turns = new Map<string, number>();
  const send = (to: string, message: RoutingMessage, mayRepeat: boolean) =>
    commands.publish(keys.calls(to), JSON.stringify(message), mayRepeat);
  // A duplicate result is ignored.
  const receiver = createCallReceiver((to, answer) => send(to, answer, true));
  const cancel = async (to: string, id: string) => {
    try {
      await send(to, { kind: "cancel", id }, true);
    } catch {
      // The call runs to its end, and its result is ignored.
    }
  };
  let closed = false;

  const failWhere = (
    isConcerned: (call: Pending, id: string) => boolean,
    error: (functionId: string) => FunctionError,
  ) => {
    for (const [id, call] of Array.from(pending))
      if (isConcerned(call, id)) call.settle(error(call.functionId));
  };
  membership.watch(() => {
    const { members } = replica.state;
    failWhere(
      ({ member }) => !members.has(member),
      (id) => stopped(`The provider of ${id} went away during the call.`, true),
    );
    if (turns.size > 0) {
      for (const id of turns.keys())
        if (providersOf(replica.state, id).length === 0) turns.delete(id);
    }
  });

  /** Providers in the order to try them: each call starts with the next one. */
  const turnOf = (functionId: string): readonly string[] => {
    const providers = providersOf(replica.state, functionId, membership.id);
    if (providers.length < 2) return providers;
    const turn = (turns.get(functionId) ?? 0) % providers.length;
    turns.set(functionId, turn + 1);
    return [...providers.slice(turn), ...providers.slice(0, turn)];
  };
  /** Tries one provider after the other until one receives the call. Fails it if none does. */
  const ask = async (call: Pending, message: CallMessage, providers: readonly string[]) => {
    const isWaiting = () => pending.get(message.id) === call;
    for (const member of providers) {
      if (!isWaiting()) return;
      // It may have left while another one was tried.
      if (!replica.state.members.has(member)) continue;
      call.member = member;
      try {
        if ((await send(processOf(member), message, false)) > 0) {
          call.isHanded = true;
          return;
        }
      } catch (error) {
        const text = `The call of ${message.functionId} could not be handed to its provider.`;
        return call.settle(stopped(text, true, error));
      }
    }
    // The function did not run, which is not certain when a provider goes away during the call.
    const text = `No provider of ${message.functionId} can be reached.`;
    call.settle(new FunctionError("function_not_found", text, { isUnserved: true }));
  };
  const call = (
    functionId: string,
    payload: string,
    { timeoutMs = DEFAULT_TIMEOUT_MS, metadata, depth, signal }: CallOptions,
  ) =>
    new Promise<string | undefined>((resolve, reject) => {
      const providers = turnOf(functionId);
      if (closed || signal?.aborted === true)
        return reject(stopped(`The call of ${functionId} was given up.`, false));
      if (providers.length === 0) {
        const text = `The function ${functionId} has no provider; it may be registered first.`;
        return reject(new FunctionError("function_not_found", text, { isUnserved: true }));
      }
      const id = randomUUID();
      const settle = (outcome: string | undefined | FunctionError) => {
        if (pending.get(id) !== waiting) return;
        pending.delete(id);
        timer.cancel();
        signal?.removeEventListener("abort", abort);
        if (outcome instanceof FunctionError) reject(outcome);
        else resolve(outcome);
      };
      const giveUp = (error: FunctionError) => {
        const to = processOf(waiting.member);
        settle(error);
        void cancel(to, id);
      };
      const abort = () => giveUp(stopped(`The call of ${functionId} was given up.`, false));
      const timer = startTimer(timeoutMs, () => {
        const text = `The function ${functionId} took more than ${timeoutMs} ms.`;
        giveUp(new FunctionError("TIMEOUT", text));
      });
      const waiting: Pending = {
        functionId,
        member: providers[0] ?? "",
        isHanded: false,
        settle,
      };
      pending.set(id, waiting);
      signal?.addEventListener("abort", abort, { once: true });
      const message: CallMessage = {
        kind: "call",
        id,
        from: process,
        functionId,
        payload,
        metadata,
        depth,
        timeoutMs,
      };
      void ask(waiting, message, providers);
    });

  return {
    call,
    serve: receiver.serve,
    receive(bytes) {
      const message = readMessage(bytes);
      if (message === undefined || closed) return;
      if (message.kind === "call") receiver.run(message);
      else if (message.kind === "cancel") receiver.cancel(message.id);
      else if (message.kind === "running") {
        const ids = new Set(message.ids);
        failWhere(
          (waiting, id) =>
            waiting.isHanded && processOf(waiting.member) === message.from && !ids.has(id),
          (id) => stopped(`The call of ${id} may have been lost.`, true),
        );
      } else {
        const { id, result, error } = message;
        const outcome =
          error === undefined ? result : new FunctionError(error.code, error.message, error);
        pending.get(id)?.settle(outcome);
      }
    },
    doubt() {
      failWhere(
        () => true,
        (id) => stopped(`The result of ${id} may have been lost.`, true),
      );
      // Calls of others may have been lost as well.
      for (const member of replica.state.members.keys()) {
        const to = processOf(member);
        const ids = receiver.runningFor(to);
        if (to !== process) send(to, { kind: "running", from: process, ids }, true).catch(() => {});
      }
    },
    close() {
      closed = true;
      failWhere(
        () => true,
        (id) => stopped(`The call of ${id} was given up.`, true),
      );
      receiver.close();
    },
  };
}

function stopped(message: string, isUnserved: boolean, cause?: unknown): FunctionError {
  return new FunctionError("invocation_stopped", message, { isUnserved, cause });
}

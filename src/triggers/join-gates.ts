import { FunctionError } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { type AskContext, askGates, refusing, unreachable, unregistered } from "./ask-gates.ts";
import type { Bindings } from "./bindings.ts";
import { isFalse } from "./delivery.ts";
import {
  type GroupRead,
  type JoinedSubscription,
  joinPayload,
  readPayload,
  recheckPayload,
} from "./payloads.ts";
import type { ReadAdmissions } from "./read-admissions.ts";

/** Dependencies of the join gates. */
export interface JoinContext extends AskContext {
  readonly bindings: Bindings;
  readonly reads: ReadAdmissions;
  readonly isRequired: boolean;
  /** Reports the outcome of a join listener (`gate: false`). */
  readonly onListenerResult: (trigger: BoundTrigger, error: FunctionError | undefined) => void;
}

/** How a subscription is admitted. */
export interface AdmitOptions {
  /** Whether the gates decide. Default true. */
  readonly asksGates?: boolean | undefined;
  /** Whether it may be replaced before anybody is notified of it: @see Provisional. Default false. */
  readonly isProvisional?: boolean | undefined;
  /** Whether reads of its caller need not ask the gates while it is open. Default true. */
  readonly coversReads?: boolean | undefined;
}

/** Calls the join listeners. Resolves when they have run. */
export type NotifyJoined = () => Promise<void>;

/** The gates of type `stream:join`. */
export interface JoinGates {
  /** Whether there are join listeners (`gate: false`). */
  hasListeners(): boolean;
  /**
   * Asks all join gates about a subscription, concurrently.
   *
   * @param options.asksGates Whether the gates decide. False for the service's own callers: then
   *   nothing refuses, and only the join listeners are called. Default true.
   * @returns What calls the join listeners (`gate: false`), and resolves when they have run. The
   *   subscription need not wait for it. Not to be called for one that continues an earlier one.
   * @throws StreamError JOIN_REFUSED unless every gate allows it.
   */
  admit(joined: JoinedSubscription, options?: AdmitOptions): Promise<NotifyJoined>;

  /**
   * Asks all join gates again about an open subscription, with `recheck: true` in the payload. No
   * listener is called, and nothing else happens: the caller ends a refused subscription.
   *
   * @throws StreamError JOIN_REFUSED unless every gate allows it to stay.
   */
  recheck(joined: JoinedSubscription): Promise<void>;

  /**
   * Asks all join gates whether a caller may read an item or a group, with `action: "read"` in the
   * payload. They are not asked while an admitted subscription of the same caller and connection
   * covers the read, nor for 10 s after they allowed it (see ReadAdmissions). Listeners are not
   * called, and there is no leave.
   *
   * @returns Undefined when it is allowed without a question. Never throws synchronously.
   * @throws StreamError JOIN_REFUSED, as a rejection, unless every gate allows it.
   */
  admitRead(read: GroupRead): Promise<void> | undefined;
}

/** Asks the gates of type `stream:join`, and calls the listeners. */
export function createJoinGates(context: JoinContext): JoinGates {
  const { bindings, registry, reads, isRequired, onRefused } = context;
  const refuseJoin = refusing(
    onRefused,
    "join_refused",
    "JOIN_REFUSED",
    "The subscription was refused by a join gate; it may be one that the caller is allowed to make.",
  );
  const refuseRead = refusing(
    onRefused,
    "join_refused",
    "JOIN_REFUSED",
    "The read was refused by a join gate; it may be one that the caller is allowed to make.",
  );
  let all: readonly BoundTrigger[] = [];
  let gates: readonly BoundTrigger[] = [];
  let listeners: readonly BoundTrigger[] = [];
  /** The triggers in force. Answers about reads are those of the same gates. */
  const refresh = () => {
    const now = bindings.ofType("stream:join");
    if (now === all) return;
    const before = gates;
    all = now;
    gates = all.filter(({ definition }) => definition.config.gate !== false);
    listeners = all.filter(({ definition }) => definition.config.gate === false);
    const isSame =
      gates.length === before.length && gates.every(({ id }, i) => id === before[i]?.id);
    if (!isSame) reads.forget();
  };
  const ask = async (payload: string, refuse: typeof refuseJoin): Promise<void> => {
    await askGates(context, { gates, payload, read: () => undefined, refuse });
  };
  /** Whether there are gates to ask. */
  const hasGates = (refuse: typeof refuseJoin): boolean => {
    if (!registry.isCurrent()) return refuse("join gates", unreachable());
    refresh();
    if (gates.length === 0 && isRequired) return refuse("join_gate", unregistered());
    return gates.length > 0;
  };

  return {
    hasListeners() {
      refresh();
      return listeners.length > 0;
    },

    async admit(joined, { asksGates = true } = {}) {
      const mustAsk = asksGates && hasGates(refuseJoin);
      refresh();
      const notified = listeners;
      if (!mustAsk && notified.length === 0) return notifyNobody;
      const payload = joinPayload(joined);
      if (mustAsk) await ask(payload, refuseJoin);
      return notified.length === 0
        ? notifyNobody
        : () => notifyListeners(context, notified, payload);
    },

    async recheck(joined) {
      if (hasGates(refuseJoin)) await ask(recheckPayload(joined), refuseJoin);
    },

    admitRead(read) {
      try {
        if (!hasGates(refuseRead)) return undefined;
      } catch (error) {
        return Promise.reject(error);
      }
      return reads.admit(read, () => ask(readPayload(read), refuseRead));
    },
  };
}

const notifyNobody: NotifyJoined = () => Promise.resolve();

/** Calls the join listeners. Their results are ignored, and no subscription waits for them. */
async function notifyListeners(
  { call, onListenerResult }: JoinContext,
  listeners: readonly BoundTrigger[],
  payload: string,
): Promise<void> {
  await Promise.all(
    listeners.map(async (trigger) => {
      const { functionId, config, metadata } = trigger.definition;
      const options = { metadata: metadata === undefined ? undefined : JSON.stringify(metadata) };
      try {
        const condition = config.conditionFunctionId;
        if (condition !== undefined && isFalse(await call(condition, payload))) return;
        await call(functionId, payload, options);
        onListenerResult(trigger, undefined);
      } catch (error) {
        onListenerResult(trigger, FunctionError.from(error));
      }
    }),
  );
}

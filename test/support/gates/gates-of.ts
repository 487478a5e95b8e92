import type { Coordinator, GateOptions, StreamService } from "millrace";
import type { RefusalKind } from "../../../src/triggers/ask-gates.ts";
import { createBindings } from "../../../src/triggers/bindings.ts";
import { type Gates, createGates } from "../../../src/triggers/gates.ts";
import { ReadAdmissions } from "../../../src/triggers/read-admissions.ts";

/** A refusal, as the operator sees it. */
export interface SeenRefusal {
  readonly kind: RefusalKind;
  readonly gate: string;
  readonly why: string;
}

/** Gates under test, with the refusals that they reported. */
export interface TestGates {
  readonly gates: Gates;
  /** The answers about reads, as the gates use them. */
  readonly reads: ReadAdmissions;
  readonly refusals: readonly SeenRefusal[];
}

/** Times of gates under test, in milliseconds. */
export interface TestTimes {
  readonly now?: () => number;
  readonly clock?: () => number;
}

/** The gates of a service that runs over a coordinator, for calls that no protocol makes. */
export function gatesOf(
  { registry }: Coordinator,
  service: StreamService,
  { now = () => performance.now(), clock = Date.now, ...options }: GateOptions & TestTimes = {},
): TestGates {
  const refusals: SeenRefusal[] = [];
  const reads = new ReadAdmissions(now);
  const gates = createGates({
    ...options,
    bindings: createBindings(registry),
    registry,
    reads,
    clock,
    async call(functionId, payload, { timeoutMs = 30_000, metadata } = {}) {
      const result = await service.trigger({
        function_id: functionId,
        payload: JSON.parse(payload) as unknown,
        timeout_ms: timeoutMs,
        ...(metadata !== undefined && { metadata: JSON.parse(metadata) as unknown }),
      });
      return result === undefined ? undefined : JSON.stringify(result);
    },
    onRefused: (kind, gate, why) => refusals.push({ kind, gate, why }),
    onListenerResult: () => {},
  });
  return { gates, reads, refusals };
}

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Registration } from "millrace";
import type { AuthRequest } from "../../src/core/auth.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls } from "../support/gates/calls.ts";
import { ENTRANCES } from "../support/gates/entrances.ts";
import {
  type Gatehouse,
  type JoinPayload,
  MARKS,
  openGatehouse,
} from "../support/gates/gatehouse.ts";

/*
 * Every protocol, every check, every way in which a check can fail: no subscription is admitted,
 * and no leave is delivered (G8). The table at the end shows the outcome of each cell.
 */

const GATE_TIMEOUT_MS = 150;

/** The checks, with the result of their function that allows a join. */
const GATES = [
  ["auth", {}],
  ["join", undefined],
  // Skips the gate behind it, which always refuses.
  ["condition", false],
] as const;

type Gate = (typeof GATES)[number][0];
type Payload = AuthRequest | JoinPayload;

/** The function of a check, which can be made to fail. */
interface Weak {
  answer: (payload: Payload) => unknown;
  readonly calls: Calls<Payload>;
  /** Disconnects its provider without notice. */
  vanish(): Promise<void>;
  /** Makes it allow, with a new provider if it has none. */
  mend(): Promise<void>;
}

/** Makes it fail. @returns The step that follows its call, if any. */
type Failure = (weak: Weak) => Promise<(() => Promise<void>) | undefined>;

const answering =
  (answer: () => unknown): Failure =>
  async (weak) => {
    weak.answer = answer;
    return undefined;
  };
const never = () => new Promise(() => {});

const FAILURES: Readonly<Record<string, Failure>> = {
  throws: answering(() => {
    throw new Error("out of order");
  }),
  "times out": answering(never),
  async missing(weak) {
    await weak.vanish();
    return undefined;
  },
  "wrong shape": answering(() => ({ unauthorized: "yes" })),
  unauthorized: answering(() => ({ unauthorized: true })),
  async "gone in the call"(weak) {
    weak.answer = never;
    return weak.vanish;
  },
};

async function openGuarded(gate: Gate, allows: unknown): Promise<{ house: Gatehouse; weak: Weak }> {
  const calls = newCalls<Payload>();
  let provider: Registration | undefined;
  const isMark = (payload: Payload) =>
    ("path" in payload ? payload.path : payload.stream_name) === MARKS;
  const house = await openGatehouse({
    authFunction: gate === "auth" ? "weak" : undefined,
    gateTimeoutMs: GATE_TIMEOUT_MS,
  });
  const { service } = house;
  const weak: Weak = {
    answer: () => allows,
    calls,
    async vanish() {
      await provider?.unregister("lost");
      provider = undefined;
    },
    async mend() {
      weak.answer = () => allows;
      provider ??= await service.registerFunction("weak", (payload: Payload) => {
        if (isMark(payload)) return allows;
        calls.record(payload);
        return weak.answer(payload);
      });
    },
  };
  await weak.mend();
  if (gate === "join") await service.registerTrigger({ type: "stream:join", function_id: "weak" });
  if (gate === "condition") {
    await service.registerFunction("closed", () => ({ unauthorized: true }));
    const config = { condition_function_id: "weak" };
    await service.registerTrigger({ type: "stream:join", function_id: "closed", config });
  }
  return { house, weak };
}

/** The outcomes: by entrance, then by gate and failure. */
const table = new Map(ENTRANCES.map(({ name }) => [name, new Map<string, string>()]));
afterAll(() => console.info(printed()));

describe.each(GATES)("the check %s admits no subscription (G8)", (gate, allows) => {
  const allowed: string[] = [];
  let house: Gatehouse;
  let weak: Weak;
  beforeAll(async () => {
    ({ house, weak } = await openGuarded(gate, allows));
  });
  afterAll(async () => {
    await house.server.close();
    // All remaining leaves were delivered during the drain.
    expect(groupsOf(house.leaves.all)).toEqual(allowed);
  });

  const cases = ENTRANCES.flatMap((entrance) =>
    Object.entries(FAILURES).map(
      ([failure, begin]) => [entrance.name, failure, entrance, begin] as const,
    ),
  );
  it.each(cases)("over %s when it fails: %s", async (name, failure, entrance, begin) => {
    const wanted = { streamName: "rooms", groupId: uniqueName("refused"), itemId: "a" };
    const open = { ...wanted, groupId: uniqueName("allowed") };
    const received = house.leaves.all.length;
    const asks = failure === "missing" ? 0 : entrance.asks[gate === "auth" ? "auth" : "join"];
    const called = weak.calls.all.length + asks;
    const visit = entrance.visit(house);
    try {
      const during = await begin(weak);
      const following = visit.follow(wanted);
      await weak.calls.count(called);
      await during?.();
      const outcomes = await following;
      const isIn = outcomes.some((each) => each.startsWith("in:"));
      table.get(name)?.set(`${gate}, ${failure}`, isIn ? "LET IN" : "refused");
      const refusal = gate === "auth" ? entrance.stranger : entrance.unwanted(wanted);
      expect(outcomes).toEqual(outcomes.map(() => refusal));
      expect(weak.calls.all.length).toBe(called);

      // Clients are admitted as soon as the check allows, and receive no late frames of refused
      // joins.
      await weak.mend();
      await house.service.set({ ...wanted, data: "secret" });
      const welcome = await visit.follow(open);
      const groups = welcome.map(() => open.groupId);
      expect(welcome.map((each) => /^in: (?:sync|resumed) (.*)$/.exec(each)?.[1])).toEqual(groups);
      await visit.close();
      allowed.push(...groups);
      await house.leaves.count(received + groups.length);
      expect(groupsOf((await house.leavesSoFar()).slice(received))).toEqual(groups);
    } finally {
      await weak.mend();
      await visit.close();
    }
  });
});

function groupsOf(leaves: readonly JoinPayload[]): string[] {
  return leaves.map(({ group_id: groupId }) => groupId);
}

/** The table, as text. */
function printed(): string {
  const failures = Object.keys(FAILURES);
  const columns = GATES.flatMap(([gate]) => failures.map((failure) => [gate, failure] as const));
  const rows = [
    ["", ...columns.map(([gate, failure]) => (failure === failures[0] ? gate : ""))],
    ["", ...columns.map(([, failure]) => failure)],
    ...Array.from(table, ([name, cells]) => [
      name,
      ...columns.map(([gate, failure]) => cells.get(`${gate}, ${failure}`) ?? "NOT KNOWN"),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  "));
  return `Who gets in when a check fails:\n${lines.join("\n")}`;
}

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Registration } from "millrace";
import type { AuthRequest } from "../../src/core/auth.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls } from "../support/gates/calls.ts";
import { ENTRY_POINTS } from "../support/gates/entrances.ts";
import {
  type GatedServer,
  type JoinPayload,
  BARRIER_STREAM,
  openGatedServer,
} from "../support/gates/gated-server.ts";

/*
 * Every protocol, every check, every failure of a check: no subscription is admitted, and no leave
 * is delivered (G8). The table at the end shows the outcome of each cell.
 */

const GATE_TIMEOUT_MS = 150;

/** The checks, with the result of their function that allows a join. */
const GATES = [
  ["auth", {}],
  ["join", undefined],
  // Skips a gate that always refuses.
  ["condition", false],
] as const;

type Gate = (typeof GATES)[number][0];
type Payload = AuthRequest | JoinPayload;

/** The function of a check that can be made to fail. */
interface Check {
  answer: (payload: Payload) => unknown;
  readonly calls: Calls<Payload>;
  /** Disconnects its provider without notice. */
  vanish(): Promise<void>;
  /** Makes it allow, with a new provider if it has none. */
  restore(): Promise<void>;
}

/** Makes a check fail. @returns The step that follows its call, if any. */
type Failure = (check: Check) => Promise<(() => Promise<void>) | undefined>;

const returning =
  (answer: () => unknown): Failure =>
  async (check) => {
    check.answer = answer;
    return undefined;
  };
const never = () => new Promise(() => {});

const FAILURES: Readonly<Record<string, Failure>> = {
  throws: returning(() => {
    throw new Error("out of order");
  }),
  "times out": returning(never),
  async missing(check) {
    await check.vanish();
    return undefined;
  },
  "wrong shape": returning(() => ({ unauthorized: "yes" })),
  unauthorized: returning(() => ({ unauthorized: true })),
  async "provider lost during the call"(check) {
    check.answer = never;
    return check.vanish;
  },
};

async function openGuarded(
  gate: Gate,
  allows: unknown,
): Promise<{ gated: GatedServer; check: Check }> {
  const calls = newCalls<Payload>();
  let provider: Registration | undefined;
  const isBarrier = (payload: Payload) =>
    ("path" in payload ? payload.path : payload.stream_name) === BARRIER_STREAM;
  const gated = await openGatedServer({
    authFunction: gate === "auth" ? "check" : undefined,
    gateTimeoutMs: GATE_TIMEOUT_MS,
  });
  const { service } = gated;
  const check: Check = {
    answer: () => allows,
    calls,
    async vanish() {
      await provider?.unregister("lost");
      provider = undefined;
    },
    async restore() {
      check.answer = () => allows;
      provider ??= await service.registerFunction("check", (payload: Payload) => {
        if (isBarrier(payload)) return allows;
        calls.record(payload);
        return check.answer(payload);
      });
    },
  };
  await check.restore();
  if (gate === "join") await service.registerTrigger({ type: "stream:join", function_id: "check" });
  if (gate === "condition") {
    await service.registerFunction("closed", () => ({ unauthorized: true }));
    const config = { condition_function_id: "check" };
    await service.registerTrigger({ type: "stream:join", function_id: "closed", config });
  }
  return { gated, check };
}

/** The outcomes: by entry point, then by check and failure. */
const table = new Map(ENTRY_POINTS.map(({ name }) => [name, new Map<string, string>()]));
afterAll(() => console.info(printed()));

describe.each(GATES)("the check %s", (gate, allows) => {
  const allowed: string[] = [];
  let gated: GatedServer;
  let check: Check;
  beforeAll(async () => {
    ({ gated, check } = await openGuarded(gate, allows));
  });
  afterAll(async () => {
    await gated.server.close();
    // All remaining leaves were delivered during the drain.
    expect(groupsOf(gated.leaves.all)).toEqual(allowed);
  });

  const cases = ENTRY_POINTS.flatMap((entryPoint) =>
    Object.entries(FAILURES).map(
      ([failure, begin]) => [entryPoint.name, failure, entryPoint, begin] as const,
    ),
  );
  it.each(cases)("fails closed over %s: %s (G8)", async (name, failure, entryPoint, begin) => {
    const wanted = { streamName: "rooms", groupId: uniqueName("refused"), itemId: "a" };
    const open = { ...wanted, groupId: uniqueName("allowed") };
    const received = gated.leaves.all.length;
    const calls = failure === "missing" ? 0 : entryPoint.calls[gate === "auth" ? "auth" : "join"];
    const called = check.calls.all.length + calls;
    const visit = entryPoint.visit(gated);
    try {
      const during = await begin(check);
      const following = visit.follow(wanted);
      await check.calls.count(called);
      await during?.();
      const outcomes = await following;
      const isIn = outcomes.some((each) => each.startsWith("in:"));
      table.get(name)?.set(`${gate}, ${failure}`, isIn ? "ADMITTED" : "refused");
      const refusal = gate === "auth" ? entryPoint.unauthenticated : entryPoint.unwanted(wanted);
      expect(outcomes).toEqual(outcomes.map(() => refusal));
      expect(check.calls.all.length).toBe(called);

      // Clients are admitted as soon as the check allows, and receive no late frames of refused
      // joins.
      await check.restore();
      await gated.service.set({ ...wanted, data: "secret" });
      const welcome = await visit.follow(open);
      const groups = welcome.map(() => open.groupId);
      expect(welcome.map((each) => /^in: (?:sync|resumed) (.*)$/.exec(each)?.[1])).toEqual(groups);
      await visit.close();
      allowed.push(...groups);
      await gated.leaves.count(received + groups.length);
      expect(groupsOf((await gated.leavesSoFar()).slice(received))).toEqual(groups);
    } finally {
      await check.restore();
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
      ...columns.map(([gate, failure]) => cells.get(`${gate}, ${failure}`) ?? "UNKNOWN"),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  "));
  return `Outcomes of subscriptions when a check fails:\n${lines.join("\n")}`;
}

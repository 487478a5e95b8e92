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
 * Every door, every check, every way in which a check can fail: nobody gets in, and nobody hears of a
 * leave (G8). The table at the end shows each cell as it was found.
 */

const GATE_TIMEOUT_MS = 150;

/** The checks, with the answer of their function that lets somebody in. */
const GATES = [
  ["auth", {}],
  ["join", undefined],
  // Skips the gate behind it, which refuses whenever it is asked.
  ["condition", false],
] as const;

type Gate = (typeof GATES)[number][0];
type Payload = AuthRequest | JoinPayload;

/** The function of a check that can be made to fail. */
interface Weak {
  answer: (payload: Payload) => unknown;
  readonly calls: Calls<Payload>;
  /** Takes its provider away without a word. */
  vanish(): Promise<void>;
  /** Has it allow, with a provider again if it has none. */
  mend(): Promise<void>;
}

/** Makes it fail. @returns what has yet to happen once it was called. */
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

/** What was found: entrance, then gate and failure. */
const table = new Map(ENTRANCES.map(({ name }) => [name, new Map<string, string>()]));
afterAll(() => console.info(printed()));

describe.each(GATES)("where the check is %s nobody gets in (G8)", (gate, allows) => {
  const allowed: string[] = [];
  let house: Gatehouse;
  let weak: Weak;
  beforeAll(async () => {
    ({ house, weak } = await openGuarded(gate, allows));
  });
  afterAll(async () => {
    await house.server.close();
    // Whatever else there was to tell has been told on the way out.
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
    const told = house.leaves.all.length;
    const asks = failure === "missing" ? 0 : entrance.asks[gate === "auth" ? "auth" : "join"];
    const called = weak.calls.all.length + asks;
    const visit = entrance.visit(house);
    try {
      const during = await begin(weak);
      const following = visit.follow(wanted);
      await weak.calls.count(called);
      await during?.();
      const heard = await following;
      const isIn = heard.some((each) => each.startsWith("in:"));
      table.get(name)?.set(`${gate}, ${failure}`, isIn ? "LET IN" : "refused");
      const refusal = gate === "auth" ? entrance.stranger : entrance.unwanted(wanted);
      expect(heard).toEqual(heard.map(() => refusal));
      expect(weak.calls.all.length).toBe(called);

      // They get in as soon as the check allows, and hear nothing late of what they were refused.
      await weak.mend();
      await house.service.set({ ...wanted, data: "secret" });
      const welcome = await visit.follow(open);
      const groups = welcome.map(() => open.groupId);
      expect(welcome.map((each) => /^in: (?:sync|resumed) (.*)$/.exec(each)?.[1])).toEqual(groups);
      await visit.close();
      allowed.push(...groups);
      await house.leaves.count(told + groups.length);
      expect(groupsOf((await house.leavesSoFar()).slice(told))).toEqual(groups);
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

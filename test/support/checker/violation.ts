/** The guarantee that was broken. `record`: none, the history itself is malformed. */
export type Guarantee =
  | "G1"
  | "G2"
  | "G3"
  | "G4"
  | "G5"
  | "G6"
  | "G10"
  | "G11"
  | "clock"
  | "events"
  | "listing"
  | "record";

/** Short descriptions of the guarantees. */
const GUARANTEES: Readonly<Record<Guarantee, string>> = {
  G1: "Atomic: no state without its event, no event without its state, no part of a batch",
  G2: "Ordered: one order of changes, the store's, for all subscribers",
  G3: "Complete and unique: within a segment every change once, without a gap, from a true state",
  G4: "Resumable: an honest replay or a fresh sync, never a silent hole",
  G5: "Bookmarked: a heartbeat's position is true and in time",
  G6: "Durable: what was acknowledged or delivered is never lost",
  G10: "Fresh: a read includes every write acknowledged before it began",
  G11: "Revoked: an ended subscription receives nothing that is committed after the response",
  clock: "Clock: timestamps of a group's events are strictly increasing",
  events: "Transient events: at most once, never replayed, never before the change they follow",
  listing: "Listing: creation order, nothing missed or repeated",
  record: "The history is malformed: a fault of the test, not of the service",
};

/** A location in a history. */
export interface Where {
  readonly group?: string | undefined;
  /** The client that saw it: a subscriber or another one. */
  readonly client?: string | undefined;
  /** The attempt to subscribe. */
  readonly subscription?: string | undefined;
  /** Index of the frame in the attempt, from 0. */
  readonly frame?: number | undefined;
}

/** One broken promise. */
export interface Violation extends Where {
  readonly guarantee: Guarantee;
  /** The check that found it. */
  readonly check: string;
  /** One sentence: what was seen, and what was expected. */
  readonly message: string;
  /** The records that prove it, abbreviated. */
  readonly evidence: readonly string[];
}

/** Receives the findings of a check. */
export type Report = (
  guarantee: Guarantee,
  where: Where,
  message: string,
  ...evidence: readonly unknown[]
) => void;

/** Collects violations of all checks, up to a limit for each. */
export interface Findings {
  /** A report function that adds the name of the check. */
  reportFor(check: string): Report;
  /** All violations so far; if a check found more than the limit, a last entry counts the rest. */
  violations(): Violation[];
}

/** Creates an empty collection. */
export function createFindings(maxPerCheck: number): Findings {
  const found: Violation[] = [];
  const counts = new Map<string, number>();
  return {
    reportFor:
      (check) =>
      (guarantee, where, message, ...evidence) => {
        const count = (counts.get(check) ?? 0) + 1;
        counts.set(check, count);
        if (count > maxPerCheck) return;
        const { group, client, subscription, frame } = where;
        found.push({
          guarantee,
          check,
          message,
          group,
          client,
          subscription,
          frame,
          evidence: evidence.map(inShort),
        });
      },
    violations: () => {
      const rest = [...counts].filter(([, count]) => count > maxPerCheck);
      return [
        ...found,
        ...rest.map(([check, count]): Violation => {
          const last = found.findLast((violation) => violation.check === check);
          const message = `The check "${check}" found ${count - maxPerCheck} more.`;
          return { guarantee: last?.guarantee ?? "record", check, message, evidence: [] };
        }),
      ];
    },
  };
}

/** A readable report: violations by guarantee, each with its location and evidence. */
export function describeViolations(violations: readonly Violation[]): string {
  if (violations.length === 0) return "No guarantee was broken.";
  const lines = [`${violations.length} violation${violations.length === 1 ? "" : "s"}:`];
  for (const [guarantee, title] of Object.entries(GUARANTEES)) {
    const those = violations.filter((violation) => violation.guarantee === guarantee);
    if (those.length === 0) continue;
    lines.push("", `${guarantee} (${title}): ${those.length}`);
    for (const violation of those) {
      lines.push(`  - ${violation.message} [${violation.check}]${place(violation)}`);
      for (const evidence of violation.evidence) lines.push(`      ${evidence}`);
    }
  }
  return lines.join("\n");
}

function place(where: Where): string {
  const parts = [
    where.group === undefined ? "" : `group ${JSON.stringify(where.group)}`,
    where.client === undefined ? "" : `client ${where.client}`,
    where.subscription === undefined ? "" : `subscription ${where.subscription}`,
    where.frame === undefined ? "" : `frame ${where.frame}`,
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function inShort(evidence: unknown): string {
  const text =
    typeof evidence === "string" ? evidence : (JSON.stringify(evidence) ?? String(evidence));
  return text.length > 300 ? `${text.slice(0, 297)}...` : text;
}

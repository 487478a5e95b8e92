import { FunctionError } from "../core/function-call.ts";
import { type TriggerConfig, type TriggerType, isGate } from "../core/trigger.ts";
import { type ConfigSection, invalidField, readRequiredName } from "./config-fields.ts";

/** How long an event of a durable trigger waits for a provider by default, in milliseconds: 7 days. */
const DEFAULT_MAX_AWAY_MS = 604_800_000;
/** Shortest and longest `max_away`, in milliseconds: a second and 366 days. */
const MIN_MAX_AWAY_MS = 1000;
const MAX_MAX_AWAY_MS = 366 * 86_400_000;

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 } as const;
const DURATION = /^(\d{1,9})([dhms])$/;

/**
 * The part of the config that makes a trigger durable; empty when it has no `durable`.
 *
 * @throws FunctionError trigger_invalid
 */
export function durableConfig(type: TriggerType, section: ConfigSection): TriggerConfig {
  // An empty name is refused: ignored, the trigger would not be durable, unnoticed.
  const given = section["durable"] ?? undefined;
  const durable = given === undefined ? undefined : readRequiredName("config.durable", given);
  const start = section["start"] ?? "";
  const maxAway = section["max_away"] ?? "";
  if (durable === undefined) {
    const field = start !== "" ? "start" : "max_away";
    if (start === "" && maxAway === "") return {};
    if (type !== "stream") return {};
    throw refusal(
      `config.${field} needs config.durable; it may be left out, or durable may be a name.`,
    );
  }
  if (isGate({ type })) {
    throw refusal(
      `config.durable is set, but a ${type} trigger stays in force by itself; durable may be set for stream and stream:leave.`,
    );
  }
  if (type !== "stream") return { durable };
  if (start !== "" && start !== "state")
    throw invalidField("config.start", start, '"state", or left out for the changes from now on');
  return {
    durable,
    maxAwayMs: maxAway === "" ? DEFAULT_MAX_AWAY_MS : awayOf(maxAway),
    ...(start === "state" && { start }),
  };
}

/** The text of a `max_away`. */
export function formatAway(ms: number): string {
  for (const [unit, factor] of Object.entries(UNITS))
    if (ms % factor === 0) return `${ms / factor}${unit}`;
  return `${Math.ceil(ms / UNITS.s)}s`;
}

function awayOf(given: unknown): number {
  const [, count, unit] = (typeof given === "string" && DURATION.exec(given)) || [];
  const ms = Number(count) * UNITS[unit as keyof typeof UNITS];
  if (ms >= MIN_MAX_AWAY_MS && ms <= MAX_MAX_AWAY_MS) return ms;
  throw invalidField(
    "config.max_away",
    given,
    'a duration such as "7d", "12h" or "90s", from 1s to 366d',
  );
}

function refusal(sentence: string): FunctionError {
  return new FunctionError("trigger_invalid", sentence);
}

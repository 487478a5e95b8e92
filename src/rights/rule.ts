import { isRecord } from "../core/is-record.ts";
import { closestKey } from "../core/spelling.ts";
import { ACTIONS, type Action } from "./action.ts";
import { ANY_NAME, type Pattern, compilePattern } from "./pattern.ts";
import { SettingError } from "./setting-error.ts";

/** Allows actions on all resources that its patterns match. No rule denies. */
export interface Rule {
  /** Where the rule was written: `auth.rules[3]`, `token[0]`, `auth_function[0]`. */
  readonly place: string;
  /** The actions as written. */
  readonly written: readonly (Action | "*")[];
  /** All actions that it allows: `*` and `work` stand for every action. */
  readonly actions: ReadonlySet<Action>;
  readonly stream: Pattern;
  readonly group: Pattern;
  readonly item: Pattern;
}

/** Most rules in one list. */
const MAX_RULES = 1_000;

const KEYS = ["actions", "stream", "group", "item"] as const;
const WORDS: readonly string[] = [...ACTIONS, "*"];
const EVERY_ACTION: ReadonlySet<Action> = new Set(ACTIONS);

/** A rule that is invalid. */
export class RuleError extends SettingError {
  override readonly name = "RuleError";
}

/**
 * Reads a list of rules: from the configuration, a claim of a token, or the result of
 * `auth_function`.
 *
 * @param value `[{actions, stream?, group?, item?}]`; a missing pattern means all names.
 * @param place Where the list is written, for messages and logs, such as `auth.rules`.
 * @throws RuleError
 */
export function readRules(value: unknown, place: string): Rule[] {
  if (!Array.isArray(value))
    throw new RuleError(place, "is not a list; it may be a list of rules.");
  if (value.length > MAX_RULES) {
    throw new RuleError(
      place,
      `has ${value.length} rules; it may have ${MAX_RULES}. Patterns with placeholders serve many users.`,
    );
  }
  return value.map((each: unknown, index) => readRule(each, `${place}[${index}]`));
}

/** Whether a rule allows everything to everybody who has it. */
export function allowsEverything({ actions, stream, group, item }: Rule): boolean {
  return actions.size === ACTIONS.length && stream.isAny && group.isAny && item.isAny;
}

/** The rule that allows everything. */
export function everything(place: string): Rule {
  return createRule(place, ["*"], { stream: ANY_NAME, group: ANY_NAME, item: ANY_NAME });
}

function readRule(value: unknown, place: string): Rule {
  if (!isRecord(value)) {
    throw new RuleError(
      place,
      `is not an object; it may be an object with the keys ${KEYS.join(", ")}.`,
    );
  }
  for (const key of Object.keys(value)) {
    if ((KEYS as readonly string[]).includes(key)) continue;
    const meant = closestKey(key, KEYS);
    const hint = meant === undefined ? `it may have ${KEYS.join(", ")}.` : `did you mean ${meant}?`;
    throw new RuleError(place, `has an unknown key ${JSON.stringify(key.slice(0, 64))}; ${hint}`);
  }
  return createRule(place, readActions(value["actions"], place), {
    stream: readPattern(value["stream"], `${place}.stream`),
    group: readPattern(value["group"], `${place}.group`),
    item: readPattern(value["item"], `${place}.item`),
  });
}

function readActions(value: unknown, place: string): Rule["written"] {
  const allowed = `it may be a list of ${WORDS.join(", ")}.`;
  if (value === undefined) throw new RuleError(place, `has no actions; ${allowed}`);
  if (!Array.isArray(value)) throw new RuleError(`${place}.actions`, `is not a list; ${allowed}`);
  if (value.length === 0) throw new RuleError(`${place}.actions`, `is empty; ${allowed}`);
  for (const action of value as unknown[]) {
    if (typeof action !== "string")
      throw new RuleError(`${place}.actions`, `has an entry that is not text; ${allowed}`);
    if (WORDS.includes(action)) continue;
    const meant = closestKey(action, WORDS);
    const hint = meant === undefined ? allowed : `did you mean ${meant}?`;
    const name = JSON.stringify(action.slice(0, 64));
    throw new RuleError(`${place}.actions`, `has an unknown action ${name}; ${hint}`);
  }
  return value as Rule["written"];
}

function readPattern(value: unknown, place: string): Pattern {
  if (value === undefined) return ANY_NAME;
  if (typeof value !== "string")
    throw new RuleError(place, "is not text; it may be a pattern for names.");
  try {
    return compilePattern(value);
  } catch (error) {
    throw new RuleError(place, `${(error as Error).message}.`);
  }
}

function createRule(
  place: string,
  written: Rule["written"],
  patterns: Readonly<Record<"stream" | "group" | "item", Pattern>>,
): Rule {
  return { place, written, actions: impliedBy(written), ...patterns };
}

function impliedBy(written: Rule["written"]): ReadonlySet<Action> {
  return written.includes("*") || written.includes("work")
    ? EVERY_ACTION
    : new Set(written as readonly Action[]);
}

import { MAX_NAME_BYTES } from "../core/names.ts";
import { utf8Length } from "../core/text.ts";
import type { Action } from "./action.ts";
import type { Pattern } from "./pattern.ts";
import type { Rule } from "./rule.ts";

/** The callers that a rule is for: `auth.rules`, `auth.anonymous`, or `allow` of a key. */
export type RuleHolder = "users" | "anonymous" | "key";

type Part = "stream" | "group" | "item";

const PARTS: readonly Part[] = ["stream", "group", "item"];
const CONTROL = /\p{Cc}/u;

/**
 * Warnings about a rule that is valid but probably not meant: one that can never match, or one that
 * allows more than it seems to.
 *
 * @returns Sentences for the operator, each beginning with the place of the rule.
 */
export function doubtsAbout(rule: Rule, holder: RuleHolder): string[] {
  return [
    ...PARTS.flatMap((part) => doubtsAboutPattern(rule[part], `${rule.place}.${part}`, holder)),
    ...unusableActions(rule),
    ...(holder === "key" ? [] : wideActions(rule, holder)),
  ];
}

function doubtsAboutPattern(pattern: Pattern, place: string, holder: RuleHolder): string[] {
  const { text, literals } = pattern;
  const doubts: string[] = [];
  if (pattern.hasPlaceholders && holder !== "users") {
    const callers = holder === "key" ? "callers with a key" : "anonymous callers";
    doubts.push(
      `${place} is ${text}, which never matches: ${callers} have neither user, claims nor context.`,
    );
  }
  const fixed = literals.join("");
  if (CONTROL.test(fixed)) doubts.push(`${place} never matches: names have no control characters.`);
  if (utf8Length(fixed) > MAX_NAME_BYTES)
    doubts.push(`${place} never matches: names have at most ${MAX_NAME_BYTES} bytes.`);
  if (pattern.isBlurred && holder === "users") {
    doubts.push(
      `${place} is ${text}, which may match names of other users, as {user}* of ann matches anna; put a character that ids never contain after each placeholder, as in {user}/*.`,
    );
  }
  return doubts;
}

/**
 * Actions whose resource never has the parts that the rule demands. A worker connects to the whole
 * service, and presence belongs to a whole group.
 */
function unusableActions({ place, written, stream, group, item }: Rule): string[] {
  const doubts: string[] = [];
  if (written.includes("work") && !(stream.isAny && group.isAny && item.isAny)) {
    doubts.push(
      `${place} never lets a worker connect: action work is about the whole service, so it needs a rule without stream, group and item. It still allows all other actions here.`,
    );
  }
  if (written.includes("presence") && !item.isAny) {
    doubts.push(
      `${place} never allows presence: it is about a whole group, so it needs a rule without item.`,
    );
  }
  return doubts;
}

/** Actions that hardly ever belong to all users, or to callers without credentials. */
function wideActions(rule: Rule, holder: "users" | "anonymous"): string[] {
  const { place, written, stream, group, item } = rule;
  const callers = holder === "users" ? "every user" : "anybody, without credentials,";
  const has = (action: Action | "*") => written.includes(action);
  const doubts: string[] = [];
  if (has("*")) doubts.push(`${place} lets ${callers} do everything, work and admin included (*).`);
  if (has("work")) doubts.push(`${place} lets ${callers} do everything, which work implies.`);
  if (has("admin"))
    doubts.push(`${place} lets ${callers} observe and end the subscriptions of others (admin).`);
  for (const action of ["subscribe", "read", "write", "send"] as const) {
    if (!has(action) || !stream.isAny) continue;
    if (holder === "anonymous")
      doubts.push(`${place} lets ${callers} ${action} in all streams; it may name a stream.`);
    else if ((action === "write" || action === "send") && group.isAny && item.isAny)
      doubts.push(`${place} lets ${callers} ${action} everywhere; it may name a stream.`);
  }
  return doubts;
}

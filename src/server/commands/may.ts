import { StreamError } from "../../core/errors.ts";
import { checkName } from "../../core/names.ts";
import type { Action, Resource } from "../../rights/action.ts";
import type { Caller } from "../../rights/caller.ts";
import type { Pattern } from "../../rights/pattern.ts";
import type { Rule } from "../../rights/rule.ts";
import { createRequire } from "../../service/calls.ts";
import { callerRules } from "../auth-options.ts";
import { createCallers } from "../callers.ts";
import type { LoadedConfig } from "../config/config.ts";
import { HIDDEN } from "../config/discretion.ts";
import { toServerOptions } from "../config/options.ts";
import { pathOf } from "../config/tree.ts";

/** Whether a caller may do something. */
export interface MayAnswer {
  readonly isYes: boolean;
  /** The reason, with the rule that decides: one or more lines. */
  readonly reason: string;
}

/** A question that the configuration alone does not answer. */
class Undecided extends Error {
  override readonly name = "Undecided";
}

/** An address of no machine (RFC 5737): the caller comes from elsewhere. */
const ELSEWHERE = "192.0.2.1";

/**
 * Decides as the service with this configuration would, without the running service. Gates are not
 * asked.
 *
 * @param credential The key or token that the caller presents; undefined: none.
 * @param fileToken The token of the api_token_file.
 * @throws Undecided when `auth_function` identifies the caller.
 * @throws StreamError when a name is invalid.
 */
export async function decide(
  loaded: LoadedConfig,
  credential: string | undefined,
  action: Action,
  resource: Resource,
  fileToken?: string,
): Promise<MayAnswer> {
  const options = toServerOptions(loaded.config, loaded.publicKeys);
  const apiTokens = fileToken === undefined ? options.apiTokens : [fileToken];
  const problems: string[] = [];
  const callers = createCallers({
    ...(await callerRules({ ...options, apiTokens }, (sentence) => problems.push(sentence))),
    allowsOrigin: () => true,
    authenticate: options.authFunction === undefined ? undefined : undecided,
  });
  for (const part of ["stream", "group", "item"] as const)
    if (resource[part] !== undefined) checkName(part, resource[part]);
  let rule: Rule | undefined;
  const require = createRequire((decision) => (rule = decision.rule));
  try {
    const caller = await callers
      .find({
        address: ELSEWHERE,
        origin: undefined,
        host: undefined,
        authorization: credential === undefined ? undefined : `Bearer ${credential}`,
        isRelayed: false,
        isCrossOrigin: false,
      })
      .resolve({
        identity: undefined,
        connection: () => ({ connectionId: "" }),
        auth: () => NOTHING_SENT,
        subscribes: action === "subscribe",
        staysOpen: action === "subscribe" || action === "work",
      });
    const who = describe(caller);
    const isUnconfigured = callers.isSubscriberOnly(caller);
    try {
      require(caller, action, resource);
    } catch (error) {
      if (!(error instanceof StreamError && error.reason === "ACTION_DENIED")) throw error;
      const why = isUnconfigured
        ? "neither auth.rules nor auth.anonymous is set, so it may only subscribe"
        : "no rule allows it";
      return { isYes: false, reason: `${why} (${who})` };
    }
    if (isUnconfigured) {
      const reason = `everybody may subscribe, as neither auth.rules nor auth.anonymous is set (${who})`;
      return { isYes: true, reason };
    }
    if (rule === undefined) return { isYes: true, reason: `it may do everything (${who})` };
    return { isYes: true, reason: `${rule.place} allows it (${who})\n${textOf(rule, loaded)}` };
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    const reason = [`${error.reason}: ${error.message}`, ...problems].join("\n");
    return { isYes: false, reason };
  }
}

const NOTHING_SENT = { headers: {}, path: "", query_params: {}, addr: "", connection_id: "" };

function undecided(): never {
  throw new Undecided(
    "auth_function decides who this caller is, so only the running service can tell; present a key or a token.",
  );
}

function describe({ kind, author, user }: Caller): string {
  if (kind === "service") return `service with ${author.replace("key:", "key ")}`;
  if (kind === "user") return `user ${user ?? "without id"}`;
  return kind === "local" ? "trusted without credentials" : "anonymous";
}

/** The rule as it is written, with its place in the file when it is there. */
function textOf(rule: Rule, loaded: LoadedConfig): string {
  const path = pathOf(rule.place);
  const isInFile = path[0] === "auth";
  const shown = (part: "stream" | "group" | "item", { text, isAny }: Pattern) => {
    if (isAny) return [];
    const value =
      isInFile && loaded.isHidden({ path: [...path, part] }) ? HIDDEN : JSON.stringify(text);
    return [`${part}: ${value}`];
  };
  const parts = [
    `actions: [${rule.written.map((action) => (action === "*" ? '"*"' : action)).join(", ")}]`,
    ...shown("stream", rule.stream),
    ...shown("group", rule.group),
    ...shown("item", rule.item),
  ];
  const origin = isInFile ? loaded.originOf({ path }) : undefined;
  return `${origin === undefined ? "" : `${origin}: `}{ ${parts.join(", ")} }`;
}

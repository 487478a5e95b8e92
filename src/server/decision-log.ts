import type { Logger } from "pino";
import type { RightsDecision } from "../service/calls.ts";

/**
 * Logs decisions about the rights of callers, at level debug. Callers that may do everything are not
 * decided about.
 *
 * @returns undefined when the logger drops that level, so that no decision costs anything.
 */
export function decisionLog(logger: Logger): ((decision: RightsDecision) => void) | undefined {
  if (!logger.isLevelEnabled("debug")) return undefined;
  return ({ caller: { kind, user, author }, action, resource: { stream, group, item }, rule }) => {
    const key = kind === "service" ? author.replace(/^key:/, "") : undefined;
    const allowed = rule !== undefined;
    logger.debug(
      { caller: kind, user, key, action, stream, group, item, allowed, rule: rule?.place },
      allowed ? "a rule allows a call" : "no rule allows a call",
    );
  };
}

import { type CallerFacts, isLoopbackName, parseOrigin } from "./caller-facts.ts";

/** Which pages may use the service. */
export interface OriginRules {
  /** Origins of pages; `*`: any. Undefined: every loopback origin. */
  readonly allowedOrigins: readonly string[] | undefined;
  /** URL of the service as browsers see it. Pages of its origin are allowed, too. */
  readonly publicUrl: string | undefined;
}

/** Whether the page of a request, if one caused it, may use the service and read responses (CORS). */
export type AllowsOrigin = (facts: Pick<CallerFacts, "origin">) => boolean;

/** Builds the decision from the rules. */
export function createAllowsOrigin({ allowedOrigins, publicUrl }: OriginRules): AllowsOrigin {
  const publicOrigin = parseOrigin(publicUrl ?? "")?.origin;
  return ({ origin }) => {
    if (origin === undefined || origin === publicOrigin) return true;
    if (allowedOrigins !== undefined)
      return allowedOrigins.includes("*") || allowedOrigins.includes(origin);
    // Another name does not count even if the `host` header has it, too: a foreign name may have
    // been made to resolve to this machine (DNS rebinding).
    const url = parseOrigin(origin);
    return url !== undefined && isLoopbackName(url.hostname);
  };
}

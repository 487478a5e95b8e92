import type { AuthRequest } from "../core/auth.ts";
import { StreamError } from "../core/errors.ts";
import { type Authenticated, type Caller, LOCAL } from "../rights/caller.ts";
import { type KeyEntry, type ServiceKey, keyRing } from "../rights/keys.ts";
import { type Rights, rightsOf } from "../rights/rights.ts";
import { type Rule, allowsEverything, readRules } from "../rights/rule.ts";
import { type CallerFacts, isOnThisMachine } from "./caller-facts.ts";
import type { CallerRequest, Finding } from "./caller-request.ts";
import type { AllowsOrigin } from "./origins.ts";
import type { TokenCallers } from "./token-callers.ts";

/** How the service finds out who its callers are, and what they may do. */
export interface CallerRules {
  /** Keys of services. */
  readonly keys: readonly KeyEntry[];
  /** Keys of services that may do everything. */
  readonly apiTokens: readonly string[];
  /** Verifies the tokens of users; undefined: none is configured. */
  readonly tokens: TokenCallers | undefined;
  /** What users may do; undefined: not configured. */
  readonly users: readonly Rule[] | undefined;
  /** What anonymous callers may do; undefined: not configured. */
  readonly anonymous: readonly Rule[] | undefined;
  /** Whether callers on this machine are trusted although keys or tokens are configured. */
  readonly local: boolean;
  /** Trusts every caller without credentials. */
  readonly insecure: boolean;
  readonly allowsOrigin: AllowsOrigin;
  /** Asks `auth_function`; undefined: none is configured. */
  readonly authenticate: ((request: AuthRequest) => Promise<Authenticated>) | undefined;
}

/** Finds out the callers of requests. */
export interface Callers {
  /** @param identity The object that represents the connection: tokens are known by it. */
  find(facts: CallerFacts, identity?: object): Finding;
  /** Whether no rules are in force for a caller: it may subscribe, and do nothing else. */
  isSubscriberOnly(caller: Caller): boolean;
  /** The error for a caller without rules that does something else. */
  untrusted(): StreamError;
  readonly allowsOrigin: AllowsOrigin;
}

/** The sentence where rules are configured, and neither keys nor issuers of tokens. */
const NOTHING_ACCEPTED =
  "authorization is not accepted, because the service has neither keys nor issuers of tokens; it may be absent.";
/** The rights of users and anonymous callers where no rules are in force. */
const SUBSCRIBER: Rights = rightsOf(readRules([{ actions: ["subscribe"] }], "default"), {});

/** Builds the decisions. Credentials that are presented and not accepted refuse the caller. */
export function createCallers(rules: CallerRules): Callers {
  const { keys, apiTokens, tokens, users, anonymous, insecure, allowsOrigin, authenticate } = rules;
  const ring = keys.length + apiTokens.length === 0 ? undefined : keyRing(keys, apiTokens);
  const findings = new Map<ServiceKey, Finding>();
  const areRulesInForce = users !== undefined || anonymous !== undefined;
  /** Whether credentials mean something. Where they do not, they are ignored. */
  const areCredentialsRead = ring !== undefined || tokens !== undefined || areRulesInForce;
  const mayBeLocal = rules.local || (ring === undefined && tokens === undefined);
  const isLocal = (facts: CallerFacts) => mayBeLocal && (insecure || isOnThisMachine(facts));
  const nobody: Caller = {
    ...LOCAL,
    kind: "anonymous",
    rights: areRulesInForce ? rightsOf(anonymous ?? [], {}) : SUBSCRIBER,
  };
  const untrusted = () =>
    ring === undefined
      ? new StreamError(
          "NOT_TRUSTED",
          "The caller is not trusted; it may be a program on this machine, or present one of the service's api_tokens.",
        )
      : refused("has no valid token");

  /** Asks `auth_function` about a caller. */
  const ask = async (
    authenticateCaller: NonNullable<typeof authenticate>,
    request: CallerRequest,
    isTrusted: boolean,
  ): Promise<Caller> => {
    const { user, context, expiresAtMs, allow } = await authenticateCaller(request.auth());
    const connection = request.connection();
    const known = { user, context, expiresAtMs, connection };
    if (isTrusted) return { ...LOCAL, ...known };
    return {
      ...known,
      kind: "user",
      author: user === undefined ? "" : `user:${user}`,
      rights: rightsOfUser(allow, { user, context: JSON.parse(context) as unknown }),
    };
  };
  const rightsOfUser = (
    allow: readonly Rule[] | undefined,
    subject: Parameters<typeof rightsOf>[1],
  ) =>
    areRulesInForce || allow !== undefined
      ? rightsOf([...(users ?? []), ...(allow ?? [])], subject)
      : SUBSCRIBER;

  const local: Finding = {
    isTrusted: true,
    calling: LOCAL,
    resolve(request) {
      if (!request.subscribes) return LOCAL;
      if (authenticate !== undefined) return ask(authenticate, request, true);
      return { ...LOCAL, connection: request.connection() };
    },
  };

  const identify = (facts: CallerFacts, request: CallerRequest): Caller | Promise<Caller> => {
    const token = bearerOf(facts);
    if (!allowsOrigin(facts)) {
      throw new StreamError(
        "NOT_TRUSTED",
        "origin is not allowed; it may be one of the service's allowed_origins.",
      );
    }
    if (tokens !== undefined && token !== undefined && isTokenShaped(token))
      return tokens.callerOf(token, facts.authorization ?? "", request, rightsOfUser);
    if (authenticate !== undefined) return ask(authenticate, request, false);
    if (facts.authorization !== undefined && areCredentialsRead) {
      throw ring === undefined && tokens === undefined
        ? new StreamError("AUTH_REFUSED", NOTHING_ACCEPTED)
        : refused("has no valid token");
    }
    return { ...nobody, connection: request.connection() };
  };

  return {
    find(facts, identity) {
      const { authorization } = facts;
      if (authorization === undefined) {
        if (isLocal(facts)) return local;
      } else {
        // Comparing with keys costs more than all the rest.
        const known = identity && tokens?.known(authorization, identity);
        if (known !== undefined && allowsOrigin(facts)) return known;
        const token = bearerOf(facts);
        const key = token === undefined ? undefined : ring?.find(token);
        if (key !== undefined) {
          let finding = findings.get(key);
          if (finding === undefined) findings.set(key, (finding = findingOf(key)));
          return finding;
        }
        const isIgnored = !areCredentialsRead && authenticate === undefined;
        if (isIgnored && isLocal(facts)) return local;
      }
      return { isTrusted: false, resolve: (request) => identify(facts, request) };
    },
    isSubscriberOnly: ({ rights }) => rights === SUBSCRIBER,
    untrusted,
    allowsOrigin,
  };
}

/** The finding for a key: made once, because most calls have one. */
function findingOf({ name, allow }: ServiceKey): Finding {
  const caller: Caller = {
    ...LOCAL,
    kind: "service",
    author: `key:${name}`,
    // Then nothing has to be decided, call by call.
    rights: allow.some(allowsEverything) ? undefined : rightsOf(allow, {}),
  };
  const resolve = ({ subscribes, connection }: CallerRequest): Caller =>
    subscribes ? { ...caller, connection: connection() } : caller;
  return { isTrusted: true, calling: caller, resolve };
}

function refused(problem: string): StreamError {
  return new StreamError(
    "AUTH_REFUSED",
    `authorization ${problem}; it may be \`Bearer\` and one of the service's api_tokens.`,
  );
}

/** The token that a request presents. */
function bearerOf({ authorization }: CallerFacts): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1];
}

/** Whether it is a JSON Web Signature in its compact form. */
function isTokenShaped(token: string): boolean {
  return TOKEN_SHAPE.test(token);
}

const TOKEN_SHAPE = /^[^.]*\.[^.]*\.[^.]*$/;

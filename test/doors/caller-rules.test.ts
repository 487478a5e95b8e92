import { describe, expect, it } from "vitest";
import { type AuthOptions, callerRules } from "../../src/server/auth-options.ts";
import type { CallerFacts } from "../../src/server/caller-facts.ts";
import { createCallers } from "../../src/server/callers.ts";
import { createAllowsOrigin } from "../../src/server/origins.ts";

interface AccessRules {
  readonly apiTokens: readonly string[];
  readonly allowedOrigins: readonly string[] | undefined;
  readonly publicUrl: string | undefined;
  readonly insecure: boolean;
  readonly auth?: AuthOptions;
}

const LOCAL: AccessRules = {
  apiTokens: [],
  allowedOrigins: undefined,
  publicUrl: undefined,
  insecure: false,
};
const TOKENS: AccessRules = { ...LOCAL, apiTokens: ["first", "second"] };
const PUBLIC: AccessRules = { ...TOKENS, publicUrl: "https://rooms.example/streams" };
const LISTED: AccessRules = { ...LOCAL, allowedOrigins: ["https://app.example"] };
const ANY: AccessRules = { ...LOCAL, allowedOrigins: ["*"] };
const RULES: AccessRules = { ...LOCAL, auth: { rules: [{ actions: ["*"] }] } };
const NEWS: AccessRules = { ...LOCAL, auth: { anonymous: [{ actions: ["subscribe"] }] } };
const INSECURE: AccessRules = { ...LOCAL, insecure: true };

const PROGRAM: CallerFacts = {
  address: "127.0.0.1",
  origin: undefined,
  host: "127.0.0.1:3112",
  authorization: undefined,
  isRelayed: false,
  isCrossOrigin: false,
};
const BEARER: CallerFacts = { ...PROGRAM, authorization: "Bearer unknown" };
const page = (origin: string, host = "localhost:3112"): CallerFacts => ({
  ...PROGRAM,
  origin,
  host,
});

/** Title, rules, caller; whether it may call everything, follow, and read responses as a page. */
const TABLE: readonly (readonly [string, AccessRules, CallerFacts, boolean, boolean, boolean])[] = [
  ["a program on this machine", LOCAL, PROGRAM, true, true, true],
  ["... over IPv6", LOCAL, { ...PROGRAM, address: "::1", host: "[::1]:3112" }, true, true, true],
  ["... over IPv4 in IPv6", LOCAL, { ...PROGRAM, address: "::ffff:127.0.0.1" }, true, true, true],
  [
    "... at another loopback address",
    LOCAL,
    { ...PROGRAM, address: "127.9.8.7" },
    true,
    true,
    true,
  ],
  ["a program on another machine", LOCAL, { ...PROGRAM, address: "10.0.0.5" }, false, true, true],
  [
    "... whose address begins like loopback",
    LOCAL,
    { ...PROGRAM, address: "127.0.0.1.example" },
    false,
    true,
    true,
  ],
  ["a peer that has disconnected", LOCAL, { ...PROGRAM, address: undefined }, false, true, true],
  ["the service's own page", LOCAL, page("http://localhost:3112"), true, true, true],
  ["... by address", LOCAL, page("http://127.0.0.1:3112", "127.0.0.1:3112"), true, true, true],
  ["... by IPv6 address", LOCAL, page("http://[::1]:3112", "[::1]:3112"), true, true, true],
  [
    "... by a subdomain of localhost",
    LOCAL,
    page("http://app.localhost:3112", "app.localhost:3112"),
    true,
    true,
    true,
  ],
  [
    "... with a Host in capitals",
    LOCAL,
    page("http://localhost:3112", "LocalHost:3112"),
    true,
    true,
    true,
  ],
  ["a page on another local port", LOCAL, page("http://localhost:5173"), false, true, true],
  ["a page by another local name", LOCAL, page("http://127.0.0.1:3112"), false, true, true],
  ["a foreign page", LOCAL, page("https://evil.example"), false, false, false],
  [
    "... whose name begins with ours",
    LOCAL,
    page("http://localhost.evil.example"),
    false,
    false,
    false,
  ],
  [
    "... whose name begins with our address",
    LOCAL,
    page("http://127.0.0.1.evil.example"),
    false,
    false,
    false,
  ],
  ["... whose name ends with ours", LOCAL, page("http://evillocalhost"), false, false, false],
  ["a page with an opaque origin", LOCAL, page("null"), false, false, false],
  ["a page of another scheme", LOCAL, page("file://localhost:3112"), false, false, false],
  [
    "a foreign name that resolves to this machine",
    LOCAL,
    page("http://evil.example:3112", "evil.example:3112"),
    false,
    false,
    false,
  ],
  [
    "... whose GET carries no origin",
    LOCAL,
    { ...PROGRAM, host: "evil.example:3112" },
    false,
    true,
    true,
  ],
  [
    "the service's own page from another machine",
    LOCAL,
    { ...page("http://localhost:3112"), address: "10.0.0.5" },
    false,
    true,
    true,
  ],

  ["no token", TOKENS, PROGRAM, false, true, true],
  ["the first token", TOKENS, { ...PROGRAM, authorization: "Bearer first" }, true, true, true],
  ["the second token", TOKENS, { ...PROGRAM, authorization: "Bearer second" }, true, true, true],
  [
    "a token from another machine",
    TOKENS,
    { ...PROGRAM, address: "10.0.0.5", authorization: "Bearer first" },
    true,
    true,
    true,
  ],
  [
    "the scheme in lower case",
    TOKENS,
    { ...PROGRAM, authorization: "bearer  first" },
    true,
    true,
    true,
  ],
  [
    "a token in another case",
    TOKENS,
    { ...PROGRAM, authorization: "Bearer FIRST" },
    false,
    false,
    true,
  ],
  ["a prefix of a token", TOKENS, { ...PROGRAM, authorization: "Bearer firs" }, false, false, true],
  [
    "two tokens in one header",
    TOKENS,
    { ...PROGRAM, authorization: "Bearer first second" },
    false,
    false,
    true,
  ],
  ["another scheme", TOKENS, { ...PROGRAM, authorization: "Basic first" }, false, false, true],
  ["an empty token", TOKENS, { ...PROGRAM, authorization: "Bearer " }, false, false, true],
  [
    "a foreign page with a token",
    TOKENS,
    { ...page("https://evil.example"), authorization: "Bearer first" },
    true,
    true,
    false,
  ],
  ["a foreign page without one", TOKENS, page("https://evil.example"), false, false, false],

  [
    "the page of a public service",
    PUBLIC,
    page("https://rooms.example", "rooms.example"),
    false,
    true,
    true,
  ],
  [
    "a page of another site",
    PUBLIC,
    page("https://evil.example", "rooms.example"),
    false,
    false,
    false,
  ],
  [
    "a page of another port",
    PUBLIC,
    page("https://rooms.example:8443", "rooms.example"),
    false,
    false,
    false,
  ],
  [
    "a page whose origin matches an unconfigured Host",
    TOKENS,
    page("https://rooms.example", "rooms.example"),
    false,
    false,
    false,
  ],
  [
    "the public page beside listed origins",
    { ...LISTED, publicUrl: "https://rooms.example" },
    page("https://rooms.example", "rooms.example"),
    false,
    true,
    true,
  ],
  ["a request relayed by a local proxy", LOCAL, { ...PROGRAM, isRelayed: true }, false, true, true],
  [
    "... with a token",
    TOKENS,
    { ...PROGRAM, isRelayed: true, authorization: "Bearer first" },
    true,
    true,
    true,
  ],
  [
    "a cross-origin GET by a browser",
    LOCAL,
    { ...PROGRAM, isCrossOrigin: true },
    false,
    true,
    true,
  ],
  [
    "... when insecure",
    INSECURE,
    { ...PROGRAM, isRelayed: true, isCrossOrigin: true },
    true,
    true,
    true,
  ],

  ["a listed page", LISTED, page("https://app.example"), false, true, true],
  ["a page that is not listed", LISTED, page("http://localhost:5173"), false, false, false],
  ["the own page, still trusted", LISTED, page("http://localhost:3112"), true, true, false],
  ["any page, when all are allowed", ANY, page("https://any.example"), false, true, true],

  ["a token that nothing reads", LOCAL, BEARER, true, true, true],
  ["... when insecure", INSECURE, BEARER, true, true, true],
  ["... with an empty section auth", { ...LOCAL, auth: {} }, BEARER, true, true, true],
  ["... from another machine", LOCAL, { ...BEARER, address: "10.0.0.5" }, false, true, true],
  ["a token beside rules for users", RULES, BEARER, false, false, true],
  ["... when insecure", { ...RULES, insecure: true }, BEARER, false, false, true],
  ["... of another scheme", RULES, { ...PROGRAM, authorization: "Basic eA==" }, false, false, true],
  ["a token beside rules for anonymous callers", NEWS, BEARER, false, false, true],
  ["... from another machine", NEWS, { ...BEARER, address: "10.0.0.5" }, false, false, true],
  ["no token beside rules", RULES, PROGRAM, true, true, true],

  ["any caller, when insecure", INSECURE, { ...PROGRAM, address: "10.0.0.5" }, true, true, true],
];

describe("the caller rules", () => {
  it.each(["Basic Zm9v", "x", "Bearer", "Bearer "])(
    "do not compare %s with any key",
    async (authorization) => {
      const allowsOrigin = createAllowsOrigin(TOKENS);
      const rules = await callerRules({ apiTokens: ["first"] }, () => {});
      const callers = createCallers({ ...rules, allowsOrigin, authenticate: undefined });
      expect(callers.find({ ...PROGRAM, authorization }).isTrusted).toBe(false);
    },
  );

  it.each(TABLE)("decide about %s", async (_, rules, facts, trusted, client, visible) => {
    const allowsOrigin = createAllowsOrigin(rules);
    const callers = createCallers({
      ...(await callerRules(rules, () => {})),
      allowsOrigin,
      authenticate: undefined,
    });
    const finding = callers.find(facts);
    const connection = () => ({ connectionId: "c" });
    const auth = () => {
      throw new Error("There is no auth_function.");
    };
    const identify = () =>
      finding.resolve({ identity: undefined, connection, auth, subscribes: true, staysOpen: true });
    const isClient = () => {
      try {
        void identify();
        return true;
      } catch (error) {
        expect(error).toMatchObject({
          reason: expect.stringMatching(/^(?:NOT_TRUSTED|AUTH_REFUSED)$/),
          message: expect.stringMatching(/it may be .+\.$/),
        });
        return false;
      }
    };
    expect({
      trusted: finding.isTrusted,
      client: isClient(),
      visible: callers.allowsOrigin(facts),
    }).toEqual({ trusted, client, visible });
    expect(callers.untrusted().reason).toBe(
      rules.apiTokens.length > 0 ? "AUTH_REFUSED" : "NOT_TRUSTED",
    );
  });
});

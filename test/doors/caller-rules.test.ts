import { describe, expect, it } from "vitest";
import { type Caller, type CallerRules, createCallers } from "../../src/server/callers.ts";

const LOCAL: CallerRules = {
  apiTokens: [],
  allowedOrigins: undefined,
  publicUrl: undefined,
  insecure: false,
};
const TOKENS: CallerRules = { ...LOCAL, apiTokens: ["first", "second"] };
const PUBLIC: CallerRules = { ...TOKENS, publicUrl: "https://rooms.example/streams" };
const LISTED: CallerRules = { ...LOCAL, allowedOrigins: ["https://app.example"] };
const ANY: CallerRules = { ...LOCAL, allowedOrigins: ["*"] };
const INSECURE: CallerRules = { ...LOCAL, insecure: true };

const PROGRAM: Caller = {
  address: "127.0.0.1",
  origin: undefined,
  host: "127.0.0.1:3112",
  authorization: undefined,
  isRelayed: false,
  isCrossOrigin: false,
};
const page = (origin: string, host = "localhost:3112"): Caller => ({ ...PROGRAM, origin, host });

/** Rules, caller, and whether it may use everything, may follow, and may see answers in a browser. */
const TABLE: readonly (readonly [string, CallerRules, Caller, boolean, boolean, boolean])[] = [
  ["a program of this machine", LOCAL, PROGRAM, true, true, true],
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
  ["a program of another machine", LOCAL, { ...PROGRAM, address: "10.0.0.5" }, false, true, true],
  [
    "... that looks like this one",
    LOCAL,
    { ...PROGRAM, address: "127.0.0.1.example" },
    false,
    true,
    true,
  ],
  ["a peer that is gone", LOCAL, { ...PROGRAM, address: undefined }, false, true, true],
  ["the service's own page", LOCAL, page("http://localhost:3112"), true, true, true],
  ["... by address", LOCAL, page("http://127.0.0.1:3112", "127.0.0.1:3112"), true, true, true],
  ["... by IPv6 address", LOCAL, page("http://[::1]:3112", "[::1]:3112"), true, true, true],
  [
    "... by a name below localhost",
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
  ["a page of another port here", LOCAL, page("http://localhost:5173"), false, true, true],
  ["a page of another name here", LOCAL, page("http://127.0.0.1:3112"), false, true, true],
  ["a foreign page", LOCAL, page("https://evil.example"), false, false, false],
  [
    "... with a name that begins like ours",
    LOCAL,
    page("http://localhost.evil.example"),
    false,
    false,
    false,
  ],
  [
    "... with a name that begins like our address",
    LOCAL,
    page("http://127.0.0.1.evil.example"),
    false,
    false,
    false,
  ],
  ["... with a name that ends like ours", LOCAL, page("http://evillocalhost"), false, false, false],
  ["a page without an origin of its own", LOCAL, page("null"), false, false, false],
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
    "an own page seen by another machine",
    LOCAL,
    { ...page("http://localhost:3112"), address: "10.0.0.5" },
    false,
    true,
    true,
  ],

  ["nobody's token", TOKENS, PROGRAM, false, true, true],
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
    "the scheme in other letters",
    TOKENS,
    { ...PROGRAM, authorization: "bearer  first" },
    true,
    true,
    true,
  ],
  [
    "a token of another case",
    TOKENS,
    { ...PROGRAM, authorization: "Bearer FIRST" },
    false,
    true,
    true,
  ],
  ["a part of a token", TOKENS, { ...PROGRAM, authorization: "Bearer firs" }, false, true, true],
  [
    "two tokens in one",
    TOKENS,
    { ...PROGRAM, authorization: "Bearer first second" },
    false,
    true,
    true,
  ],
  ["another scheme", TOKENS, { ...PROGRAM, authorization: "Basic first" }, false, true, true],
  ["an empty token", TOKENS, { ...PROGRAM, authorization: "Bearer " }, false, true, true],
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
    "a page of a host that nobody named, though it asks for that host",
    TOKENS,
    page("https://rooms.example", "rooms.example"),
    false,
    false,
    false,
  ],
  [
    "the public page beside listed ones",
    { ...LISTED, publicUrl: "https://rooms.example" },
    page("https://rooms.example", "rooms.example"),
    false,
    true,
    true,
  ],
  [
    "what a proxy of this machine passes on",
    LOCAL,
    { ...PROGRAM, isRelayed: true },
    false,
    true,
    true,
  ],
  [
    "... with a token",
    TOKENS,
    { ...PROGRAM, isRelayed: true, authorization: "Bearer first" },
    true,
    true,
    true,
  ],
  [
    "what a page of another origin has a browser get",
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
  ["the own page, which stays trusted", LISTED, page("http://localhost:3112"), true, true, false],
  ["any page, when all are allowed", ANY, page("https://any.example"), false, true, true],

  ["anybody, when insecure", INSECURE, { ...PROGRAM, address: "10.0.0.5" }, true, true, true],
];

describe("who may call", () => {
  it.each(TABLE)("%s", (_, rules, caller, trusted, client, visible) => {
    const callers = createCallers(rules);
    const allows = (check: (caller: Caller) => void) => {
      try {
        check(caller);
        return true;
      } catch (error) {
        const reason =
          rules.apiTokens.length > 0 && check === callers.requireTrusted
            ? "AUTH_REFUSED"
            : "NOT_TRUSTED";
        expect(error).toMatchObject({ reason, message: expect.stringMatching(/it may be .+\.$/) });
        return false;
      }
    };
    expect({
      trusted: allows(callers.requireTrusted),
      client: allows(callers.requireClient),
      visible: callers.allowsOrigin(caller),
    }).toEqual({ trusted, client, visible });
  });
});

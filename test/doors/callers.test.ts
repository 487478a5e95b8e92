import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { memoryStore } from "millrace";
import { type Caller, type CallerRules, createCallers } from "../../src/server/callers.ts";
import { type RawClient, rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { RAW_PROTOCOLS, type RawProtocol, pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part, utf8 } from "../wire/raw-wire.ts";

const LOCAL: CallerRules = {
  apiTokens: [],
  allowedOrigins: undefined,
  onLoopback: true,
  insecure: false,
};
const TOKENS: CallerRules = { ...LOCAL, apiTokens: ["first", "second"] };
const PUBLIC: CallerRules = { ...TOKENS, onLoopback: false };
const LISTED: CallerRules = { ...LOCAL, allowedOrigins: ["https://app.example"] };
const ANY: CallerRules = { ...LOCAL, allowedOrigins: ["*"] };
const INSECURE: CallerRules = { ...LOCAL, onLoopback: false, insecure: true };

const PROGRAM: Caller = {
  address: "127.0.0.1",
  origin: undefined,
  host: "127.0.0.1:3112",
  authorization: undefined,
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

const KEY = { streamName: "s", groupId: "g", itemId: "i" };
const WRITE = utf8(JSON.stringify({ ...KEY, data: 1 }));

describe.each([
  ["HTTP/1.1", rawHttp1],
  ["HTTP/2", rawHttp2],
] as const)("callers over %s", (version, connect) => {
  let open: TestServer;
  let guarded: TestServer;
  let toOpen: RawClient;
  let toGuarded: RawClient;
  beforeAll(async () => {
    open = await startServer();
    guarded = await startServer("memory", {
      apiTokens: ["secret"],
      allowedOrigins: ["https://app.example"],
    });
    toOpen = connect(open.url);
    toGuarded = connect(guarded.url);
  });
  afterAll(async () => {
    toOpen.close();
    toGuarded.close();
    await open.close();
    await guarded.close();
  });
  const post = (headers: Readonly<Record<string, string>>) => ({
    path: pathOf("set"),
    headers: { "content-type": "application/json", ...headers },
    body: WRITE,
  });
  const hostHeader = version === "HTTP/2" ? ":authority" : "host";

  it("a program of this machine may write, a foreign page may not and changes nothing", async () => {
    expect((await toOpen.request(post({}))).status).toBe(200);
    const { position } = await open.service.list(KEY);
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "http://evil.example", [hostHeader]: "evil.example" },
      { [hostHeader]: "evil.example" },
    ]) {
      const answer = await toOpen.request(post(headers));
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ code: "permission_denied" });
    }
    expect((await open.service.list(KEY)).position).toEqual(position);
  });

  it("the service's own page may write, and sees the answer", async () => {
    const origin = `http://127.0.0.1:${open.port}`;
    const answer = await toOpen.request(post({ origin }));
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ "access-control-allow-origin": origin, vary: "Origin" });
    expect(answer.headers["access-control-expose-headers"]).toContain("Grpc-Status");
  });

  it("where there are tokens, one of them is needed", async () => {
    for (const authorization of [undefined, "Bearer wrong", "secret"]) {
      const answer = await toGuarded.request(
        post(authorization === undefined ? {} : { authorization }),
      );
      expect(answer.status).toBe(401);
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        code: "unauthenticated",
        message: expect.stringContaining("authorization"),
      });
    }
    expect((await toGuarded.request(post({ authorization: "Bearer secret" }))).status).toBe(200);
  });

  it("a preflight is answered for allowed pages, with what RPC needs", async () => {
    const preflight = (origin: string) =>
      toGuarded.request({
        method: "OPTIONS",
        path: pathOf("subscribe"),
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type,connect-protocol-version",
        },
      });
    const allowed = await preflight("https://app.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers["access-control-allow-origin"]).toBe("https://app.example");
    expect(allowed.headers["access-control-allow-methods"]).toMatch(/GET.*POST|POST.*GET/);
    const headers = String(allowed.headers["access-control-allow-headers"]).toLowerCase();
    for (const name of [
      "authorization",
      "content-type",
      "connect-protocol-version",
      "connect-timeout-ms",
      "grpc-timeout",
      "x-grpc-web",
    ])
      expect(headers).toContain(name);
    const refused = await preflight("https://evil.example");
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("answers to foreign pages carry no leave to be read", async () => {
    const answer = await toGuarded.request({
      ...post({ origin: "https://evil.example", authorization: "Bearer secret" }),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });

  const streams = RAW_PROTOCOLS.filter(
    ({ can, httpVersion, name }) =>
      can("subscribe") && name.endsWith(version) && httpVersion.startsWith(version[5] ?? ""),
  );
  it.each(streams)(
    "clients may follow without a token over $name, foreign pages may not",
    async (protocol) => {
      const follow = (origin?: string) => {
        const request = protocol.request("subscribe", names(protocol));
        const deadline = protocol.name.includes("grpc")
          ? { "grpc-timeout": "150m" }
          : { "connect-timeout-ms": "150" };
        const from = origin === undefined ? {} : { origin };
        return toGuarded.request({
          ...request,
          headers: { ...request.headers, ...deadline, ...from },
        });
      };
      // It follows until its deadline.
      for (const origin of [undefined, "https://app.example"])
        expect(protocol.refusal(await follow(origin))).toMatchObject({ code: "deadline_exceeded" });
      for (const origin of ["https://evil.example", "null"])
        expect(protocol.refusal(await follow(origin))).toMatchObject({
          code: "permission_denied",
          reason: "NOT_TRUSTED",
          message: expect.stringContaining("origin"),
        });
    },
  );
});

function names({ json }: RawProtocol): Uint8Array {
  return json
    ? utf8(JSON.stringify({ streamName: "s", groupId: "g" }))
    : Buffer.concat([part(1, "s"), part(2, "g")]);
}

describe("a host that other machines reach", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1"])(
    "%s without tokens refuses to start, and says what to do",
    async (host) => {
      const start = createServer({ host, port: 0, store: memoryStore() });
      await expect(start).rejects.toThrow(host);
      await expect(start).rejects.toThrow(/api_tokens.*127\.0\.0\.1.*insecure: true/);
    },
  );

  it.each([{ apiTokens: ["secret"] }, { insecure: true }])("starts with %o", async (options) => {
    const server = await createServer({
      host: "0.0.0.0",
      port: 0,
      store: memoryStore(),
      ...options,
    });
    onTestFinished(() => server.close());
    const client = rawHttp1(`http://127.0.0.1:${server.port}`);
    onTestFinished(() => client.close());
    const headers = { "content-type": "application/json", authorization: "Bearer secret" };
    expect((await client.request({ path: pathOf("set"), headers, body: WRITE })).status).toBe(200);
  });

  it.each(["127.0.0.1", "localhost", "127.0.0.2"])("%s is none", async (host) => {
    const server = await createServer({ host, port: 0, store: memoryStore() });
    await server.close();
  });
});

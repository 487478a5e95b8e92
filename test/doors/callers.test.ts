import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { memoryStore } from "millrace";
import { type RawClient, rawHttp1, rawHttp2 } from "../support/doors/raw-http.ts";
import { RAW_PROTOCOLS, type RawProtocol, pathOf } from "../support/doors/raw-protocol.ts";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { part, utf8 } from "../wire/request/raw-wire.ts";

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

  it.each([
    ["forwarded", "for=203.0.113.7"],
    ["x-forwarded-for", "203.0.113.7"],
    ["x-real-ip", "203.0.113.7"],
    ["via", "1.1 proxy"],
    ["sec-fetch-site", "cross-site"],
    ["sec-fetch-site", "same-site"],
  ])("a request with %s: %s is not trusted for its address, at any door", async (name, value) => {
    const headers = { [name]: value };
    const query = `?encoding=json&message=${encodeURIComponent(JSON.stringify(KEY))}`;
    const answers = [
      await toOpen.request(post(headers)),
      await toOpen.request({
        ...post(headers),
        headers: {
          ...headers,
          "content-type": "application/json",
          "content-encoding": "identity",
          "connect-protocol-version": "1",
        },
      }),
      await toOpen.request({ method: "GET", path: `${pathOf("get")}${query}`, headers }),
    ];
    for (const { status, body } of answers) {
      expect(status).toBe(403);
      expect(JSON.parse(body.toString())).toMatchObject({ code: "permission_denied" });
    }
    for (const protocol of RAW_PROTOCOLS.filter(
      ({ can, httpVersion }) => can("get") && httpVersion === toOpen.httpVersion,
    )) {
      const request = protocol.request("get", keyIn(protocol));
      const refused = await toOpen.request({
        ...request,
        headers: { ...request.headers, ...headers },
      });
      expect(protocol.refusal(refused)).toMatchObject({ reason: "NOT_TRUSTED" });
    }
  });

  it("an address that a person typed, and the own page, are trusted", async () => {
    for (const site of ["none", "same-origin"])
      expect((await toOpen.request(post({ "sec-fetch-site": site }))).status).toBe(200);
  });

  it("the service's own page may write, and sees the answer", async () => {
    const origin = `http://127.0.0.1:${open.port}`;
    const answer = await toOpen.request(post({ origin }));
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": origin,
      vary: "Origin, Accept-Encoding",
    });
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

function keyIn({ json }: RawProtocol): Uint8Array {
  return json
    ? utf8(JSON.stringify(KEY))
    : Buffer.concat([part(1, "s"), part(2, "g"), part(3, "i")]);
}

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

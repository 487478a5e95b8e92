import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { memoryStore } from "millrace";
import { DOORS, SUBSCRIPTION_DOORS } from "../support/doors/doors.ts";
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

  it("may write as a local program, but not as a foreign page", async () => {
    expect((await toOpen.request(post({}))).status).toBe(200);
    const { position } = await open.service.list(KEY);
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "http://evil.example", [hostHeader]: "evil.example" },
      { [hostHeader]: "evil.example" },
    ]) {
      const response = await toOpen.request(post(headers));
      expect(response.status).toBe(403);
      expect(JSON.parse(response.body.toString())).toMatchObject({ code: "permission_denied" });
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
  ])("are not trusted for their address with %s: %s, over any protocol", async (name, value) => {
    const headers = { [name]: value };
    const query = `?encoding=json&message=${encodeURIComponent(JSON.stringify(KEY))}`;
    const responses = [
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
    for (const { status, body } of responses) {
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

  it("are trusted with a typed-in address and on the service's own page", async () => {
    for (const site of ["none", "same-origin"])
      expect((await toOpen.request(post({ "sec-fetch-site": site }))).status).toBe(200);
  });

  it("may write and read the response on the service's own page", async () => {
    const origin = `http://127.0.0.1:${open.port}`;
    const response = await toOpen.request(post({ origin }));
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      "access-control-allow-origin": origin,
      vary: "Origin, Accept-Encoding",
    });
    expect(response.headers["access-control-expose-headers"]).toContain("Grpc-Status");
  });

  it("need a token when tokens are configured", async () => {
    for (const authorization of [undefined, "Bearer wrong", "secret"]) {
      const response = await toGuarded.request(
        post(authorization === undefined ? {} : { authorization }),
      );
      expect(response.status).toBe(401);
      expect(JSON.parse(response.body.toString())).toMatchObject({
        code: "unauthenticated",
        message: expect.stringContaining("authorization"),
      });
    }
    expect((await toGuarded.request(post({ authorization: "Bearer secret" }))).status).toBe(200);
  });

  it("pass a preflight on allowed pages, with the methods and headers that RPC needs", async () => {
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

  it("cannot read responses on foreign pages", async () => {
    const response = await toGuarded.request({
      ...post({ origin: "https://evil.example", authorization: "Bearer secret" }),
    });
    expect(response.status).toBe(200);
    expect(response.headers["access-control-allow-origin"]).toBeUndefined();
  });

  const streams = RAW_PROTOCOLS.filter(
    ({ can, httpVersion, name }) =>
      can("subscribe") && name.endsWith(version) && httpVersion.startsWith(version[5] ?? ""),
  );
  it.each(streams)(
    "may follow over $name without a token, except on foreign pages",
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

describe("a server", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1"])(
    "refuses to start on %s without tokens, and names the remedies",
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

  it.each(["127.0.0.1", "localhost", "127.0.0.2"])("starts on %s without tokens", async (host) => {
    const server = await createServer({ host, port: 0, store: memoryStore() });
    await server.close();
  });
});

describe("a token where rules are configured, and neither keys nor issuers", () => {
  const doors = SUBSCRIPTION_DOORS.filter(({ name }) => name !== "library");
  const auth = { rules: [{ actions: ["*"] }], anonymous: [{ actions: ["*"] }] };
  const authorization = "Bearer of.some.issuer";

  it.each(doors)("refuses its caller over $name", async (door) => {
    const server = await startServer("memory", { auth });
    onTestFinished(() => server.close());
    const open = (headers: { authorization?: string }) => door.client({ ...server, ...headers });
    const client = open({ authorization });
    const refused = { message: expect.stringMatching(/authorization is not accepted|401$/) };
    if (DOORS.includes(door))
      await expect(client.set({ ...KEY, data: 1 })).rejects.toMatchObject(refused);
    const following = async () => (await client.subscribe(KEY)).next();
    await expect(following()).rejects.toMatchObject(refused);
    await client.close();
    expect(await server.service.get(KEY)).toBeUndefined();
    // Without it, the caller is a program on this machine.
    const local = open({});
    await (await local.subscribe(KEY)).next();
    await local.close();
  });

  it.each(doors)("reaches auth_function over $name", async (door) => {
    const seen: unknown[] = [];
    const server = await startServer("memory", {
      auth,
      authFunction: "who",
      setup: async (service) => {
        await service.registerFunction("who", ({ headers }) => {
          seen.push(headers["authorization"]);
          return { user: "ann" };
        });
      },
    });
    onTestFinished(() => server.close());
    const client = door.client({ ...server, authorization });
    await (await client.subscribe(KEY)).next();
    await client.close();
    expect(seen).toEqual([authorization]);
  });
});

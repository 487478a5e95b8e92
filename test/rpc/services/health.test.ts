import { EventEmitter, once } from "node:events";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Client as GrpcClient, credentials, status as grpcStatus } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
  Health as HealthService,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type Health, createHealth, healthRoutes } from "../../../src/rpc/services/health.ts";
import { type DiscoveryServer, serveDiscovery } from "./discovery-server.ts";

const SERVICE = "millrace.v1.StreamService";
const WATCH_PATH = "/grpc.health.v1.Health/Watch";

/** The same health with its listeners counted; `becomes` waits for a number of them. */
function counted(health: Health) {
  const counts = new EventEmitter();
  let count = 0;
  const changed = (by: number) => {
    count += by;
    counts.emit("count");
  };
  const onChange = (listener: () => void) => {
    const stop = health.onChange(listener);
    let stopped = false;
    changed(1);
    return () => {
      if (!stopped) changed(-1);
      stopped = true;
      stop();
    };
  };
  // Getters must still read the real status.
  const seen: Health = Object.create(health, { onChange: { value: onChange } });
  const becomes = async (wanted: number) => {
    while (count !== wanted) await once(counts, "count");
  };
  return { seen, becomes };
}

describe("the health of a server", () => {
  test("starts as not serving, and reports only changes", () => {
    const health = createHealth([SERVICE]);
    const reported: string[] = [];
    const stop = health.onChange(() => reported.push(health.status));
    expect(health.status).toBe("not_serving");
    health.set("not_serving");
    health.set("serving");
    health.set("serving");
    health.set("not_serving");
    expect(reported).toEqual(["serving", "not_serving"]);
    stop();
    stop();
    health.set("serving");
    expect(reported).toHaveLength(2);
  });

  test("stays not serving once closed, and reports that once", () => {
    const health = createHealth([SERVICE]);
    health.set("serving");
    const reported: string[] = [];
    health.onChange(() => reported.push(`${health.status} ${health.closed}`));
    health.close();
    health.close();
    health.set("serving");
    expect(health.status).toBe("not_serving");
    expect(reported).toEqual(["not_serving true"]);
    health.onChange(() => reported.push("never"));
    health.set("serving");
    expect(reported).toHaveLength(1);
  });

  test("calls a listener added twice twice, and removes each on its own", () => {
    const health = createHealth([]);
    let calls = 0;
    const listener = () => void calls++;
    const stop = health.onChange(listener);
    health.onChange(listener);
    health.set("serving");
    expect(calls).toBe(2);
    stop();
    health.set("not_serving");
    expect(calls).toBe(3);
  });
});

describe("grpc.health.v1", () => {
  let health: Health;
  let listeners: ReturnType<typeof counted>;
  let server: DiscoveryServer;
  const client = () => createClient(HealthService, createGrpcTransport({ baseUrl: server.url }));

  beforeEach(async () => {
    health = createHealth([SERVICE]);
    health.set("serving");
    listeners = counted(health);
    server = await serveDiscovery((router) => healthRoutes(router, listeners.seen));
  });
  afterEach(() => server.close());

  test("Check returns the current status of the server and of each service", async () => {
    const { check } = client();
    for (const service of ["", SERVICE]) {
      health.set("serving");
      expect((await check({ service })).status).toBe(Status.SERVING);
      health.set("not_serving");
      expect((await check({ service })).status).toBe(Status.NOT_SERVING);
    }
  });

  test("Check of an unknown service is NOT_FOUND and names the known ones", async () => {
    const error = await rejection(client().check({ service: "no.such.Service" }));
    expect(error.code).toBe(Code.NotFound);
    expect(error.rawMessage).toContain(SERVICE);
  });

  test("Check of a very long unknown name does not echo it", async () => {
    const error = await rejection(client().check({ service: "x".repeat(1_000_000) }));
    expect(error.code).toBe(Code.NotFound);
    expect(error.rawMessage.length).toBeLessThan(200);
  });

  test("List returns the status of the server and of every service", async () => {
    const list = async () =>
      Object.entries((await client().list({})).statuses).map(([name, { status }]) => [
        name,
        status,
      ]);
    expect(await list()).toEqual([
      ["", Status.SERVING],
      [SERVICE, Status.SERVING],
    ]);
    health.set("not_serving");
    expect(await list()).toEqual([
      ["", Status.NOT_SERVING],
      [SERVICE, Status.NOT_SERVING],
    ]);
  });

  test("Connect clients can call it too, in JSON", async () => {
    const transport = createConnectTransport({
      baseUrl: server.url,
      httpVersion: "2",
      useBinaryFormat: false,
    });
    const response = await createClient(HealthService, transport).check({});
    expect(response.status).toBe(Status.SERVING);
  });

  test("Watch sends the current status at once, then every change in order", async () => {
    const abort = new AbortController();
    const responses = client().watch({ service: SERVICE }, { signal: abort.signal });
    const watch = responses[Symbol.asyncIterator]();
    expect(await next(watch)).toBe(Status.SERVING);
    health.set("not_serving");
    expect(await next(watch)).toBe(Status.NOT_SERVING);
    // Faster than the client reads.
    health.set("serving");
    health.set("not_serving");
    health.set("not_serving");
    health.set("serving");
    expect([await next(watch), await next(watch), await next(watch)]).toEqual([
      Status.SERVING,
      Status.NOT_SERVING,
      Status.SERVING,
    ]);
    abort.abort();
    await listeners.becomes(0);
  });

  test("Watch of a flapping status keeps a limited number of changes, and the last one", async () => {
    const watch = client().watch({})[Symbol.asyncIterator]();
    expect(await next(watch)).toBe(Status.SERVING);
    for (let i = 0; i < 1000; i++) {
      health.set("not_serving");
      health.set("serving");
    }
    health.set("not_serving");
    health.close();
    const seen: Status[] = [];
    const error = await rejection(
      (async () => {
        for (;;) seen.push(await next(watch));
      })(),
    );
    expect(error.code).toBe(Code.Unavailable);
    expect(seen.length).toBeLessThanOrEqual(101);
    expect(seen[0]).toBe(Status.NOT_SERVING);
    expect(seen.at(-1)).toBe(Status.NOT_SERVING);
    expect(seen.every((status, i) => status !== seen[i + 1])).toBe(true);
  });

  test("Watch of an unknown service sends SERVICE_UNKNOWN and stays open until the service ends", async () => {
    const watch = client().watch({ service: "no.such.Service" })[Symbol.asyncIterator]();
    expect(await next(watch)).toBe(Status.SERVICE_UNKNOWN);
    await listeners.becomes(1);
    const following = rejection(next(watch));
    health.set("not_serving");
    health.set("serving");
    health.close();
    expect((await following).code).toBe(Code.Unavailable);
    await listeners.becomes(0);
  });

  test("closing the health sends NOT_SERVING, then ends every Watch with UNAVAILABLE", async () => {
    const watches = ["", SERVICE].map((service) =>
      client().watch({ service })[Symbol.asyncIterator](),
    );
    for (const watch of watches) expect(await next(watch)).toBe(Status.SERVING);
    health.close();
    for (const watch of watches) {
      expect(await next(watch)).toBe(Status.NOT_SERVING);
      const error = await rejection(next(watch));
      expect(error.code).toBe(Code.Unavailable);
      expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
        domain: "millrace",
        reason: "SHUTTING_DOWN",
      });
    }
    await listeners.becomes(0);
    // A later watcher gets the same.
    const late = client().watch({})[Symbol.asyncIterator]();
    expect(await next(late)).toBe(Status.NOT_SERVING);
    expect((await rejection(next(late))).code).toBe(Code.Unavailable);
    await listeners.becomes(0);
  });

  test("Watch ends at its deadline and leaves no listener", async () => {
    const watch = client().watch({}, { timeoutMs: 100 })[Symbol.asyncIterator]();
    expect(await next(watch)).toBe(Status.SERVING);
    expect((await rejection(next(watch))).code).toBe(Code.DeadlineExceeded);
    await listeners.becomes(0);
  });

  test("Watch leaves no listener when the client aborts or its connection breaks", async () => {
    const abort = new AbortController();
    const watches = [SERVICE, "", "no.such.Service"].map((service) =>
      client().watch({ service }, { signal: abort.signal })[Symbol.asyncIterator](),
    );
    for (const watch of watches) await next(watch);
    await listeners.becomes(3);
    abort.abort();
    await listeners.becomes(0);
    for (const watch of watches) {
      expect((await rejection(next(watch))).code).toBe(Code.Canceled);
    }

    const cut = client().watch({})[Symbol.asyncIterator]();
    await next(cut);
    await listeners.becomes(1);
    const cutOff = rejection(next(cut));
    await server.close();
    await cutOff;
    await listeners.becomes(0);
    server = await serveDiscovery(() => {});
  });

  test("a grpc-js client watches, and cancels without leaving a listener", async () => {
    const grpc = new GrpcClient(server.address, credentials.createInsecure());
    try {
      const call = grpc.makeServerStreamRequest(
        WATCH_PATH,
        (request: string) =>
          Buffer.from(
            toBinary(
              HealthCheckRequestSchema,
              create(HealthCheckRequestSchema, { service: request }),
            ),
          ),
        (bytes) => fromBinary(HealthCheckResponseSchema, bytes),
        SERVICE,
      );
      expect((await datum(call)).status).toBe(Status.SERVING);
      const changed = datum(call);
      health.set("not_serving");
      expect((await changed).status).toBe(Status.NOT_SERVING);
      await listeners.becomes(1);
      const failed = once(call, "error");
      call.cancel();
      expect((await failed)[0]).toMatchObject({ code: grpcStatus.CANCELLED });
      await listeners.becomes(0);
    } finally {
      grpc.close();
    }
  });
});

async function next(watch: AsyncIterator<HealthCheckResponse>): Promise<Status> {
  const result = await watch.next();
  if (result.done === true) throw new Error("The watch ended without an error.");
  return result.value.status;
}

async function datum(call: EventEmitter): Promise<HealthCheckResponse> {
  const [response] = await once(call, "data");
  return response as HealthCheckResponse;
}

async function rejection(promise: Promise<unknown>): Promise<ConnectError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) throw new Error("It did not fail.");
  return ConnectError.from(error);
}

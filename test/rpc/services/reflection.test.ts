import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type MessageInitShape,
  create,
  createFileRegistry,
  fromBinary,
  toJson,
} from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflection as ServerReflectionV1,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AdminService } from "../../../gen/millrace/v1/admin_service_pb.ts";
import { StreamService } from "../../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../../gen/millrace/v1/worker_service_pb.ts";
import { StreamError } from "../../../src/core/errors.ts";
import { toConnectError } from "../../../src/rpc/connect-error.ts";
import { createHealth, healthRoutes } from "../../../src/rpc/services/health.ts";
import { reflectionRoutes } from "../../../src/rpc/services/reflection.ts";
import { type DiscoveryServer, serveDiscovery } from "./discovery-server.ts";

type MessageRequest = MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"];
type MessageResponse = ServerReflectionResponse["messageResponse"];

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));
const STREAM_FILE = "millrace/v1/stream_service.proto";
const SERVICES = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "millrace.v1.AdminService",
  "millrace.v1.StreamService",
  "millrace.v1.WorkerService",
];

let server: DiscoveryServer;

beforeAll(async () => {
  const health = createHealth([StreamService.typeName]);
  health.set("serving");
  server = await serveDiscovery((router) => {
    // Registered before the services that it describes, because the order must not matter.
    reflectionRoutes(router);
    healthRoutes(router, health);
    router.service(AdminService, {});
    router.service(WorkerService, {});
    router.service(StreamService, {
      get: ({ itemId }) => ({
        item: {
          itemId,
          data: { kind: { case: "stringValue", value: "stored" } },
          revision: 3n,
          createTime: { seconds: 1n },
        },
      }),
      set() {
        const metadata = { current_revision: "4" };
        throw toConnectError(new StreamError("REVISION_MISMATCH", "It differs.", { metadata }));
      },
    });
  });
});
afterAll(() => server.close());

describe.each([
  ["v1", ServerReflectionV1],
  // The messages of both have the same shape.
  ["v1alpha", ServerReflectionV1Alpha as unknown as typeof ServerReflectionV1],
])("grpc.reflection.%s", (version, service) => {
  let client: Client<typeof service>;
  beforeAll(() => {
    client = createClient(service, createGrpcTransport({ baseUrl: server.url }));
  });

  /** Sends all requests at once on one stream, and closes it. */
  async function exchange(sent: readonly MessageRequest[]): Promise<ServerReflectionResponse[]> {
    async function* requests() {
      for (const messageRequest of sent) {
        yield { host: "example", ...(messageRequest && { messageRequest }) };
      }
    }
    const responses: ServerReflectionResponse[] = [];
    for await (const response of client.serverReflectionInfo(requests())) responses.push(response);
    return responses;
  }
  async function ask(request: MessageRequest): Promise<MessageResponse> {
    const [response] = await exchange([request]);
    if (response === undefined) throw new Error("There was no response.");
    return response.messageResponse;
  }
  async function askFiles(request: MessageRequest): Promise<FileDescriptorProto[]> {
    return decoded(await ask(request));
  }
  const symbol = (value: string): MessageRequest => ({ case: "fileContainingSymbol", value });
  const filename = (value: string): MessageRequest => ({ case: "fileByFilename", value });

  test("lists every service of the router, itself included, sorted", async () => {
    const response = await ask({ case: "listServices", value: "" });
    if (response.case !== "listServicesResponse") throw new Error(`It is ${response.case}.`);
    expect(response.value.service.map(({ name }) => name)).toEqual(SERVICES);
  });

  test("returns a file by its name, followed by all its imports", async () => {
    const files = await askFiles(filename(STREAM_FILE));
    expect(files.map(({ name }) => name)).toEqual([
      STREAM_FILE,
      "millrace/v1/types.proto",
      "google/protobuf/timestamp.proto",
      "google/protobuf/struct.proto",
      "google/protobuf/duration.proto",
    ]);
  });

  test.each([
    "google/protobuf/any.proto",
    "google/protobuf/api.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/source_context.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/type.proto",
    "google/protobuf/wrappers.proto",
    "google/rpc/error_details.proto",
    `grpc/reflection/${version}/reflection.proto`,
    "grpc/health/v1/health.proto",
    "millrace/v1/types.proto",
  ])("returns %s with all its imports", async (name) => {
    const files = await askFiles(filename(name));
    expect(files[0]?.name).toBe(name);
    expect(new Set(files.map((file) => file.name)).size).toBe(files.length);
    // The registry needs imports first, and throws when one is missing.
    const linked = createFileRegistry(
      create(FileDescriptorSetSchema, { file: files.toReversed() }),
    );
    expect(linked.getFile(name)).toBeDefined();
  });

  test.each([
    ["millrace.v1.StreamService", STREAM_FILE],
    ["millrace.v1.StreamService.Subscribe", STREAM_FILE],
    ["millrace.v1.SetRequest", STREAM_FILE],
    ["millrace.v1.SetRequest.stream_name", STREAM_FILE],
    ["millrace.v1.SubscribeResponse.frame", STREAM_FILE],
    ["millrace.v1.Position", "millrace/v1/types.proto"],
    ["millrace.v1.ChangeType", STREAM_FILE],
    ["millrace.v1.CHANGE_TYPE_CREATE", STREAM_FILE],
    ["grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"],
    ["grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"],
    ["grpc.health.v1.HealthListResponse.StatusesEntry", "grpc/health/v1/health.proto"],
    ["grpc.health.v1.HealthListResponse.StatusesEntry.key", "grpc/health/v1/health.proto"],
    ["google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto"],
    ["google.protobuf.Value", "google/protobuf/struct.proto"],
    ["google.protobuf.NULL_VALUE", "google/protobuf/struct.proto"],
  ])("finds the file of %s", async (name, file) => {
    expect((await askFiles(symbol(name)))[0]?.name).toBe(file);
  });

  test("returns files with JSON names and proto3 optional, as a compiler writes them", async () => {
    const [file] = await askFiles(symbol("millrace.v1.SetRequest"));
    const fields = file?.messageType.find(({ name }) => name === "SetRequest")?.field;
    expect(fields?.map(({ jsonName }) => jsonName)).toEqual([
      "streamName",
      "groupId",
      "itemId",
      "data",
      "expectedRevision",
      "expectedEpoch",
      "idempotencyKey",
      "ttl",
      "whileConnected",
    ]);
    expect(fields?.map(({ proto3Optional }) => proto3Optional)).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
      true,
      true,
      false,
    ]);
  });

  test("a message without extensions has no extension numbers", async () => {
    const value = "millrace.v1.SetRequest";
    expect(await ask({ case: "allExtensionNumbersOfType", value })).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { baseTypeName: value, extensionNumber: [] },
    });
  });

  test.each<MessageRequest>([
    filename("millrace/v1/stream_service"),
    filename("no/such.proto"),
    symbol("millrace.v1.NoSuch"),
    symbol("millrace.v1"),
    symbol(""),
    {
      case: "fileContainingExtension",
      value: { containingType: "millrace.v1.SetRequest", extensionNumber: 7 },
    },
    { case: "allExtensionNumbersOfType", value: "millrace.v1.NoSuch" },
    { case: "allExtensionNumbersOfType", value: "millrace.v1.StreamService" },
  ])("returns NOT_FOUND for unknown names: $case $value", async (request) => {
    const response = await ask(request);
    expect(response).toMatchObject({ case: "errorResponse", value: { errorCode: Code.NotFound } });
  });

  test("answers every request of a stream in order, and continues after errors", async () => {
    const responses = await exchange([
      symbol("no.such"),
      { case: undefined },
      { case: "listServices", value: "*" },
      ...Array.from({ length: 50 }, () => filename(STREAM_FILE)),
    ]);
    expect(responses).toHaveLength(53);
    expect(responses[0]?.messageResponse).toMatchObject({ value: { errorCode: Code.NotFound } });
    expect(responses[1]?.messageResponse).toMatchObject({
      value: { errorCode: Code.Unimplemented },
    });
    expect(responses[2]?.messageResponse.case).toBe("listServicesResponse");
    for (const { messageResponse } of responses.slice(3))
      expect(decoded(messageResponse)[0]?.name).toBe(STREAM_FILE);
  });

  test("echoes the request and its host", async () => {
    const [response] = await exchange([symbol("millrace.v1.Position")]);
    expect(response?.validHost).toBe("example");
    expect(response?.originalRequest).toMatchObject({
      $typeName: `grpc.reflection.${version}.ServerReflectionRequest`,
      host: "example",
      messageRequest: { case: "fileContainingSymbol", value: "millrace.v1.Position" },
    });
  });
});

describe("a draining service", () => {
  test("ends open streams with UNAVAILABLE", async () => {
    const end = new AbortController();
    const ending = await serveDiscovery((router) => reflectionRoutes(router, end.signal));
    try {
      const client = createClient(ServerReflectionV1, createGrpcTransport({ baseUrl: ending.url }));
      const stop = new AbortController();
      async function* requests() {
        yield { messageRequest: { case: "listServices" as const, value: "" } };
        // Never half-closed on its own.
        await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
      }
      const responses = client.serverReflectionInfo(requests())[Symbol.asyncIterator]();
      expect((await responses.next()).done).toBe(false);
      const last = responses.next().catch((error: unknown) => ConnectError.from(error));
      end.abort(new StreamError("SHUTTING_DOWN", "Come back in a moment."));
      expect(await last).toMatchObject({
        code: Code.Unavailable,
        rawMessage: "Come back in a moment.",
      });
      stop.abort();
    } finally {
      await ending.close();
    }
  });
});

describe("buf, a real client", () => {
  test("gets the same files by reflection as from the compiler", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-reflection-"));
    try {
      const image = join(folder, "image.binpb");
      await buf("build", "-o", image, "--as-file-descriptor-set", "--exclude-source-info");
      const compiled = fromBinary(FileDescriptorSetSchema, await readFile(image)).file.filter(
        ({ name }) => !name.startsWith("google/protobuf/"),
      );
      expect(compiled.map(({ name }) => name)).toContain(STREAM_FILE);
      const client = createClient(ServerReflectionV1, createGrpcTransport({ baseUrl: server.url }));
      async function* requests() {
        for (const { name } of compiled)
          yield { messageRequest: { case: "fileByFilename" as const, value: name } };
      }
      const reflected: unknown[] = [];
      for await (const { messageResponse } of client.serverReflectionInfo(requests())) {
        const [file] = decoded(messageResponse);
        if (file !== undefined) reflected.push(toJson(FileDescriptorProtoSchema, file));
      }
      expect(reflected).toEqual(compiled.map((file) => toJson(FileDescriptorProtoSchema, file)));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  describe.each(["grpc-v1", "grpc-v1alpha"])("with %s", (protocol) => {
    const curl = (...args: string[]) =>
      buf("curl", "--reflect-protocol", protocol, "--http2-prior-knowledge", ...args);

    test("lists services and methods", async () => {
      expect((await curl("--list-services", server.url)).trim().split("\n")).toEqual(SERVICES);
      const methods = (await curl("--list-methods", server.url)).trim().split("\n");
      expect(methods).toContain("grpc.health.v1.Health/Check");
      for (const { name } of StreamService.methods)
        expect(methods).toContain(`millrace.v1.StreamService/${name}`);
    });

    test("calls methods that it knows from reflection only", async () => {
      const call = async (method: string, data: unknown): Promise<unknown> =>
        JSON.parse(
          await curl("--protocol", "grpc", "-d", JSON.stringify(data), `${server.url}/${method}`),
        );
      expect(await call("grpc.health.v1.Health/Check", {})).toEqual({ status: "SERVING" });
      expect(await call("millrace.v1.StreamService/Get", { streamName: "s", itemId: "i" })).toEqual(
        {
          item: { itemId: "i", data: "stored", revision: "3", createTime: "1970-01-01T00:00:01Z" },
        },
      );
    });

    test("reads the details of errors", async () => {
      const failed = await curl(
        "--protocol",
        "grpc",
        "-d",
        '{"data":{"a":[1,null]}}',
        `${server.url}/millrace.v1.StreamService/Set`,
      ).catch((error: unknown) => error);
      const { code, details } = JSON.parse((failed as { stderr: string }).stderr);
      expect(code).toBe("aborted");
      expect(details[0].type).toBe("google.rpc.ErrorInfo");
    });
  });
});

/** The files of a response. */
function decoded(response: MessageResponse): FileDescriptorProto[] {
  if (response.case !== "fileDescriptorResponse") {
    throw new Error(`It is ${response.case}: ${JSON.stringify(response.value)}`);
  }
  return response.value.fileDescriptorProto.map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes),
  );
}

async function buf(...args: string[]): Promise<string> {
  const script = join(PROJECT, "node_modules", "@bufbuild", "buf", "bin", "buf");
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], {
    cwd: PROJECT,
    timeout: 15_000,
  });
  return stdout;
}

/* Baseline: a server of @grpc/grpc-js over a Map. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { StreamService } from "../../dist/src/v1.js";
import { mapService } from "../lib/map-service.mjs";
import { pathOf } from "../load/requests.mjs";

/** Opens the part. */
export async function open() {
  const service = mapService();
  const { set, get, update } = StreamService.method;
  /**
   * @template {import("@bufbuild/protobuf").DescMessage} I
   * @template {import("@bufbuild/protobuf").DescMessage} O
   * @param {{ name: string, input: I, output: O }} method
   */
  const definition = ({ name, input, output }) => ({
    path: pathOf(name),
    requestStream: false,
    responseStream: false,
    requestSerialize: (/** @type {import("@bufbuild/protobuf").MessageShape<I>} */ message) =>
      Buffer.from(toBinary(input, message)),
    requestDeserialize: (/** @type {Buffer} */ bytes) => fromBinary(input, bytes),
    responseSerialize: (/** @type {import("@bufbuild/protobuf").MessageShape<O>} */ message) =>
      Buffer.from(toBinary(output, message)),
    responseDeserialize: (/** @type {Buffer} */ bytes) => fromBinary(output, bytes),
  });
  /**
   * @template I, O
   * @param {(request: I) => O} handler
   * @returns {import("@grpc/grpc-js").handleUnaryCall<I, O>}
   */
  const handled = (handler) => (call, answer) => answer(null, handler(call.request));
  const server = new Server();
  server.addService(
    { set: definition(set), get: definition(get), update: definition(update) },
    {
      set: handled(service.set),
      get: handled(service.get),
      update: handled(service.update),
    },
  );
  const port = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { info: { url: `http://127.0.0.1:${port}` } };
}

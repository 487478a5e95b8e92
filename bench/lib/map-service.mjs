/* What a service over a Map does: the handlers that baselines share. */
import { create } from "@bufbuild/protobuf";
import { GetResponseSchema, SetResponseSchema, UpdateResponseSchema } from "../../dist/src/v1.js";

/**
 * @typedef {import("../../dist/src/v1.js").SetRequest} SetRequest
 * @typedef {import("../../dist/src/v1.js").GetRequest} GetRequest
 * @typedef {import("../../dist/src/v1.js").UpdateRequest} UpdateRequest
 * @typedef {import("@bufbuild/protobuf/wkt").Value} Value
 */

/**
 * Handlers over a Map. Updates support increment only.
 *
 * @param {{ twice?: boolean }} [options] With `twice`, each call is busy as long again as the
 *   process was
 *   since the call before: a planted slowness.
 */
export function mapService({ twice = false } = {}) {
  /** @type {Map<string, { data: Value, revision: bigint }>} */
  const items = new Map();
  let before = cpuMicros();
  const busy = () => {
    const now = cpuMicros();
    const until = now + (now - before);
    while (cpuMicros() < until);
    before = cpuMicros();
  };
  /** @param {SetRequest | GetRequest | UpdateRequest} request */
  const keyOf = ({ streamName, groupId, itemId }) => `${streamName}\0${groupId}\0${itemId}`;
  /** @param {SetRequest | UpdateRequest} request @param {Value} data */
  const put = (request, data) => {
    const key = keyOf(request);
    const old = items.get(key);
    const revision = (old?.revision ?? 0n) + 1n;
    items.set(key, { data, revision });
    const result = { newValue: data, created: old === undefined };
    const position = { epoch: "baseline", revision };
    return old === undefined
      ? { ...result, position }
      : { ...result, position, oldValue: old.data };
  };
  return {
    /** @param {SetRequest} request */
    set: (request) => {
      if (twice) busy();
      const { data } = request;
      if (data === undefined) throw new Error("data is missing");
      return create(SetResponseSchema, put(request, data));
    },
    /** @param {GetRequest} request */
    get: (request) => {
      if (twice) busy();
      const found = items.get(keyOf(request));
      const { itemId } = request;
      return create(GetResponseSchema, found === undefined ? {} : { item: { itemId, ...found } });
    },
    /** @param {UpdateRequest} request */
    update: (request) => {
      if (twice) busy();
      const kind = items.get(keyOf(request))?.data.kind;
      const fields = kind?.case === "structValue" ? { ...kind.value.fields } : {};
      for (const { op } of request.ops) {
        if (op.case !== "increment") throw new Error("only increments are supported here");
        const { path, by = 0n } = op.value;
        const now = fields[path]?.kind;
        const number = (now?.case === "numberValue" ? now.value : 0) + Number(by);
        fields[path] = {
          $typeName: "google.protobuf.Value",
          kind: { case: "numberValue", value: number },
        };
      }
      const value = { $typeName: /** @type {const} */ ("google.protobuf.Struct"), fields };
      const data = {
        $typeName: /** @type {const} */ ("google.protobuf.Value"),
        kind: { case: /** @type {const} */ ("structValue"), value },
      };
      return create(UpdateResponseSchema, put(request, data));
    },
  };
}

function cpuMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

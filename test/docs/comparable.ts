import type { JsonValue } from "@bufbuild/protobuf";

/** Members that differ from run to run. */
const VOLATILE = new Set([
  "epoch",
  "revision",
  "timestamp",
  "createTime",
  "updateTime",
  "olderPageToken",
]);

/** A response of the service without what differs from run to run. */
export function comparable(response: JsonValue): JsonValue {
  if (typeof response !== "object" || response === null) return response;
  if (Array.isArray(response)) return response.map(comparable);
  return Object.fromEntries(
    Object.entries(response).map(([key, member]) => [
      key,
      VOLATILE.has(key) ? "..." : comparable(member),
    ]),
  );
}

import type { JsonValue } from "@bufbuild/protobuf";

/** Members that are never twice the same. */
const VOLATILE = new Set(["epoch", "revision", "timestamp", "createTime", "updateTime"]);

/** An answer of the service with what differs from run to run taken out. */
export function comparable(answer: JsonValue): JsonValue {
  if (typeof answer !== "object" || answer === null) return answer;
  if (Array.isArray(answer)) return answer.map(comparable);
  return Object.fromEntries(
    Object.entries(answer).map(([key, member]) => [
      key,
      VOLATILE.has(key) ? "..." : comparable(member),
    ]),
  );
}

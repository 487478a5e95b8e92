import {
  type JsonObject,
  type JsonValue,
  type MessageInitShape,
  fromJson,
} from "@bufbuild/protobuf";
import { ValueSchema, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { DeadLetterSchema, TriggerSchema } from "../../../gen/millrace/v1/admin_service_pb.ts";
import type { DeadLetter } from "../../service/dead-letter-box.ts";
import { type TriggerPage, durableNameOf } from "../../service/trigger-administration.ts";

/** A trigger as a message. */
export function triggerOf(
  report: TriggerPage["triggers"][number],
): MessageInitShape<typeof TriggerSchema> {
  const { metadata, oldestMs, awaySinceMs, counts } = report;
  return {
    triggerId: report.id,
    type: report.type,
    functionId: report.function_id,
    config: report.config as JsonObject,
    ...(metadata !== undefined && { metadata: valueOf(metadata) }),
    durable: durableNameOf(report) ?? "",
    served: report.served,
    backlog: BigInt(report.pending),
    ...(oldestMs !== undefined && { oldestTime: timestampFromMs(oldestMs) }),
    ...(awaySinceMs !== undefined && { awaySince: timestampFromMs(awaySinceMs) }),
    fired: BigInt(counts.fired),
    skipped: BigInt(counts.skipped),
    failed: BigInt(counts.failed),
    retried: BigInt(counts.retried),
    dropped: BigInt(counts.dropped),
    starting: report.starting,
  };
}

/** A dead letter as a message. */
export function letterOf(letter: DeadLetter): MessageInitShape<typeof DeadLetterSchema> {
  const { functionId, id, error, time, trigger, payload, payloadText } = letter;
  return {
    functionId,
    deadLetterId: id,
    ...error,
    time: timestampFromDate(time),
    ...(trigger !== undefined && { trigger: trigger as unknown as JsonObject }),
    ...(payload !== undefined && { payload: valueOf(payload) }),
    payloadText: payloadText ?? "",
  };
}

function valueOf(json: unknown) {
  return fromJson(ValueSchema, json as JsonValue);
}

import { type JsonObject, fromJson, toBinary } from "@bufbuild/protobuf";
import { StreamService } from "millrace/v1";
import type { RawRequest } from "../../support/doors/raw-http.ts";
import type { Method, RawProtocol } from "../../support/doors/raw-protocol.ts";
import { joined, part } from "../../wire/request/raw-wire.ts";

/** One bad request, in every form that can express it, and its expected refusal. */
export interface Row {
  readonly title: string;
  readonly method: Method;
  /** The message in JSON. */
  readonly json?: string | Uint8Array;
  /** The message in binary. */
  readonly binary?: Uint8Array;
  /** The message as an argument of the library. */
  readonly library?: object;
  /** The whole request, when a message cannot express it. Undefined: impossible in the protocol. */
  readonly request?: (protocol: RawProtocol) => RawRequest | undefined;
  /** Whether the message cannot be embedded in another one. */
  readonly alone?: boolean;
  /** Default `invalid_argument`. */
  readonly code?: string;
  /** Undefined: the protocol layer refuses it, without a reason of the service. */
  readonly reason: string | undefined;
  /** The field that the error message and the metadata must name. */
  readonly field?: string;
  /** Further metadata that the refusal must have. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Pattern that the error message must match. */
  readonly says?: RegExp;
  /** HTTP status, when HTTP itself carries the refusal. */
  readonly status?: number;
}

/** The item that every row addresses, and that must stay unchanged. */
export const KEY = { streamName: "bad-input", groupId: "g", itemId: "kept" } as const;
export const GROUP = { streamName: KEY.streamName, groupId: KEY.groupId } as const;

/** A message in all forms, made from its proto JSON. */
export function message(
  method: Method,
  json: JsonObject,
): Required<Pick<Row, "json" | "binary" | "library" | "method">> {
  const desc = StreamService.method[method].input;
  return {
    method,
    json: JSON.stringify(json),
    binary: toBinary(desc, fromJson(desc, json)),
    library: libraryForm(json),
  };
}

/** A message that only JSON and the library can express. */
export function jsonOnly(method: Method, json: string): Pick<Row, "json" | "library" | "method"> {
  return { method, json, library: libraryForm(JSON.parse(json) as JsonObject) };
}

/** The names of the item in binary, followed by `fields`. */
export function binary(...fields: readonly Uint8Array[]): Uint8Array {
  const { streamName, groupId, itemId } = KEY;
  return joined(part(1, streamName), part(2, groupId), part(3, itemId), ...fields);
}

/** Converts the steps of updates to their form in the library. */
function libraryForm(json: JsonObject): JsonObject {
  const form = { ...json };
  if (Array.isArray(json["ops"])) form["ops"] = json["ops"].map(stepForm);
  if (Array.isArray(json["mutations"]))
    form["mutations"] = json["mutations"].map((mutation) => mutationForm(mutation as JsonObject));
  return form;
}

function stepForm(step: unknown): JsonObject {
  const [entry] = Object.entries(step as JsonObject);
  if (entry === undefined) return {};
  return { type: entry[0], ...(entry[1] as JsonObject) };
}

function mutationForm(mutation: JsonObject): JsonObject {
  const update = mutation["update"] as JsonObject | undefined;
  return update === undefined ? mutation : { update: libraryForm(update) };
}

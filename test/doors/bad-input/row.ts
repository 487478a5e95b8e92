import { type JsonObject, fromJson, toBinary } from "@bufbuild/protobuf";
import { StreamService } from "millrace/v1";
import type { RawRequest } from "../../support/doors/raw-http.ts";
import type { Method, RawProtocol } from "../../support/doors/raw-protocol.ts";
import { joined, part } from "../../wire/request/raw-wire.ts";

/** One bad request, in every form that can express it, and what it is refused with. */
export interface Row {
  readonly title: string;
  readonly method: Method;
  /** The message in JSON. */
  readonly json?: string | Uint8Array;
  /** The message in binary. */
  readonly binary?: Uint8Array;
  /** The message as the library takes it. */
  readonly library?: object;
  /** The whole request, for what no message expresses; undefined on protocols that cannot say it. */
  readonly request?: (protocol: RawProtocol) => RawRequest | undefined;
  /** Whether it cannot be part of another message. */
  readonly alone?: boolean;
  /** Default `invalid_argument`. */
  readonly code?: string;
  /** Undefined for what the protocols refuse themselves, in their own way. */
  readonly reason: string | undefined;
  /** What the sentence and the metadata must name. */
  readonly field?: string;
  /** What else the metadata must have. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What else the sentence must say. */
  readonly says?: RegExp;
  /** Of the HTTP answer, where the refusal is one of HTTP. */
  readonly status?: number;
}

/** What every row is about: the item that must stay as it is. */
export const KEY = { streamName: "bad-input", groupId: "g", itemId: "kept" } as const;
export const GROUP = { streamName: KEY.streamName, groupId: KEY.groupId } as const;

/** A message in all forms, from its proto JSON. */
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

/** A message that only JSON, and the library, can express. */
export function jsonOnly(method: Method, json: string): Pick<Row, "json" | "library" | "method"> {
  return { method, json, library: libraryForm(JSON.parse(json) as JsonObject) };
}

/** The names of the kept item in binary, and what follows them. */
export function binary(...fields: readonly Uint8Array[]): Uint8Array {
  const { streamName, groupId, itemId } = KEY;
  return joined(part(1, streamName), part(2, groupId), part(3, itemId), ...fields);
}

/** Steps of updates have another form in the library. */
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

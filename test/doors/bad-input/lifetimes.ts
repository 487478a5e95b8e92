import type { JsonObject } from "@bufbuild/protobuf";
import { part, varint } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, binary, message } from "./row.ts";

const { itemId } = KEY;
const TEN_YEARS_S = 3650 * 24 * 3600;

/** The place of a lifetime -> the request that has it there, and the field that an error names. */
type Place = readonly [
  method: "set" | "update" | "batch",
  field: string,
  write: (lifetime: JsonObject) => JsonObject,
];

const PLACES: readonly Place[] = [
  ["set", "ttl", (lifetime) => ({ ...KEY, data: 1, ...lifetime })],
  ["update", "ttl", (lifetime) => ({ ...KEY, ops: [], ...lifetime })],
  [
    "batch",
    "mutations[0].set.ttl",
    (lifetime) => ({ ...GROUP, mutations: [{ set: { itemId, data: 1, ...lifetime } }] }),
  ],
  [
    "batch",
    "mutations[1].update.ttl",
    (lifetime) => ({
      ...GROUP,
      mutations: [{ delete: { itemId } }, { update: { itemId, ops: [], ...lifetime } }],
    }),
  ],
];

const MAY = /it may be whole milliseconds from 1 s to 10 years \(3650 days\), or absent\./;

/** Durations that no item may live: seconds in JSON, milliseconds in the library. */
const DURATIONS: readonly (readonly [title: string, json: string, ttlMs: number])[] = [
  ["zero", "0s", 0],
  ["a negative lifetime", "-1s", -1000],
  ["a negative fraction of a second", "-0.001s", -1],
  ["a lifetime under 1 s", "0.999s", 999],
  ["a lifetime with a fraction of a millisecond", "1.000000001s", 1000.000_001],
  ["a lifetime of 10 years and 1 ms", `${TEN_YEARS_S}.001s`, TEN_YEARS_S * 1000 + 1],
  ["a lifetime of 11 years", `${11 * 365 * 86_400}s`, 11 * 365 * 86_400_000],
  ["a lifetime of 10,000 years", "315576000000s", 315_576_000_000_000],
];

/** What is no Duration in JSON. */
const NO_DURATIONS: readonly (readonly [title: string, json: unknown])[] = [
  ["a number", 30],
  ["a number in text", "30"],
  ["minutes", "1m"],
  ["milliseconds", "1000ms"],
  ["empty text", ""],
  ["a unit alone", "s"],
  ["ten decimals", "1.0000000001s"],
  ["an exponent", "1e3s"],
  ["more than 10,000 years", "315576000001s"],
  ["an object", { seconds: 30 }],
  ["a flag", true],
];

/** What is no Duration in binary. */
const BAD_BYTES: readonly (readonly [title: string, bytes: Uint8Array])[] = [
  ["seconds and nanos of different signs", part(8, varint(1, 1), varint(2, -1))],
  ["a billion nanos", part(8, varint(1, 1), varint(2, 1_000_000_000))],
  ["more seconds than a Duration has", part(8, varint(1, 315_576_000_001))],
  ["seconds of 2^53 and more", part(8, varint(1, 2 ** 60))],
  ["half a field", part(8, Uint8Array.of(0x08))],
  ["another type", varint(8, 30)],
];

/** Lifetimes that no write may ask for. */
export const LIFETIMES: readonly Row[] = [
  ...PLACES.flatMap(([method, field, write]): Row[] => {
    const index = /\d/.exec(field)?.[0];
    const invalid = { reason: "REQUEST_INVALID", field, ...(index && { metadata: { index } }) };
    return [
      ...DURATIONS.map(([title, json, ttlMs]) => ({
        title: `${title} as ${field} of ${method}`,
        ...message(method, write({ ttl: json })),
        library: write({ ttlMs }),
        ...invalid,
        says: MAY,
      })),
      ...NO_DURATIONS.map(([title, json]) => ({
        title: `${title} as ${field} of ${method}`,
        method,
        json: JSON.stringify(write({ ttl: json as string })),
        ...invalid,
        says: /it may be a google\.protobuf\.Duration/,
      })),
      {
        title: `the name of the protocol, ttl, as ${field} of ${method}`,
        method,
        library: write({ ttl: "30s" }),
        ...invalid,
        says: /it may be ttlMs/,
      },
      {
        title: `text as ${field} of ${method}`,
        method,
        library: write({ ttlMs: "30s" }),
        ...invalid,
        says: /is not a number; it may be whole milliseconds/,
      },
    ];
  }),
  ...BAD_BYTES.map(([title, bytes]) => ({
    title: `${title} as ttl`,
    method: "set" as const,
    binary: binary(part(4, varint(1, 0)), bytes),
    reason: "REQUEST_INVALID",
    field: "ttl",
  })),
];

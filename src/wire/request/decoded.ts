import type { Message } from "@bufbuild/protobuf";
import type { Duration, Value as ValueMessage } from "@bufbuild/protobuf/wkt";
import type { Value } from "../../core/value.ts";

/**
 * The decoded form of a message of generated type `M`, as handlers use it: free of protobuf types.
 *
 * - `google.protobuf.Value` is a checked `Value`.
 * - `google.protobuf.Duration` is a number of milliseconds, which may have a fraction.
 * - 64-bit integers are numbers, checked to be within ±(2^53-1); a larger request id is a bigint.
 * - Every property is present; an absent field is `undefined` (optional fields, messages), the zero
 *   value (other scalars) or `[]` (repeated fields).
 * - A oneof is `{case, value}`, with `case: undefined` when none is set.
 */
export type Decoded<M> = {
  readonly [K in Exclude<keyof M, "$typeName" | "$unknown">]-?: K extends "requestId"
    ? number | bigint
    : Plain<Explicit<M>[K]>;
};

/**
 * `M` with optional properties made `T | undefined`, because `-?` alone would lose the undefined.
 */
type Explicit<M> = { [K in keyof M]-?: undefined extends M[K] ? M[K] | undefined : M[K] };

type Plain<T> = T extends bigint
  ? number
  : T extends ValueMessage
    ? Value
    : T extends Duration
      ? number
      : T extends readonly (infer E)[]
        ? readonly Plain<E>[]
        : T extends { case: string; value: infer V }
          ? { readonly case: T["case"]; readonly value: Plain<V> }
          : T extends { case: undefined }
            ? { readonly case: undefined; readonly value?: undefined }
            : T extends Message
              ? Decoded<T>
              : T;

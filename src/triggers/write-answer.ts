import { StreamError } from "../core/errors.ts";
import { isRecord } from "../core/is-record.ts";
import { opsFromJson } from "../core/op-json.ts";
import { Value } from "../core/value.ts";
import { GateRefusal } from "./ask-gates.ts";
import { type Fields, kindOf } from "./gate-answer.ts";
import type {
  GatedMutation,
  GatedWrite,
  MutationContent,
  Replacement,
  WriteAction,
} from "./gated-write.ts";

/**
 * Reads what an allowing write gate puts in place of the content of a write: `data` of a set or a
 * send, `mutations` of a batch. null counts as absent, except as the `data` of a set or a send,
 * where it is a value.
 *
 * @returns Undefined when it replaces nothing.
 * @throws GateRefusal when the replacement does not fit the write, or breaks the rules of requests.
 */
export function replacementIn(
  fields: Fields | undefined,
  action: WriteAction,
  { mutations }: GatedWrite,
): Replacement | undefined {
  if (fields === undefined) return undefined;
  const { data, mutations: replaced } = fields;
  const hasData = action === "set" || action === "send";
  if (!hasData && data !== undefined && data !== null)
    throw new GateRefusal(`it returned data, which a ${action} does not have`);
  if (action !== "batch" && replaced !== undefined && replaced !== null)
    throw new GateRefusal(`it returned mutations, which a ${action} does not have`);
  if (hasData) return data === undefined ? undefined : { data: valid(() => Value.of(data)) };
  if (replaced === undefined || replaced === null || mutations === undefined) return undefined;
  return { mutations: contentsOf(replaced, mutations) };
}

function contentsOf(
  replaced: unknown,
  mutations: readonly GatedMutation[],
): readonly (MutationContent | undefined)[] {
  if (!Array.isArray(replaced))
    throw new GateRefusal(`its mutations are ${kindOf(replaced)}; they may be an array`);
  if (replaced.length !== mutations.length) {
    throw new GateRefusal(
      `it returned ${replaced.length} mutations; it may return the ${mutations.length} of the batch`,
    );
  }
  return mutations.map((mutation, index) =>
    contentOf(replaced[index], mutation, `mutations[${index}]`),
  );
}

function contentOf(
  given: unknown,
  { kind, itemId }: GatedMutation,
  at: string,
): MutationContent | undefined {
  if (!isRecord(given)) throw new GateRefusal(`its ${at} is ${kindOf(given)}; it may be an object`);
  if (given["kind"] !== kind || given["id"] !== itemId)
    throw new GateRefusal(`its ${at} has another kind or id than the mutation of the batch`);
  if (kind === "delete") return undefined;
  if (kind === "update") return { ops: valid(() => opsFromJson(given["ops"]), `${at}.`) };
  const data = given["data"];
  if (data === undefined)
    throw new GateRefusal(`its ${at} has no data; it may have any JSON value`);
  return { data: valid(() => Value.of(data, `${at}.data`)) };
}

/** The result of a check that requests pass too. @throws GateRefusal when it fails. */
function valid<T>(check: () => T, at = ""): T {
  try {
    return check();
  } catch (error) {
    const { message } = StreamError.from(error);
    throw new GateRefusal(`its ${at}${message.replace(/\.$/, "")}`);
  }
}

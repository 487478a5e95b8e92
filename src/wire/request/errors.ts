import { StreamError, type Reason } from "../../core/errors.ts";

/**
 * The place of a decoder in a request: a chain from the innermost field outwards. `undefined` is
 * the request.
 */
export interface FieldPath {
  readonly parent: FieldPath | undefined;
  /** Proto name of the field. */
  readonly name: string;
  /** Index in a repeated field. */
  readonly index: number | undefined;
}

/** A path as errors show it, for example `mutations[3].set.data`. */
export function pathText(path: FieldPath): string {
  const own = path.index === undefined ? path.name : `${path.name}[${path.index}]`;
  return path.parent === undefined ? own : `${pathText(path.parent)}.${own}`;
}

/** Path of a field of the message at `parent`, as text. */
export function fieldText(parent: FieldPath | undefined, name: string, index?: number): string {
  return pathText({ parent, name, index });
}

/** A refusal that names a field, its problem and what it may be. */
export function fieldError(
  reason: Reason,
  field: string,
  problem: string,
  may: string,
): StreamError {
  return new StreamError(reason, `${field} ${problem}; it may be ${may}.`, { metadata: { field } });
}

/** A refusal of bytes that are not a message of the type. */
export function malformed(path: FieldPath | undefined, typeName: string): StreamError {
  const field = path === undefined ? undefined : pathText(path);
  return new StreamError(
    "REQUEST_INVALID",
    `${field ?? "The request"} is cut short or malformed; it may be an encoded ${typeName}.`,
    field === undefined ? {} : { metadata: { field } },
  );
}

/** Matches the paths of mutations in a batch, which may be a request in a stream of writes. */
const MUTATION = /^(?:batch\.)?mutations\[(\d+)\]/;

/** Adds the metadata `index` to a decoder's error about one mutation of a batch. */
export function located(error: unknown): unknown {
  if (!(error instanceof StreamError)) return error;
  const index = MUTATION.exec(error.metadata["field"] ?? "")?.[1];
  return index === undefined ? error : error.with({ index });
}

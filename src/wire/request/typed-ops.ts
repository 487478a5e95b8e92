import { isRecord } from "../../core/is-record.ts";
import { opFromJson } from "../../core/op-json.ts";

/*
 * Update operations have two forms in JSON: that of the messages, `{"set":{"path":"a","value":1}}`, and
 * that of change frames and payloads, `{"type":"set","path":"a","value":1}`. Calls over sockets take both.
 */

/**
 * Brings the operations of an Update or a Batch into the form of the messages. Everything else
 * stays as it is, so that the decoder names what is wrong.
 *
 * @throws StreamError OP_MALFORMED for an operation with a type and without the path that it needs.
 */
export function withMessageOps(request: unknown): unknown {
  if (!isRecord(request)) return request;
  const { ops, mutations } = request;
  if (Array.isArray(ops)) return { ...request, ops: ops.map(messageOp) };
  if (!Array.isArray(mutations)) return request;
  const inMessageForm = mutations.map((mutation: unknown) =>
    isRecord(mutation) && isRecord(mutation["update"])
      ? { ...mutation, update: withMessageOps(mutation["update"]) }
      : mutation,
  );
  return { ...request, mutations: inMessageForm };
}

function messageOp(op: unknown, index: number): unknown {
  if (!isRecord(op) || typeof op["type"] !== "string") return op;
  const { type, ...rest }: Record<string, unknown> & { type?: unknown } = op;
  const { path } = rest;
  const takesKeys = type === "merge" || type === "append";
  // In a message, an absent path is the root: here it is an error, as in the reader of this form.
  if (!takesKeys && path === undefined) opFromJson(op, index);
  // One key stands for a path of one key there, and the empty one for the root.
  if (takesKeys && typeof path === "string") rest["path"] = path === "" ? [] : [path];
  return { [type]: rest };
}

import type { UpdateOp } from "./ops.ts";

/** The steps of an update as JSON text, in the form that opsFromJson reads. */
export function opsText(ops: readonly UpdateOp[]): string {
  return `[${ops.map(opText).join(",")}]`;
}

function opText(op: UpdateOp): string {
  const fields = [`"type":${JSON.stringify(op.type)}`, `"path":${JSON.stringify(op.path)}`];
  if ("value" in op) fields.push(`"value":${op.value.text}`);
  if ("by" in op) fields.push(`"by":${op.by}`);
  return `{${fields.join(",")}}`;
}

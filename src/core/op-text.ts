import type { UpdateOp } from "./ops.ts";

/** The steps of an update as JSON text, in the form that opsFromJson reads. */
export function opsText(ops: readonly UpdateOp[]): string {
  let text = "[";
  for (const op of ops) text += text.length === 1 ? opText(op) : `,${opText(op)}`;
  return `${text}]`;
}

/** Characters of one step in the text besides its type, its path and its operand. */
const FRAME = `{"type":"","path":[]}`.length;

/**
 * Fewest bytes that opsText can give: counted without building any text, so that a caller who needs
 * a small text does not pay for a large one.
 */
export function leastOpsBytes(ops: readonly UpdateOp[]): number {
  let bytes = 2 + Math.max(0, ops.length - 1);
  for (const op of ops) {
    bytes += FRAME + op.type.length + op.path.length;
    if ("by" in op) bytes += `,"by":0`.length;
    if ("value" in op) bytes += `,"value":`.length + op.value.text.length;
  }
  return bytes;
}

function opText(op: UpdateOp): string {
  const start = `{"type":"${op.type}","path":${JSON.stringify(op.path)}`;
  if ("value" in op) return `${start},"value":${op.value.text}}`;
  return "by" in op ? `${start},"by":${op.by}}` : `${start}}`;
}

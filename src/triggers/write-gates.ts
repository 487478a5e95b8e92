import type { BoundTrigger } from "../core/trigger.ts";
import {
  type AskContext,
  GateRefusal,
  askGates,
  refusing,
  unreachable,
  unregistered,
} from "./ask-gates.ts";
import type { Bindings } from "./bindings.ts";
import { type GatedWrite, type WriteAction, withContent } from "./gated-write.ts";
import { type GateCaller, writePayload } from "./payloads.ts";
import { replacementIn } from "./write-answer.ts";

/** Dependencies of the write gates. */
export interface WriteContext extends AskContext {
  readonly bindings: Bindings;
  readonly isRequired: boolean;
}

/**
 * Asks the write gates that match a write, concurrently. A batch matches a gate when one of its
 * mutations does. One of the gates may replace its content.
 *
 * @param write The request. It may have further fields, which the result has too.
 * @param isRepetition Asked before the gates, if there are any: whether the write repeats one that
 *   they let through. Then they are not asked again, and the result is the request itself.
 * @returns The request itself at once when no gate has to be asked. Otherwise a promise of the
 *   request, or of a copy with the content that a gate put in its place: `data` of a set or send,
 *   `data` and `ops` of the mutations of a batch, valid like those of requests. Never throws
 *   synchronously.
 * @throws StreamError WRITE_REFUSED, as a rejection, unless every gate allows it and at most one
 *   replaces its content.
 */
export type AdmitWrite = <W extends GatedWrite>(
  action: WriteAction,
  write: W,
  caller: GateCaller,
  isRepetition?: () => Promise<boolean>,
) => W | Promise<W>;

/** Asks the gates of type `stream:write`. */
export function createWriteGates(context: WriteContext): AdmitWrite {
  const { bindings, registry, isRequired, onRefused } = context;
  const refuse = refusing(
    onRefused,
    "write_refused",
    "WRITE_REFUSED",
    "The write was refused by a write gate; it may be one that the caller is allowed to make.",
  );

  const ask = async <W extends GatedWrite>(
    action: WriteAction,
    write: W,
    caller: GateCaller,
    gates: readonly BoundTrigger[],
  ): Promise<W> => {
    if (!registry.isCurrent()) return refuse("write gates", unreachable());
    if (gates.length === 0) return refuse("write_gate", unregistered());
    const contents = await askGates(context, {
      gates,
      payload: writePayload(action, write, caller),
      read: (fields) => replacementIn(fields, action, write),
      refuse,
    });
    let replaced = write;
    let by: string | undefined;
    for (const [index, content] of contents.entries()) {
      if (content === undefined) continue;
      const { functionId } = (gates[index] as BoundTrigger).definition;
      if (by !== undefined)
        return refuse(functionId, new GateRefusal(`it replaced the content, and so did ${by}`));
      by = functionId;
      replaced = withContent(write, content);
    }
    return replaced;
  };

  return (action, write, caller, isRepetition) => {
    const ids = matching(bindings, write);
    if (ids.length === 0 && !isRequired && registry.isCurrent()) return write;
    const gates = ids.map((id) => bindings.get(id)).filter((gate) => gate !== undefined);
    if (isRepetition === undefined) return ask(action, write, caller, gates);
    return isRepetition().then((isIt) => (isIt ? write : ask(action, write, caller, gates)));
  };
}

/** Ids of the gates of a write; those of a batch are the gates of any of its mutations. */
function matching(bindings: Bindings, write: GatedWrite): readonly string[] {
  const { mutations } = write;
  if (mutations === undefined) return bindings.matchGates(write, write.itemId);
  let found: Set<string> | undefined;
  for (const { itemId } of mutations)
    for (const id of bindings.matchGates(write, itemId)) (found ??= new Set()).add(id);
  return found === undefined ? NONE : Array.from(found);
}

const NONE: readonly string[] = Object.freeze([]);

import { StreamError } from "../core/errors.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { type Json, Value } from "../core/value.ts";
import { writeTrigger } from "../triggers/definition.ts";
import type { Job, Loss } from "../triggers/trigger-lane.ts";
import type { Handlers } from "./handlers.ts";

/** Stream of what triggers were not called with. Its groups are ids of functions. */
export const DEAD_LETTERS = "millrace:dead-letters";

/** Most dead letters of one function; beyond it the oldest are removed. */
const MAX_DEAD_LETTERS = 10_000;
/** How many are removed at once. */
const TRIM_COUNT = 500;

const SENTENCES: Readonly<Record<Exclude<Loss["reason"], "failed">, [string, string]>> = {
  backlog: ["backlog_full", "Too many events waited for this trigger; the oldest were let go."],
  depth: ["depth_exceeded", "Functions and triggers have led to one another too often."],
};

/** What dead letters work with. */
export interface DeadLetterOptions {
  readonly handlers: Pick<Handlers, "set" | "batch" | "list">;
  readonly newId: () => string;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
}

/**
 * Writes dead letters: an item per event that a trigger was not called with in the end, with all that
 * is needed to look at it and to play it again.
 *
 * @throws StreamError when it cannot be written.
 */
export function createDeadLetters({ handlers, newId, clock }: DeadLetterOptions) {
  /** Letters of each function since they were last counted. */
  const written = new Map<string, number>();

  return async (trigger: BoundTrigger, job: Job | undefined, loss: Loss): Promise<void> => {
    const { functionId } = trigger.definition;
    const group = { streamName: DEAD_LETTERS, groupId: functionId };
    const [code, message] =
      loss.reason === "failed"
        ? [loss.error?.code ?? "invocation_failed", loss.error?.message ?? ""]
        : SENTENCES[loss.reason];
    const letter = {
      function_id: functionId,
      error: { code, message: cut(message), attempts: loss.attempts },
      time: new Date(clock()).toISOString(),
      trigger: writeTrigger(trigger.definition) as unknown as Json,
    };
    await handlers.set({ ...group, itemId: newId(), data: valueOf(letter, job?.payload) });
    const count = (written.get(functionId) ?? TRIM_COUNT) + 1;
    written.set(functionId, count);
    if (count < TRIM_COUNT) return;
    written.set(functionId, 0);
    await trim(handlers, group);
  };
}

/** The letter with its payload, as JSON if that fits, else as text, else without. */
function valueOf(letter: Readonly<Record<string, Json>>, payload: string | undefined): Value {
  const { trigger: _trigger, ...short } = letter;
  const forms = [
    () => ({ ...letter, payload: payload === undefined ? null : (JSON.parse(payload) as Json) }),
    () => ({ ...letter, payload_text: payload ?? "" }),
    () => ({ ...letter, payload_omitted_chars: payload?.length ?? 0 }),
  ];
  for (const form of forms) {
    try {
      return Value.of(form());
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
  }
  // Only metadata of the trigger can be as large as that.
  return Value.of({ ...short, payload_omitted_chars: payload?.length ?? 0 });
}

/** Removes the oldest over the limit. */
async function trim(
  handlers: Pick<Handlers, "batch" | "list">,
  group: { readonly streamName: string; readonly groupId: string },
): Promise<void> {
  const oldest: string[] = [];
  let count = 0;
  let pageToken = "";
  do {
    const page = await handlers.list({ ...group, pageSize: 1000, pageToken });
    for (const { itemId } of page.items) if (oldest.length < 2 * TRIM_COUNT) oldest.push(itemId);
    count += page.items.length;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  const excess = oldest.slice(0, Math.max(0, count - MAX_DEAD_LETTERS));
  if (excess.length === 0) return;
  const mutations = excess.map((itemId) => ({ kind: "delete" as const, itemId }));
  await handlers.batch({ ...group, mutations, returnValues: false });
}

/** What a handler threw may be of any length. */
function cut(message: string): string {
  const whole = message.toWellFormed();
  return whole.length > 4096 ? `${whole.slice(0, 4096).toWellFormed()}...` : whole;
}

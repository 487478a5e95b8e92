import { StreamError } from "../core/errors.ts";
import { RESERVED_PREFIX } from "../core/names.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { type Json, Value } from "../core/value.ts";
import { writeTrigger } from "../triggers/definition.ts";
import type { Job, Loss } from "../triggers/job.ts";
import type { Reads } from "./reads.ts";
import type { Writes } from "./writes.ts";

/** Stream of dead letters. Its groups are ids of functions. */
export const DEAD_LETTERS = `${RESERVED_PREFIX}dead-letters`;

/** Most dead letters of one function; beyond it the oldest are removed. */
const MAX_DEAD_LETTERS = 10_000;
/** Number of dead letters removed at once. */
const TRIM_COUNT = 500;

const SENTENCES: Readonly<Record<Exclude<Loss["reason"], "failed">, [string, string]>> = {
  backlog: ["backlog_full", "Too many events waited for this trigger; the oldest were dropped."],
  max_away: [
    "away_too_long",
    "The function of this trigger had no provider for longer than max_away; the event was dropped.",
  ],
  depth: ["depth_exceeded", "The chain of functions and triggers is too long."],
};

/** Dependencies of dead letters. */
export interface DeadLetterOptions {
  readonly handlers: Pick<Reads & Writes, "set" | "list" | "batch">;
  readonly newId: () => string;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
}

/**
 * Writes dead letters: an item for each event that a trigger gave up on, with everything needed to
 * inspect and replay it.
 *
 * @throws StreamError when the letter cannot be written.
 */
export function createDeadLetters({ handlers, newId, clock }: DeadLetterOptions) {
  /** Letters written for each function since the last trim. */
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

/** The letter with its payload as JSON if that fits, otherwise as text, otherwise without it. */
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
  // Only the trigger's metadata can be that large.
  return Value.of({ ...short, payload_omitted_chars: payload?.length ?? 0 });
}

/** Removes the oldest letters beyond the limit. */
async function trim(
  handlers: Pick<Reads & Writes, "set" | "list" | "batch">,
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

/** Truncates a message: handlers may throw errors of any length. */
function cut(message: string): string {
  const whole = message.toWellFormed();
  return whole.length > 4096 ? `${whole.slice(0, 4096).toWellFormed()}...` : whole;
}

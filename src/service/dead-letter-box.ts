import type { Item } from "../core/change.ts";
import { FunctionError } from "../core/function-call.ts";
import { isRecord } from "../core/is-record.ts";
import { checkName } from "../core/names.ts";
import { readPageToken, writePageToken } from "../core/page-token.ts";
import type { Json } from "../core/value.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { TriggerRequest } from "../triggers/definition.ts";
import { requestInvalid } from "./checks.ts";
import { DEAD_LETTERS } from "./dead-letters.ts";
import type { Reads } from "./reads.ts";
import type { PageRequest } from "./requests.ts";
import type { Writes } from "./writes.ts";

/** An event that a trigger gave up on. */
export interface DeadLetter {
  /** The function that the trigger calls. */
  readonly functionId: string;
  /** Identifies the letter among those of the function. */
  readonly id: string;
  readonly error: { readonly code: string; readonly message: string; readonly attempts: number };
  /** When the event was given up. */
  readonly time: Date;
  /** The trigger as it was registered. Undefined: it was too large. */
  readonly trigger: TriggerRequest | undefined;
  /** Payload of the call. Undefined: it could not be kept, or only as text. */
  readonly payload: Json | undefined;
  /** The payload as JSON text, when it is nested too deep for a value. */
  readonly payloadText: string | undefined;
}

/** Which dead letters to list. */
export interface ListDeadLettersRequest extends PageRequest {
  /** Those of one function. Absent or empty: of all functions, one after another. */
  readonly functionId?: string | undefined;
}

/** A page of dead letters. It may be short, or empty, although more follow. */
export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetter[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** How a replay ended. */
export interface Replayed {
  /** Whether the call succeeded: the letter is removed. Otherwise it stays as it is. */
  readonly replayed: boolean;
  /** Why the call failed. */
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

/** The dead letters, for operators. */
export interface DeadLetterBox {
  /** A page of dead letters, the oldest of a function first. @throws StreamError */
  listDeadLetters(request: ListDeadLettersRequest): Promise<DeadLetterPage>;
  /**
   * Calls the function of a dead letter again, and removes the letter when the call succeeds.
   *
   * @throws StreamError REQUEST_INVALID when there is no such letter, or it has no payload.
   */
  replayDeadLetter(request: {
    readonly functionId: string;
    readonly id: string;
  }): Promise<Replayed>;
}

/** Dependencies of the dead letters. */
export interface DeadLetterBoxOptions {
  readonly handlers: Pick<Reads & Writes, "get" | "list" | "listGroups" | "delete">;
  readonly call: FunctionRegistry["call"];
}

const LISTING = ["dead-letters"];

/** Reads and replays what `createDeadLetters` writes. */
export function createDeadLetterBox({ handlers, call }: DeadLetterBoxOptions): DeadLetterBox {
  const streamName = DEAD_LETTERS;
  const ofFunction = async (functionId: string, page: PageRequest): Promise<DeadLetterPage> => {
    const { items, nextPageToken } = await handlers.list({
      streamName,
      groupId: functionId,
      ...page,
    });
    return { deadLetters: items.map((item) => letterOf(functionId, item)), nextPageToken };
  };
  /** The function after one in a listing of all. */
  const functionAfter = async (functionId: string | undefined): Promise<string | undefined> => {
    const pageToken =
      functionId === undefined ? "" : writePageToken(["groups", streamName], [functionId]);
    const { groups } = await handlers.listGroups({ streamName, pageSize: 1, pageToken });
    return groups[0];
  };
  return {
    async listDeadLetters({ functionId = "", pageSize, pageToken }) {
      if (functionId !== "")
        return ofFunction(checkName("function_id", functionId), { pageSize, pageToken });
      const token = readPageToken(pageToken, LISTING, 2);
      const current = token?.[0] ?? (await functionAfter(undefined));
      if (current === undefined) return { deadLetters: [], nextPageToken: "" };
      const page = await ofFunction(current, { pageSize, pageToken: token?.[1] ?? "" });
      const next = page.nextPageToken === "" ? await functionAfter(current) : current;
      const nextPageToken =
        next === undefined ? "" : writePageToken(LISTING, [next, page.nextPageToken]);
      return { ...page, nextPageToken };
    },
    async replayDeadLetter(request) {
      const functionId = checkName("function_id", request.functionId);
      const itemId = checkName("dead_letter_id", request.id);
      const item = await handlers.get({ streamName, groupId: functionId, itemId });
      if (item === undefined) {
        throw requestInvalid(
          "dead_letter_id",
          `dead_letter_id is unknown for ${functionId}; it may be that of a listed dead letter.`,
        );
      }
      const { payload, payloadText, trigger } = letterOf(functionId, item);
      const text = payload === undefined ? payloadText : JSON.stringify(payload);
      if (text === undefined) {
        throw requestInvalid(
          "dead_letter_id",
          "dead_letter_id is that of a letter whose payload was too large to keep; it may be that of another one.",
        );
      }
      const metadata = trigger?.metadata;
      try {
        await call(functionId, text, {
          depth: 0,
          metadata: metadata === undefined ? undefined : JSON.stringify(metadata),
        });
      } catch (error) {
        const { code, message } = FunctionError.from(error);
        return { replayed: false, error: { code, message } };
      }
      await handlers.delete({ streamName, groupId: functionId, itemId });
      return { replayed: true };
    },
  };
}

/** Other writers of the stream may have stored anything. */
function letterOf(functionId: string, { itemId, value, createTimeMs }: Item): DeadLetter {
  const json = value.json();
  const fields: Record<string, Json> = isRecord(json) ? json : {};
  const error = isRecord(fields["error"]) ? fields["error"] : {};
  const { code = "", message = "", attempts = 0 } = error as Record<string, unknown>;
  const time = new Date(typeof fields["time"] === "string" ? fields["time"] : NaN);
  const { payload, payload_text: payloadText, trigger } = fields;
  return {
    functionId,
    id: itemId,
    error: { code: String(code), message: String(message), attempts: Number(attempts) || 0 },
    time: Number.isNaN(time.getTime()) ? new Date(createTimeMs) : time,
    trigger: isRecord(trigger) ? (trigger as unknown as TriggerRequest) : undefined,
    payload: payload ?? undefined,
    payloadText: typeof payloadText === "string" ? payloadText : undefined,
  };
}

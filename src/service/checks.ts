import { StreamError } from "../core/errors.ts";
import { MAX_NAME_BYTES, type GroupKey, checkGroup, checkName } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import { utf8Length } from "../core/text.ts";
import { MAY_WINDOW, isWindow } from "../core/window.ts";
import type { Value } from "../core/value.ts";
import type { Expectations, ItemRequest } from "./requests.ts";

/** Most changes of one batch. */
export const MAX_MUTATIONS = 1000;
/** Longest idempotency key, in UTF-8 bytes. */
const MAX_KEY_BYTES = 128;
/** Default and maximum number of items, or groups, of a page. */
const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1000;

/** The error for a malformed request. */
export function requestInvalid(field: string, sentence: string): StreamError {
  return new StreamError("REQUEST_INVALID", sentence, { metadata: { field } });
}

/** Checks the number of changes of a batch. @throws StreamError REQUEST_INVALID */
export function checkMutationCount(count: number): void {
  if (count > 0 && count <= MAX_MUTATIONS) return;
  throw requestInvalid(
    "mutations",
    `mutations has ${count} entries; it may have 1 to ${MAX_MUTATIONS}.`,
  );
}

/** Checks the names of an item. @throws StreamError NAME_INVALID */
export function checkItem(request: ItemRequest): { group: GroupKey; itemId: string } {
  return { group: checkGroup(request), itemId: checkName("item_id", request.itemId) };
}

/** Checks that a value is present. @throws StreamError VALUE_INVALID */
export function checkData(data: Value | undefined, field = "data"): Value {
  if (data !== undefined) return data;
  throw new StreamError(
    "VALUE_INVALID",
    `${field} is missing; it may be any JSON value, null included.`,
    {
      metadata: { field },
    },
  );
}

/** Checks the expectations of a write. @throws StreamError REQUEST_INVALID */
export function checkExpectations(request: Expectations): void {
  checkRevision("expected_revision", request.expectedRevision);
  checkEpoch("expected_epoch", request.expectedEpoch);
}

/** Checks a revision, if there is one. @throws StreamError REQUEST_INVALID */
export function checkRevision(field: string, revision: unknown): void {
  if (revision === undefined) return;
  if (typeof revision === "number" && Number.isSafeInteger(revision) && revision >= 0) return;
  throw requestInvalid(field, `${field} is not a revision; it may be an integer from 0 to 2^53-1.`);
}

/** Checks a flag; absent: false. @throws StreamError REQUEST_INVALID */
export function checkFlag(field: string, flag: unknown): boolean {
  if (flag === undefined || typeof flag === "boolean") return flag === true;
  throw requestInvalid(field, `${field} is not a boolean; it may be true or false.`);
}

/** Checks the window of a subscription, if there is one. @throws StreamError REQUEST_INVALID */
export function checkWindow(window: unknown, itemId: string | undefined): number | undefined {
  if (window === undefined) return undefined;
  if (!isWindow(window))
    throw requestInvalid("window", `window is not a number of items; it may be ${MAY_WINDOW}.`);
  if (itemId === undefined) return window;
  throw requestInvalid(
    "window",
    "window is given with item_id, which follows a single item; it may be absent, or given for a whole group.",
  );
}

/** Checks a position. @throws StreamError REQUEST_INVALID */
export function checkPosition(field: string, position: Position): Position {
  checkEpoch(`${field}.epoch`, position.epoch);
  checkRevision(`${field}.revision`, position.revision);
  return { epoch: position.epoch, revision: position.revision };
}

/** Checks an idempotency key that a request has. @throws StreamError REQUEST_INVALID */
export function checkIdempotencyKey(key: unknown): string {
  if (
    typeof key === "string" &&
    key !== "" &&
    key.isWellFormed() &&
    utf8Length(key) <= MAX_KEY_BYTES
  )
    return key;
  const problem =
    typeof key !== "string"
      ? "is not a string"
      : key === ""
        ? "is empty"
        : key.isWellFormed()
          ? "is too long"
          : "is not valid Unicode";
  throw requestInvalid(
    "idempotency_key",
    `idempotency_key ${problem}; it may be 1 to ${MAX_KEY_BYTES} bytes of valid Unicode, or absent.`,
  );
}

/** Type of a transient event, by default `message`. @throws StreamError REQUEST_INVALID */
export function checkEventType(type: unknown): string {
  if (type === undefined || type === "") return "message";
  if (typeof type === "string" && type.isWellFormed() && utf8Length(type) <= MAX_NAME_BYTES)
    return type;
  throw requestInvalid(
    "type",
    `type is not an event type; it may be up to ${MAX_NAME_BYTES} bytes of valid Unicode.`,
  );
}

/** Number of entries of a page. @throws StreamError REQUEST_INVALID */
export function checkPageSize(pageSize: unknown): number {
  if (typeof pageSize !== "number" || !Number.isInteger(pageSize) || pageSize < 0) {
    throw requestInvalid(
      "page_size",
      `page_size is not a page size; it may be 0 (${DEFAULT_PAGE_SIZE} entries) or an integer up to ${MAX_PAGE_SIZE}.`,
    );
  }
  return pageSize === 0 ? DEFAULT_PAGE_SIZE : Math.min(pageSize, MAX_PAGE_SIZE);
}

function checkEpoch(field: string, epoch: unknown): void {
  if (epoch === undefined || (typeof epoch === "string" && epoch.isWellFormed())) return;
  throw requestInvalid(
    field,
    `${field} is not an epoch; it may be one that the service gave, or empty.`,
  );
}

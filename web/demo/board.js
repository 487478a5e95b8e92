/**
 * The state that all windows share and the service keeps: a counter that every window may
 * increment, and a note that every window may edit.
 */
import { element, setText } from "./dom.js";
import { call, fieldsOf, revisionOf } from "./service.js";

/** @import { Change, Target } from "./group-follower.js" */

/** @type {Target} */
export const BOARD = { streamName: "demo-board", groupId: "lobby" };

const COUNTER = "counter";
const NOTE = "note";
/** Delay after the last key until the note is saved, in milliseconds. */
const PAUSE_MS = 250;

/**
 * @typedef {object} Options
 * @property {() => boolean} isLive Whether the service can be reached.
 * @property {(error: unknown) => void} onError Called with the errors of failed writes.
 * @property {string | undefined} draft The unsaved text from before a reload.
 */

/**
 * Shows the board, and lets people change it.
 *
 * @param {Options} options
 */
export function createBoard({ isLive, onError, draft }) {
  const count = element("count", HTMLOutputElement);
  const button = element("count-up", HTMLButtonElement);
  const note = element("note", HTMLTextAreaElement);
  const state = element("note-state", HTMLElement);
  /** Whether the note has unsaved changes. */
  let isDirty = draft !== undefined;
  let isSaving = false;
  let pause = 0;
  /** Revision of this window's last write of the note: older changes are ignored. */
  let written = 0;

  if (draft !== undefined) note.value = draft;

  button.addEventListener("click", () => {
    // The service increments, so that two simultaneous clicks both count.
    const ops = [{ set: { path: "id", value: COUNTER } }, { increment: { path: "count", by: 1 } }];
    call("Update", { ...BOARD, itemId: COUNTER, ops }).catch(onError);
  });
  note.addEventListener("input", () => {
    isDirty = true;
    clearTimeout(pause);
    pause = setTimeout(() => void save(), PAUSE_MS);
    showState();
  });

  async function save() {
    if (!isDirty || isSaving || !isLive()) return;
    isSaving = true;
    const text = note.value;
    const request = { ...BOARD, itemId: NOTE, data: { id: NOTE, text } };
    try {
      written = Number(revisionOf(await call("Set", request)));
      isDirty = note.value !== text;
    } catch (error) {
      // It stays dirty, and is saved when the connection is back. Saving twice is harmless.
      onError(error);
    }
    isSaving = false;
    showState();
  }

  function showState() {
    button.disabled = !isLive();
    if (!isDirty) setText(state, note.value === "" ? "" : "Saved. Every window has it.");
    else
      setText(state, isLive() ? "Saving …" : "Not saved yet: it will be when the service is back.");
  }

  /**
   * @param {string} id
   * @param {unknown} data Undefined: there is no such item.
   * @param {number} revision
   */
  function take(id, data, revision) {
    const { count: number, text } = fieldsOf(data);
    if (id === COUNTER) setText(count, String(typeof number === "number" ? number : 0));
    if (id !== NOTE || isDirty || revision < written) return;
    const next = typeof text === "string" ? text : "";
    if (note.value === next) return;
    const { selectionStart, selectionEnd } = note;
    note.value = next;
    note.setSelectionRange(selectionStart, selectionEnd);
    showState();
  }

  return {
    /** @param {ReadonlyMap<string, unknown>} items */
    replace(items) {
      written = 0;
      for (const id of [COUNTER, NOTE]) take(id, items.get(id), 0);
    },
    /** @param {Change} change */
    change({ type, id, data, revision }) {
      take(id, type === "delete" ? undefined : data, revision);
    },
    /** The connection was established or lost. */
    refresh() {
      showState();
      void save();
    },
    /** Writes of this page are forbidden. */
    freeze() {
      note.readOnly = true;
      button.hidden = true;
      state.hidden = true;
    },
    /** The unsaved text. */
    get draft() {
      return isDirty ? note.value : undefined;
    },
  };
}

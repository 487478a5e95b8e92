/**
 * The state that survives a reload: the person, the groups, the plots. It is in the session storage
 * of the window from unload to load only, and never while the page is shown: a duplicated window
 * must not become the same person twice.
 */
import { fieldsOf } from "./service.js";

/** @import { Saved as SavedGroup } from "./group-follower.js" */
/** @import { SavedHistories } from "./figures-view.js" */
/** @import { Self } from "./people.js" */

const KEY = "millrace-demo";
/** Incremented when the format changes: the state of an older page is ignored then. */
const VERSION = 2;

/**
 * @typedef {object} SavedPage
 * @property {Self} self
 * @property {Readonly<Record<"figures" | "board", SavedGroup | undefined>>} groups
 * @property {SavedHistories} histories
 * @property {string | undefined} draft
 */

/**
 * Loads and removes the saved state, if any.
 *
 * @returns {SavedPage | undefined}
 */
export function loadSaved() {
  try {
    const text = sessionStorage.getItem(KEY) ?? "null";
    sessionStorage.removeItem(KEY);
    /** @type {unknown} */
    const saved = JSON.parse(text);
    if (fieldsOf(saved)["version"] === VERSION) return /** @type {SavedPage} */ (saved);
  } catch {
    // Storage may be forbidden. The page then starts from scratch.
  }
  return undefined;
}

/**
 * Saves the state.
 *
 * @param {SavedPage} page
 */
export function savePage(page) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ version: VERSION, ...page }));
  } catch {
    // As above, or it is full.
  }
}

/**
 * The presence list. Each window updates its own item while it is open, and deletes it when it
 * closes. The other windows detect a window that ended without that, and delete its item.
 */
import { element, make, setText } from "./dom.js";
import { freeColor, personOf } from "./person.js";
import { ServiceError, call, fieldsOf } from "./service.js";

/** @import { Change, Target } from "./group-follower.js" */
/** @import { Person } from "./person.js" */

/** @type {Target} */
export const LOBBY = { streamName: "demo-presence", groupId: "lobby" };

/** Interval at which a window updates its item, in milliseconds. */
const BEAT_MS = 4000;
/** Silence after which a person is greyed, and then removed, in milliseconds. */
const AWAY_MS = 9000;
const GONE_MS = 15_000;
/** Largest page of a listing. */
const MAX_PAGE = 1000;

/** @typedef {{ readonly id: string, readonly name: string, color?: string }} Self */

/**
 * @typedef {object} Options
 * @property {Self} self This window. Its colour is chosen here.
 * @property {() => boolean} isLive Whether the service can be reached.
 * @property {(error: unknown) => void} onError Called with the errors of failed writes.
 */

/**
 * Shows the people present, and publishes the presence of this window.
 *
 * @param {Options} options
 */
export function createPeople({ self, isLive, onError }) {
  const list = element("people", HTMLUListElement);
  /**
   * The others. A person is hidden until the time of the last update is known: items of a snapshot
   * or of the saved page may be minutes old.
   *
   * `lastSeenMs`: time of the last update. `removeMs`: when this window last requested the removal.
   *
   * @type {Map<string, Person & { lastSeenMs: number | undefined, removeMs: number }>}
   */
  const others = new Map();
  /** @type {Map<string, HTMLLIElement>} */
  const chips = new Map();
  let beating = false;
  let beatenMs = Number.NEGATIVE_INFINITY;
  /** Revision of this window's item; undefined: none. @type {string | undefined} */
  let written;
  /** Whether to read the times of the last updates from the service. */
  let isUnsure = true;

  /**
   * @param {string} id
   * @param {unknown} data
   */
  function take(id, data) {
    if (id === self.id) return;
    const person = personOf(id, data);
    if (person === undefined) others.delete(id);
    else {
      // Changes during a catch-up may be old.
      const lastSeenMs = isLive() ? performance.now() : others.get(id)?.lastSeenMs;
      others.set(id, { ...person, lastSeenMs, removeMs: Number.NEGATIVE_INFINITY });
    }
  }

  /**
   * Reads from the service how long ago the others were updated. All times are those of its clock:
   * the item of this window was written just now.
   */
  async function lookAround() {
    const { items } = fieldsOf(await call("List", { ...LOBBY, pageSize: MAX_PAGE }));
    const all = Array.isArray(items) ? items.map(fieldsOf) : [];
    const nowMs = performance.now();
    const ours = all.find(({ itemId }) => itemId === self.id);
    if (ours === undefined) return;
    for (const { itemId, data, updateTime } of all) {
      const person = others.get(String(itemId));
      // A person updated meanwhile is present.
      if (person === undefined || personOf(person.id, data)?.seenAt !== person.seenAt) continue;
      const agoMs = Date.parse(String(ours["updateTime"])) - Date.parse(String(updateTime));
      person.lastSeenMs = nowMs - Math.max(0, agoMs);
    }
    isUnsure = false;
  }

  /** Updates the item of this window, if it is due. */
  async function beatIfDue() {
    if (beating || !isLive() || performance.now() - beatenMs < BEAT_MS) return;
    beating = true;
    beatenMs = performance.now();
    self.color ??= freeColor(others.values());
    const { id, name, color } = self;
    const data = { id, name, color, seenAt: new Date().toISOString() };
    try {
      const answer = await call("Set", { ...LOBBY, itemId: id, data });
      written = revisionOf(answer);
      if (isUnsure) await lookAround();
    } catch (error) {
      onError(error);
    }
    beating = false;
    show();
  }

  /** Removes people whose window ended without deleting its item. */
  function sweep() {
    const nowMs = performance.now();
    for (const person of others.values()) {
      const { id, seenAt, lastSeenMs } = person;
      if (lastSeenMs === undefined || nowMs - lastSeenMs < GONE_MS || !isLive()) continue;
      // A failed removal is retried after the same time; meanwhile the person is hidden.
      if (nowMs - person.removeMs < GONE_MS) continue;
      person.removeMs = nowMs;
      void remove(id, seenAt).catch(() => {});
    }
    show();
  }

  function show() {
    const nowMs = performance.now();
    showChip({ ...self, color: self.color ?? "", isAway: false });
    /** @type {Set<string>} */
    const present = new Set([self.id]);
    for (const person of others.values()) {
      if (person.lastSeenMs === undefined) continue;
      const isGone = nowMs - person.lastSeenMs >= GONE_MS;
      // Without a connection, displayed people stay, but no person appears that may have left.
      if (isGone && ((isLive() && !isUnsure) || !chips.has(person.id))) continue;
      present.add(person.id);
      showChip({ ...person, isAway: nowMs - person.lastSeenMs > AWAY_MS });
    }
    for (const [id, chip] of chips) {
      if (present.has(id)) continue;
      chip.remove();
      chips.delete(id);
    }
  }

  /** @param {{ id: string, name: string, color: string, isAway: boolean }} person */
  function showChip({ id, name, color, isAway }) {
    let chip = chips.get(id);
    if (chip === undefined) {
      chip = make("li", "person");
      chip.dataset["person"] = id;
      chips.set(id, chip);
      list.append(chip);
    }
    setText(chip, id === self.id ? `${name} (you)` : isAway ? `${name} (away)` : name);
    chip.style.setProperty("--person", color);
    chip.classList.toggle("away", isAway);
  }

  show();
  return {
    /** @param {ReadonlyMap<string, unknown>} items */
    replace(items) {
      for (const id of others.keys()) if (!items.has(id)) others.delete(id);
      for (const [id, data] of items) {
        const { lastSeenMs } = others.get(id) ?? {};
        take(id, data);
        const person = others.get(id);
        if (person !== undefined) person.lastSeenMs = lastSeenMs;
      }
      isUnsure = true;
      show();
    },
    /** @param {Change} change */
    change({ type, id, data }) {
      if (type !== "delete") take(id, data);
      else if (id !== self.id) others.delete(id);
      // Another window took this one for gone.
      else beatenMs = Number.NEGATIVE_INFINITY;
      show();
    },
    /** The connection is back: the time without it does not count as silence. */
    welcomeBack() {
      isUnsure = true;
      beatenMs = Number.NEGATIVE_INFINITY;
      void beatIfDue();
    },
    beatIfDue,
    sweep,
    /**
     * Another person who is present.
     *
     * @param {string} id
     * @returns {Person | undefined}
     */
    other: (id) => others.get(id),
    /** Whether other people are present. */
    get hasOthers() {
      return others.size > 0;
    },
    /** The window closes: deletes its item, if its last write is still the latest. */
    leave() {
      if (written === undefined) return;
      const request = { ...LOBBY, itemId: self.id, expectedRevision: written };
      written = undefined;
      void call("Delete", request, { keepalive: true }).catch(() => {});
    },
  };
}

/**
 * Deletes the item of a silent window, unless it has been updated meanwhile.
 *
 * @param {string} itemId
 * @param {string} seenAt
 */
async function remove(itemId, seenAt) {
  const { item } = fieldsOf(await call("Get", { ...LOBBY, itemId }));
  const { data, revision } = fieldsOf(item);
  if (personOf(itemId, data)?.seenAt !== seenAt) return;
  try {
    await call("Delete", { ...LOBBY, itemId, expectedRevision: revision });
  } catch (error) {
    // It was updated, or another window has deleted it: as intended.
    if (!(error instanceof ServiceError && error.code === "aborted")) throw error;
  }
}

/**
 * @param {unknown} answer Of a write.
 * @returns {string | undefined}
 */
export function revisionOf(answer) {
  const { revision } = fieldsOf(fieldsOf(answer)["position"]);
  return typeof revision === "string" ? revision : undefined;
}

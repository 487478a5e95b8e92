/**
 * The presence list. Each window keeps an item of its own up to date while it is open, and deletes it
 * when it closes. A window that ended without a word is noticed by the others, who delete its item.
 */
import { element, make, setText } from "./dom.js";
import { freeColor, personOf } from "./person.js";
import { ServiceError, call, fieldsOf } from "./service.js";

/** @import { Change, Target } from "./group-follower.js" */
/** @import { Person } from "./person.js" */

/** @type {Target} */
export const LOBBY = { streamName: "demo-presence", groupId: "lobby" };

/** How often a window says that it is open, in milliseconds. */
const BEAT_MS = 4000;
/** Unheard of for so long: somebody is greyed, and then removed, in milliseconds. */
const AWAY_MS = 9000;
const GONE_MS = 15_000;
/** Largest page of a listing. */
const MAX_PAGE = 1000;

/** @typedef {{ readonly id: string, readonly name: string, color?: string }} Self */

/**
 * @typedef {object} Options
 * @property {Self} self This window. It gets a colour here.
 * @property {() => boolean} isLive Whether the service can be reached.
 * @property {(error: unknown) => void} onError Told of writes that failed.
 */

/**
 * Shows who is here, and tells the others that we are.
 *
 * @param {Options} options
 */
export function createPeople({ self, isLive, onError }) {
  const list = element("people", HTMLUListElement);
  /**
   * The others. Until it is known when somebody was heard of last, nobody sees them: what a snapshot or the
   * saved page has of them may be minutes old.
   *
   * `removeMs`: when this window last asked the service to remove somebody.
   *
   * @type {Map<string, Person & { heardMs: number | undefined, removeMs: number }>}
   */
  const others = new Map();
  /** @type {Map<string, HTMLLIElement>} */
  const chips = new Map();
  let beating = false;
  let beatenMs = Number.NEGATIVE_INFINITY;
  /** Revision of our item; undefined while we have none. @type {string | undefined} */
  let written;
  /** Whether to ask the service when it heard of the others. */
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
      // What comes while we catch up may be old.
      const heardMs = isLive() ? performance.now() : others.get(id)?.heardMs;
      others.set(id, { ...person, heardMs, removeMs: Number.NEGATIVE_INFINITY });
    }
  }

  /**
   * Asks the service how long ago it heard of the others. All times are those of its clock: our own item was
   * written just now.
   */
  async function lookAround() {
    const { items } = fieldsOf(await call("List", { ...LOBBY, pageSize: MAX_PAGE }));
    const all = Array.isArray(items) ? items.map(fieldsOf) : [];
    const nowMs = performance.now();
    const ours = all.find(({ itemId }) => itemId === self.id);
    if (ours === undefined) return;
    for (const { itemId, data, updateTime } of all) {
      const person = others.get(String(itemId));
      // Whoever was heard of meanwhile is here.
      if (person === undefined || personOf(person.id, data)?.seenAt !== person.seenAt) continue;
      const agoMs = Date.parse(String(ours["updateTime"])) - Date.parse(String(updateTime));
      person.heardMs = nowMs - Math.max(0, agoMs);
    }
    isUnsure = false;
  }

  /** Says that this window is open, if it is time to. */
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

  /** Looks for those who ended without a word. */
  function sweep() {
    const nowMs = performance.now();
    for (const person of others.values()) {
      const { id, seenAt, heardMs } = person;
      if (heardMs === undefined || nowMs - heardMs < GONE_MS || !isLive()) continue;
      // A removal that fails is tried again after the same time; meanwhile nobody sees the person.
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
      if (person.heardMs === undefined) continue;
      const isGone = nowMs - person.heardMs >= GONE_MS;
      // While the page cannot know, whoever is shown stays; but nobody appears who may have left.
      if (isGone && ((isLive() && !isUnsure) || !chips.has(person.id))) continue;
      present.add(person.id);
      showChip({ ...person, isAway: nowMs - person.heardMs > AWAY_MS });
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
        const { heardMs } = others.get(id) ?? {};
        take(id, data);
        const person = others.get(id);
        if (person !== undefined) person.heardMs = heardMs;
      }
      isUnsure = true;
      show();
    },
    /** @param {Change} change */
    change({ type, id, data }) {
      if (type !== "delete") take(id, data);
      else if (id !== self.id) others.delete(id);
      // Somebody took us for gone.
      else beatenMs = Number.NEGATIVE_INFINITY;
      show();
    },
    /** The connection is back: what was missed counts neither for nor against anybody. */
    welcomeBack() {
      isUnsure = true;
      beatenMs = Number.NEGATIVE_INFINITY;
      void beatIfDue();
    },
    beatIfDue,
    sweep,
    /**
     * Somebody else who is here.
     *
     * @param {string} id
     * @returns {Person | undefined}
     */
    other: (id) => others.get(id),
    /** Whether anybody else is here. */
    get hasOthers() {
      return others.size > 0;
    },
    /** The window closes: takes its item away, if it still is the one that it wrote last. */
    leave() {
      if (written === undefined) return;
      const request = { ...LOBBY, itemId: self.id, expectedRevision: written };
      written = undefined;
      void call("Delete", request, { keepalive: true }).catch(() => {});
    },
  };
}

/**
 * Deletes the item of a window that was not heard of since it said so, unless it says so again.
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
    // It was heard of, or somebody else was faster: as it should be.
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

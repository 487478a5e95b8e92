/**
 * The people who have the page open. Each window shows itself in the presence of a group while it
 * is connected: the service removes it when it is closed, or its connection is lost.
 */
import { element, make, setText } from "./dom.js";
import { freeColor, personOf } from "./person.js";

/** @import { Change, Target } from "./group-follower.js" */
/** @import { Person } from "./person.js" */

/** The group that all windows join. It has no items: its events are the cursors. @type {Target} */
export const LOBBY = { streamName: "demo-lobby", groupId: "lobby" };
/** The group that shows who has joined it. @type {Target} */
export const PRESENCE = { ...LOBBY, streamName: `millrace:presence:${LOBBY.streamName}` };

/** Time in which people may come back after a restart of the service, in milliseconds. */
const RETURN_MS = 6000;

/** @typedef {{ readonly id: string, readonly name: string, color?: string }} Self */

/**
 * @typedef {object} Options
 * @property {Self} self This window. Its colour is chosen here.
 * @property {() => void} onColor Called when the colour has been chosen.
 */

/**
 * Shows the people present.
 *
 * @param {Options} options
 */
export function createPeople({ self, onColor }) {
  const list = element("people", HTMLUListElement);
  /** The people, by their connections: a window that reconnects may have two for a while. */
  /** @type {Map<string, Person>} */
  let connections = new Map();
  /** Those who were there before the state was replaced, and until when they may come back. */
  /** @type {Map<string, { person: Person, untilMs: number }>} */
  const returning = new Map();
  /** @type {Map<string, HTMLLIElement>} */
  const chips = new Map();

  /** The others, by their ids. @returns {Map<string, Person>} */
  function others() {
    /** @type {Map<string, Person>} */
    const all = new Map();
    for (const { person } of returning.values()) all.set(person.id, person);
    for (const person of connections.values()) all.set(person.id, person);
    all.delete(self.id);
    return all;
  }

  /**
   * @param {string} connectionId
   * @param {unknown} item
   */
  function take(connectionId, item) {
    const person = personOf(item);
    if (person === undefined) return void connections.delete(connectionId);
    connections.set(connectionId, person);
    returning.delete(person.id);
  }

  function show() {
    const all = others();
    showChip({ ...self, color: self.color ?? "" });
    for (const person of all.values()) showChip(person);
    for (const [id, chip] of chips) {
      if (id === self.id || all.has(id)) continue;
      chip.remove();
      chips.delete(id);
    }
  }

  /** @param {{ id: string, name: string, color: string }} person */
  function showChip({ id, name, color }) {
    let chip = chips.get(id);
    if (chip === undefined) {
      chip = make("li", "person");
      chip.dataset["person"] = id;
      chips.set(id, chip);
      list.append(chip);
    }
    setText(chip, id === self.id ? `${name} (you)` : name);
    chip.style.setProperty("--person", color);
  }

  show();
  return {
    /** @param {ReadonlyMap<string, unknown>} items */
    replace(items) {
      const untilMs = performance.now() + RETURN_MS;
      for (const person of connections.values()) returning.set(person.id, { person, untilMs });
      connections = new Map();
      for (const [id, item] of items) take(id, item);
      if (self.color === undefined) {
        self.color = freeColor(others().values());
        onColor();
      }
      show();
    },
    /** @param {Change} change */
    change({ type, id, data }) {
      if (type === "delete") connections.delete(id);
      else take(id, data);
      show();
    },
    /** Removes people who have not come back. */
    sweep() {
      for (const [id, { untilMs }] of returning)
        if (untilMs <= performance.now()) returning.delete(id);
      show();
    },
    /**
     * Another person who is present.
     *
     * @param {string} id
     * @returns {Person | undefined}
     */
    other: (id) => others().get(id),
    /** Whether other people are present. */
    get hasOthers() {
      return others().size > 0;
    },
  };
}

import { type GroupEvent, type LiveEvent, withDelta } from "../core/change.ts";

/** Events that a channel delivers together, for followers with and without deltas. */
export class Batch {
  readonly #events: GroupEvent[] = [];
  #deltas: LiveEvent[] | undefined;

  /** Number of its events. */
  get length(): number {
    return this.#events.length;
  }

  /** Adds the next event. */
  push(event: GroupEvent): void {
    this.#events.push(event);
  }

  /** Its events, with whole values. */
  get events(): readonly GroupEvent[] {
    return this.#events;
  }

  /** The same events with deltas where they have one, made once for all followers. */
  get deltas(): readonly LiveEvent[] {
    const deltas = (this.#deltas ??= []);
    for (let i = deltas.length; i < this.#events.length; i++) {
      const event = this.#events[i] as GroupEvent;
      deltas.push(event.kind === "event" ? event : withDelta(event));
    }
    return deltas;
  }
}

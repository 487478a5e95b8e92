// Counts the listeners of all emitters and abort signals of this process that are alive. To be imported
// before anything else: it sees only what gets its first listener afterwards.
import { EventEmitter, getEventListeners } from "node:events";

/** @type {Set<WeakRef<EventEmitter>>} */
const emitters = new Set();
/** @type {Set<WeakRef<AbortSignal>>} */
const signals = new Set();
/** @type {WeakSet<object>} */
const known = new WeakSet();

const { on, prependListener } = EventEmitter.prototype;
/**
 * @param {typeof on} add
 * @returns {typeof on}
 */
function noting(add) {
  /**
   * @this {EventEmitter}
   * @param {Parameters<typeof on>} args
   */
  return function (...args) {
    if (!known.has(this)) {
      known.add(this);
      emitters.add(new WeakRef(this));
    }
    return /** @type {any} */ (Reflect.apply(add, this, args));
  };
}
EventEmitter.prototype.on = noting(on);
EventEmitter.prototype.addListener = EventEmitter.prototype.on;
EventEmitter.prototype.prependListener = noting(prependListener);

const { addEventListener } = AbortSignal.prototype;
/** @type {typeof addEventListener} */
AbortSignal.prototype.addEventListener = function (...args) {
  if (!known.has(this)) {
    known.add(this);
    signals.add(new WeakRef(this));
  }
  return Reflect.apply(addEventListener, this, args);
};

/**
 * Sums a count over what is alive, and forgets the rest.
 *
 * @template {object} T
 * @param {Set<WeakRef<T>>} refs
 * @param {(object: T) => number} countOf
 */
function sum(refs, countOf) {
  let total = 0;
  for (const ref of refs) {
    const object = ref.deref();
    if (object === undefined) refs.delete(ref);
    else total += countOf(object);
  }
  return total;
}

/** The listeners of everything that is alive. After a garbage collection. */
export function liveListeners() {
  return (
    sum(emitters, (emitter) =>
      emitter.eventNames().reduce((count, name) => count + emitter.listenerCount(name), 0),
    ) + sum(signals, (signal) => getEventListeners(signal, "abort").length)
  );
}

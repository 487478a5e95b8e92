// Counts the listeners of all live emitters and abort signals of this process. Import it first: it
// sees only objects whose first listener is added later.
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
function tracking(add) {
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
EventEmitter.prototype.on = tracking(on);
EventEmitter.prototype.addListener = EventEmitter.prototype.on;
EventEmitter.prototype.prependListener = tracking(prependListener);

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
 * Sums a count over live objects, and drops references to the others.
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

/** The number of listeners of all live objects. Call it after a garbage collection. */
export function liveListeners() {
  return (
    sum(emitters, (emitter) =>
      emitter.eventNames().reduce((count, name) => count + emitter.listenerCount(name), 0),
    ) + sum(signals, (signal) => getEventListeners(signal, "abort").length)
  );
}

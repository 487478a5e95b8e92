import { within } from "../../bridge/within.ts";

/** The calls of a function, in order. */
export interface Calls<T> {
  readonly all: readonly T[];
  /** Records a call. Usable as the function itself. */
  readonly record: (payload: T) => void;
  /** Resolves with all calls so far, once there are at least `calls`. */
  count(calls: number): Promise<readonly T[]>;
  /** Resolves with all calls so far, once they satisfy the condition. */
  until(what: string, holds: (calls: readonly T[]) => boolean): Promise<readonly T[]>;
}

/** Starts without calls. */
export function newCalls<T>(): Calls<T> {
  const all: T[] = [];
  const checks = new Set<() => void>();
  const until: Calls<T>["until"] = async (what, holds) => {
    let check = () => {};
    const done = new Promise<void>((resolve) => {
      check = () => {
        if (holds(all)) resolve();
      };
    });
    checks.add(check);
    check();
    try {
      await within(done, () => `${what}; it had ${JSON.stringify(all).slice(0, 2000)}`);
      return [...all];
    } finally {
      checks.delete(check);
    }
  };
  return {
    all,
    record(payload) {
      all.push(payload);
      for (const check of checks) check();
    },
    until,
    count: (calls) => until(`${calls} calls`, ({ length }) => length >= calls),
  };
}

/** A promise and its resolver. */
export function promised<T = void>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
} {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

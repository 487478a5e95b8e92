import { createRequire } from "node:module";
import { onTestFinished } from "vitest";
import type * as StreamClient from "@motiadev/stream-client-node";
import type { Server } from "millrace/server";
import { within } from "./within.ts";

const { Stream } = createRequire(import.meta.url)(
  "@motiadev/stream-client-node",
) as typeof StreamClient;

/** What the tests store. */
export interface Order {
  readonly id: string;
  readonly n: number;
}

/** What the tests use of a subscription, of a group or an item. */
interface Followed<T> {
  getState(): T;
  addChangeListener(listener: () => void): void;
  removeChangeListener(listener: () => void): void;
}

/** Resolves as soon as the condition holds for the state of a subscription. */
export async function reaches<T>(followed: Followed<T>, holds: (state: T) => boolean): Promise<T> {
  let look = () => {};
  const done = new Promise<void>((resolve) => {
    look = () => {
      if (holds(followed.getState())) resolve();
    };
  });
  followed.addChangeListener(look);
  look();
  try {
    await within(done, () => `a state; it was ${JSON.stringify(followed.getState())}`);
  } finally {
    followed.removeChangeListener(look);
  }
  return followed.getState();
}

/** A client of the test, closed before its server: it does not survive a connection that is refused. */
export function client({ url }: Pick<Server, "url">) {
  const stream = new Stream(url.replace("http", "ws"));
  onTestFinished(() => stream.close());
  return stream;
}

import { createRequire } from "node:module";
import { onTestFinished } from "vitest";
import type * as StreamClient from "@motiadev/stream-client-node";
import type { Server } from "millrace/server";
import { within } from "./within.ts";

const { Stream } = createRequire(import.meta.url)(
  "@motiadev/stream-client-node",
) as typeof StreamClient;

/** The value that the tests store. */
export interface Order {
  readonly id: string;
  readonly n: number;
}

/** The part of a subscription that the tests use. */
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

/** A client that is closed before its server: a refused connection would crash it. */
export function client({ url }: Pick<Server, "url">) {
  const stream = new Stream(url.replace("http", "ws"));
  onTestFinished(() => stream.close());
  return stream;
}

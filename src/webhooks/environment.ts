import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "./public-address.ts";
import { sleep } from "../timers/timers.ts";

/** The environment of webhooks: clock, randomness, resolver and trust. */
export interface HttpEnvironment {
  /** Unix milliseconds. */
  now(): number;
  /** From 0 to below 1. */
  random(): number;
  /** Waits. Rejects when the signal is aborted. */
  delay(ms: number, signal: AbortSignal): Promise<void>;
  /** Resolves the addresses of a host. */
  readonly lookup: LookupFunction;
  /** Whether an address is on the public internet, and not on this machine or in its network. */
  readonly isPublic: (address: string) => boolean;
  /** Trusted certificate authorities, as PEM; undefined: those of Node. */
  readonly authorities: string | undefined;
}

/** The environment of this machine. */
export const SYSTEM: HttpEnvironment = {
  now: () => Date.now(),
  random: () => Math.random(),
  delay: sleep,
  lookup: (hostname, options, callback) => lookup(hostname, options, callback),
  isPublic: isPublicAddress,
  authorities: undefined,
};

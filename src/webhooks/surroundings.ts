import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "./public-address.ts";
import { sleep } from "../timers/timers.ts";

/** What webhooks take from around them. */
export interface Surroundings {
  /** Unix milliseconds. */
  now(): number;
  /** From 0 to below 1. */
  random(): number;
  /** Waits. Rejects when the signal is aborted. */
  delay(ms: number, signal: AbortSignal): Promise<void>;
  /** Finds the addresses of a host. */
  readonly lookup: LookupFunction;
  /** Whether an address is out in the internet, and not on this machine or in its network. */
  readonly isPublic: (address: string) => boolean;
  /** Who vouches for servers, as PEM; undefined: whom Node trusts. */
  readonly authorities: string | undefined;
}

/** The machine's clock, chance and resolver. */
export const MACHINE: Surroundings = {
  now: () => Date.now(),
  random: () => Math.random(),
  delay: sleep,
  lookup: (hostname, options, callback) => lookup(hostname, options, callback),
  isPublic: isPublicAddress,
  authorities: undefined,
};

import { createHash } from "node:crypto";
import { NO_AUTHOR } from "../core/author.ts";
import type { Connected } from "../core/connection.ts";
import { type Rights, rightsOf } from "./rights.ts";
import type { Rule } from "./rule.ts";

/** The caller of the service: decided once per connection or call, before anything is done for it. */
export interface Caller {
  /**
   * - `service`: it presented a key. Neither `auth_function` nor gates are asked.
   * - `user`: a token or `auth_function` identified it.
   * - `local`: a program on this machine, without credentials. Gates are asked.
   * - `anonymous`: none of these.
   */
  readonly kind: "service" | "user" | "local" | "anonymous";
  /** Author of what it writes: `user:<id>`, `key:<name>`, `function:<id>`, or empty. */
  readonly author: string;
  /** Id of the user, 1 to 256 bytes; undefined when there is none. */
  readonly user: string | undefined;
  /** What `auth_function` returned about it, or the claims of its token: JSON text, `null` when absent. */
  readonly context: string;
  /** What it may do; undefined: everything. */
  readonly rights: Rights | undefined;
  /** From this moment it may do nothing, Unix milliseconds; undefined: it has no end. */
  readonly expiresAtMs: number | undefined;
  /** Its connection; undefined where nothing asks for it: a service, or a caller in this process. */
  readonly connection: Connected | undefined;
}

/** What `auth_function` returned about a caller; without one, nothing is known about it. */
export interface Authenticated {
  /** Id of the user. */
  readonly user: string | undefined;
  /** JSON text; `null` when there is none. */
  readonly context: string;
  /** When its rights end, Unix milliseconds; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** What it may do in addition to the configured rules; undefined when nothing is said about it. */
  readonly allow: readonly Rule[] | undefined;
}

/** A caller that may do everything and writes without an author: this process itself. */
export const THIS_PROCESS: Caller = {
  kind: "service",
  author: "",
  user: undefined,
  context: "null",
  rights: undefined,
  expiresAtMs: undefined,
  connection: undefined,
};

/** A program on this machine, without credentials. */
export const LOCAL: Caller = { ...THIS_PROCESS, kind: "local" };

/** A caller that may do nothing. */
export const NOBODY: Caller = { ...THIS_PROCESS, kind: "anonymous", rights: rightsOf([], {}) };

/**
 * Whether it sees the authors of changes, events and items of a stream.
 *
 * @param usersDo Whether users do, by the settings of the stream.
 */
export function seesAuthors({ kind }: Caller, usersDo: boolean): boolean {
  return kind === "service" || kind === "local" || (kind === "user" && usersDo);
}

/**
 * Identity of a caller in the idempotency keys of a group: callers with different identities never
 * meet, and no caller can choose its own. Keys, users and functions have one each; so has this
 * process outside of functions, and so have all anonymous callers together. A user without id is
 * known by its context, a local one by the user that `auth_function` found.
 */
export function identityOf({ kind, author, user, context }: Caller): string {
  if (author !== NO_AUTHOR) return author;
  switch (kind) {
    case "service":
      return "process";
    case "local":
      return user === undefined ? "local" : `local:${user}`;
    case "user":
      return `context:${createHash("sha256").update(context).digest("base64url")}`;
    case "anonymous":
      return "anonymous";
  }
}

/** Whether two callers are of one kind and one identity, whatever their rights are. */
export function isSameCaller(a: Caller, b: Caller): boolean {
  if (a.kind !== b.kind || a.user !== b.user || a.author !== b.author) return false;
  // Without an id, what is known about a caller is all that identifies it.
  return a.user !== undefined || a.context === b.context;
}

/** Names of the keys and channels of a fleet, all on one server. */
export interface FleetKeys {
  /** The hash tag of all names. */
  readonly tag: string;
  /** Lineage, version and token of the last record. */
  readonly head: string;
  readonly log: string;
  readonly snapshot: string;
  /** Member -> time when its lease ends. */
  readonly leases: string;
  /** Member -> lineage and version that it has reached. */
  readonly acks: string;
  /** Time of the last renewal by any member. */
  readonly beat: string;
  /** Members that hold subscriptions. */
  readonly holders: string;
  /** The subscriptions that a member holds. */
  held(member: string): string;
  /** A session: its owner, its holder, and its subscriptions. */
  session(id: string): string;
  /** Ids of the sessions that a member holds. */
  sessions(member: string): string;
  /** Members that hold sessions. */
  readonly sessionHolders: string;
  /** Connection that items are bound to -> id of its session. */
  readonly bound: string;
  /** Channel of new versions and acks. */
  readonly changes: string;
  /** Channel for calls to a process, and for results of its own calls. */
  calls(process: string): string;
  /** Channel for requests to release sessions of a process, and for their confirmations. */
  sessionsAt(process: string): string;
  /** Member -> how it carried out an order. */
  answers(orderId: string): string;
  /** Channel for the ids of a process's orders that have new answers. */
  answered(process: string): string;
}

/** The names under a prefix. */
export function fleetKeys(keyPrefix: string): FleetKeys {
  const tag = `${keyPrefix}:fleet`;
  const name = (last: string) => `{${tag}}:${last}`;
  return {
    tag,
    head: name("head"),
    log: name("log"),
    snapshot: name("snapshot"),
    leases: name("leases"),
    acks: name("acks"),
    beat: name("beat"),
    holders: name("holders"),
    held: (member) => name(`held:${member}`),
    session: (id) => name(`session:${id}`),
    sessions: (member) => name(`sessions:${member}`),
    sessionHolders: name("session-holders"),
    bound: name("bound"),
    changes: name("changes"),
    calls: (process) => name(`calls:${process}`),
    sessionsAt: (process) => name(`sessions-at:${process}`),
    answers: (orderId) => name(`answers:${orderId}`),
    answered: (process) => name(`answered:${process}`),
  };
}

/**
 * The form of stored records that this version reads, which stands at the end of its member ids. Ids
 * of versions without authors have none: to them, ids are opaque.
 */
const RECORD_FORM = 6;
const FORM_WITH_AUTHORS = 2;
const FORM_WITH_DELTAS = 3;
const FORM_WITH_KEYS = 4;
const FORM_WITH_LIFETIMES = 5;
const FORM_WITH_DURABLE = 6;

/** A new member id of a process. */
export function newMemberId(process: string): string {
  return `${process}/${crypto.randomUUID().slice(0, 8)}.${RECORD_FORM}`;
}

/** Whether a member reads records with authors. */
export function readsAuthors(member: string): boolean {
  return formOf(member) >= FORM_WITH_AUTHORS;
}

/** Whether a member reads logs with deltas. */
export function readsDeltas(member: string): boolean {
  return formOf(member) >= FORM_WITH_DELTAS;
}

/** Whether a member knows idempotency keys. */
export function knowsKeys(member: string): boolean {
  return formOf(member) >= FORM_WITH_KEYS;
}

/** Whether a member supports lifetimes. */
export function knowsLifetimes(member: string): boolean {
  return formOf(member) >= FORM_WITH_LIFETIMES;
}

/** Whether a member supports durable triggers. */
export function knowsDurable(member: string): boolean {
  return formOf(member) >= FORM_WITH_DURABLE;
}

function formOf(member: string): number {
  return Number(/\.(\d+)$/.exec(member.slice(member.lastIndexOf("/")))?.[1] ?? 1);
}

/** The process of a member id: the instanceId of its RedisServers. */
export function processOf(member: string): string {
  return member.slice(0, member.lastIndexOf("/"));
}

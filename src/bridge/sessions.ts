import { createHash, randomBytes } from "node:crypto";
import type { Caller } from "../rights/caller.ts";
import { sleep } from "../timers/timers.ts";
import { NO_CONNECTION } from "../service/calls.ts";
import type { SessionBasis } from "../service/engine.ts";
import type { WaitingCalls } from "./call-order.ts";
import { type SessionHolder, type SessionKeeper, SocketSession } from "./socket-session.ts";

/** The sessions of clients, at this process. */
export interface SocketSessions {
  /**
   * Takes a session up, or begins one: without a secret, or with one that is unknown, expired or of
   * another caller.
   *
   * @param secret The secret of the session to take up.
   * @throws StreamError STORE_UNAVAILABLE when the fleet cannot be reached: try again.
   */
  greet(secret: string | undefined, socket: SessionHolder): Promise<Greeted>;
  /**
   * Ends all sessions of this process, or leaves them to the others of the fleet. Sessions that are
   * lost later end the same way.
   */
  close(): void;
}

/** A socket's session. */
export interface Greeted {
  readonly session: SocketSession;
  /** The secret by which its client can take it up again. It must not be logged. */
  readonly secret: string;
  /** Whether an earlier session goes on. */
  readonly resumed: boolean;
}

/** Bytes of randomness of a secret: 128 bits. */
const SECRET_BYTES = 16;
/** Pause before the end of a session is tried again, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Creates the sessions of a process.
 *
 * @param maxSuspended How many subscriptions a session keeps while it waits for their joins.
 * @param waiting Counts the calls of all sockets that wait.
 */
export function createSessions(
  options: SessionBasis,
  maxSuspended: number,
  waiting: WaitingCalls,
): SocketSessions {
  const { agreed, admissions, connections, presences, timeoutMs, onProblem } = options;
  /** Those that this process holds, connected or lost, by their ids. */
  const held = new Map<string, SocketSession>();
  /** What is under way for a session: one thing at a time. */
  const turns = new Map<string, Promise<unknown>>();
  let isClosed = false;

  const inTurn = <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const before = turns.get(id) ?? Promise.resolve();
    const done = before.then(work, work);
    const last = done
      .catch(() => {})
      .then(() => {
        if (turns.get(id) === last) turns.delete(id);
      });
    turns.set(id, last);
    return done;
  };
  /** Ends a session that was not taken up meanwhile. */
  const end = (session: SocketSession): Promise<void> =>
    inTurn(session.id, async () => {
      while (held.get(session.id) === session) {
        if (isClosed) return settleNow(session);
        try {
          const isOurs = await agreed.end(session.id);
          if (held.get(session.id) !== session) return;
          held.delete(session.id);
          return session.settle(isOurs);
        } catch (error) {
          onProblem(error);
          await sleep(RETRY_MS);
        }
      }
    });
  /** Ends a session of a process that ends. */
  const settleNow = (session: SocketSession) => {
    if (held.get(session.id) !== session) return;
    held.delete(session.id);
    session.settle(!agreed.survive);
  };
  const keeper: SessionKeeper = {
    timeoutMs,
    maxSuspended,
    waiting,
    isHeld: (id) => agreed.isHeld(id),
    get isClosed() {
      return isClosed;
    },
    onOver: (session) => {
      if (isClosed) settleNow(session);
      else void end(session);
    },
  };
  agreed.serve({
    async release(id) {
      // Its end, for one, need not wait until its calls are over.
      const { releasing } = await inTurn(id, async () => ({
        releasing: held.get(id)?.releaseElsewhere(),
      }));
      await releasing;
    },
    adopt(record, leases) {
      held.get(record.id)?.settle(false);
      const session = new SocketSession(keeper, record, connections.open(record), undefined);
      held.set(record.id, session);
      for (const lease of leases) session.suspend(admissions.adopt(lease));
      session.lose();
    },
    onRecordedAnew() {
      presences.check(Array.from(held.values(), ({ connection }) => connection));
    },
  });

  const takeUp = async (
    id: string,
    owner: string,
    socket: SessionHolder,
  ): Promise<SocketSession | undefined> => {
    const earlier = held.get(id);
    if (earlier?.owner === owner) earlier.release();
    const taken = await agreed.take(id, owner);
    if (taken === undefined) return undefined;
    const before = held.get(id);
    const isHere = taken.leases === undefined && before !== undefined;
    const { connectionId, isBound } = taken;
    const connection = isHere
      ? before.connection
      : connections.open({ id, owner, connectionId, isBound });
    // It was released, but nobody else has taken it up.
    connection.isReplaced = false;
    const session = new SocketSession(keeper, { id, owner }, connection, socket);
    held.set(id, session);
    if (taken.leases === undefined) before?.handTo(session);
    else {
      before?.settle(false);
      session.inherit(
        taken.leases.map((lease) => ({ subscription: admissions.adopt(lease), untilMs: Infinity })),
      );
    }
    presences.resume(connection);
    return session;
  };

  return {
    async greet(secret, socket) {
      const owner = ownerOf(socket.caller);
      if (secret !== undefined && !isClosed) {
        const id = digestOf(secret);
        const session = await inTurn(id, () => takeUp(id, owner, socket));
        if (session !== undefined) return { session, secret, resumed: true };
      }
      const fresh = randomBytes(SECRET_BYTES).toString("base64url");
      const { connectionId } = socket.caller.connection ?? NO_CONNECTION;
      const record = { id: digestOf(fresh), owner, connectionId };
      await agreed.begin(record);
      const session = new SocketSession(keeper, record, connections.open(record), socket);
      held.set(record.id, session);
      return { session, secret: fresh, resumed: false };
    },
    close() {
      isClosed = true;
      for (const session of Array.from(held.values())) if (session.isLost) settleNow(session);
    },
  };
}

/** The identity of a caller. Without a user, what is known about it is all that identifies it. */
function ownerOf({ kind, author, user, context }: Caller): string {
  return digestOf(
    JSON.stringify([kind, author, user ?? null, user === undefined ? context : null]),
  );
}

/** A digest: nobody can take a session up, or pose as a caller, by having seen it. */
function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** How often connections are checked, in milliseconds. */
const INTERVAL_MS = 500;
/** Size of a ping and of its acknowledgement, in bytes (RFC 9113, section 6.7). */
const PING_BYTES = 17;

/** Closes connections whose HTTP/2 session has ended without an event. */
export interface DeadSessions {
  /** Watches a session until its connection closes. */
  watch(session: ServerHttp2Session, socket: Socket): void;
  /** Stops watching. */
  close(): void;
}

/** A connection as of its latest check. */
interface Watched {
  readonly session: ServerHttp2Session;
  bytesRead: number;
  /** Whether there was traffic since the last probe. */
  isUnproven: boolean;
  /** Bytes written before the pending probe; undefined when there is none. */
  probedAt: number | undefined;
}

/**
 * Node's HTTP/2 library responds to some errors of a peer, such as a header that is too large or a
 * frame beyond the size limit, with a GOAWAY of its own. From then on it neither reads nor writes,
 * emits no event, and leaves the connection open. Such a session is recognised by a ping that it
 * does not write to its socket.
 *
 * A connection is probed once when it falls silent after traffic: busy and idle ones cost no ping.
 */
export function createDeadSessions(): DeadSessions {
  const watched = new Map<Socket, Watched>();
  const checkAll = () => {
    for (const [socket, entry] of watched) check(socket, entry);
  };
  let timer: NodeJS.Timeout | undefined;
  const close = () => {
    clearInterval(timer);
    timer = undefined;
  };
  return {
    watch(session, socket) {
      watched.set(socket, { session, bytesRead: -1, isUnproven: true, probedAt: undefined });
      timer ??= setInterval(checkAll, INTERVAL_MS).unref();
      socket.once("close", () => {
        watched.delete(socket);
        if (watched.size === 0) close();
      });
    },
    close,
  };
}

function check(socket: Socket, entry: Watched): void {
  const { session, probedAt } = entry;
  if (probedAt !== undefined) {
    entry.probedAt = undefined;
    // If the peer does not read, the ping is not written either: then other bytes are queued first.
    if (socket.bytesWritten === probedAt && unsentBytes(socket) === 0) {
      socket.destroy();
      return;
    }
  }
  const { bytesRead } = socket;
  if (bytesRead !== entry.bytesRead) {
    entry.bytesRead = bytesRead;
    entry.isUnproven = true;
  } else if (entry.isUnproven) {
    entry.isUnproven = false;
    if (session.destroyed) return;
    const before = socket.bytesWritten;
    const isSent = session.ping((error) => {
      // The acknowledgement alone is not traffic that needs another probe.
      if (error === null && socket.bytesRead === entry.bytesRead + PING_BYTES)
        entry.bytesRead = socket.bytesRead;
    });
    if (isSent) entry.probedAt = before;
  }
}

/**
 * Bytes that the operating system has not accepted yet; undefined when unknown. Node has no public
 * API for this.
 */
function unsentBytes(socket: Socket): number | undefined {
  const { _handle: handle } = socket as { _handle?: { readonly writeQueueSize?: number } | null };
  return handle?.writeQueueSize;
}

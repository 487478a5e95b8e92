import type { WebSocket } from "ws";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";

/** How much may lie in a socket before pings go unanswered, in bytes. */
const MAX_UNREAD_BYTES = 64 * 1024;

/**
 * Watches over a socket, which must not answer pings by itself: calls `end` when it is dead, or its
 * client sends too fast. Any inbound frame is a sign of life.
 *
 * @returns Stops the watch.
 */
export function watchLife(
  webSocket: WebSocket,
  limits: BridgeLimits,
  end: (code: number, reason: string) => void,
): () => void {
  const { maxFrameBurst, maxFramesPerSecond, pingIntervalMs } = limits;
  let missed = 0;
  let tokens = maxFrameBurst;
  let refilledAtMs = performance.now();
  const heard = () => {
    missed = 0;
    const nowMs = performance.now();
    const passedMs = nowMs - refilledAtMs;
    tokens = Math.min(maxFrameBurst, tokens + (passedMs * maxFramesPerSecond) / 1000) - 1;
    refilledAtMs = nowMs;
    if (tokens < 0) end(CLOSE.TOO_MUCH, "frames come too fast");
  };
  const timer = setInterval(() => {
    if (missed >= 2) return end(CLOSE.NO_PONG, "no sign of life");
    missed++;
    webSocket.ping();
  }, pingIntervalMs);
  timer.unref();
  const kinds = ["message", "ping", "pong"] as const;
  for (const kind of kinds) webSocket.on(kind, heard);
  const answer = (data: Buffer) => {
    // Who does not read its answers gets no more of them.
    if (tokens >= 0 && webSocket.bufferedAmount <= MAX_UNREAD_BYTES) webSocket.pong(data);
  };
  webSocket.on("ping", answer);
  return () => {
    clearInterval(timer);
    for (const kind of kinds) webSocket.off(kind, heard);
    webSocket.off("ping", answer);
  };
}

import type { WebSocket } from "ws";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";

/**
 * Watches over a socket: calls `end` when it is dead, or its client sends too fast. Any inbound frame
 * is a sign of life.
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
  let refilledAtMs = Date.now();
  const heard = () => {
    missed = 0;
    const nowMs = Date.now();
    const passedMs = Math.max(0, nowMs - refilledAtMs);
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
  return () => {
    clearInterval(timer);
    for (const kind of kinds) webSocket.off(kind, heard);
  };
}

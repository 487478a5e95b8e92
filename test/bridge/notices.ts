import type { Frame, Line } from "./line.ts";

/** The types of the frames about a socket itself. */
const NOTICES = ["welcome", "expired", "token", "result"];

/** Sends a frame. */
export const send = ({ socket }: Line, type: string, data: object = {}) =>
  socket.send(JSON.stringify({ type, data }));
/** Says hello. */
export const hello = (line: Line) => send(line, "hello", { version: 2 });

/** The type of a frame: of its event, or of the notice. */
export const kindOf = ({ type, event }: Frame) => (NOTICES.includes(type) ? type : event.type);
/** The frames of a kind. */
export const of = (frames: readonly Frame[], kind: string) =>
  frames.filter((frame) => kindOf(frame) === kind);
/** Resolves with the first frame of a kind. */
export const first = async (line: Line, kind: string) => {
  const frames = await line.until(kind, (all) => of(all, kind).length > 0);
  return of(frames, kind)[0] as Frame & { readonly data: Record<string, unknown> };
};

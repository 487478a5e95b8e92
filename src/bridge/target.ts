/** The request of a socket's URL. */
export type UrlTarget =
  | { readonly kind: "none" }
  | { readonly kind: "stream"; readonly target: Target }
  | { readonly kind: "elsewhere" }
  | { readonly kind: "invalid"; readonly sentence: string };

/** The target of a subscription: a group, or one item of it. Its names are not checked yet. */
export interface Target {
  readonly streamName: string;
  readonly groupId: string;
  /** Undefined: the whole group. */
  readonly itemId: string | undefined;
}

const MAY =
  "it may be /stream/{stream_name}/{group_id} or /stream/{stream_name}/{group_id}/{item_id}, percent-encoded";

/** Names that clients and proxies remove from a URL, encoded or not, which changes its meaning. */
const DOT_NAMES: readonly string[] = [".", ".."];

/**
 * Reads the path of a socket's URL as it was sent, without normalisation: names may contain encoded
 * slashes.
 */
export function urlTarget(path: string): UrlTarget {
  if (path === "/" || path === "/ws/streams" || path === "/ws/streams/") return { kind: "none" };
  if (path !== "/stream" && !path.startsWith("/stream/")) return { kind: "elsewhere" };
  const segments = path.slice("/stream/".length).split("/");
  if (segments.length > 1 && segments.at(-1) === "") segments.pop();
  if (segments.length < 2 || segments.length > 3 || segments.includes("")) {
    return { kind: "invalid", sentence: `The path does not have two or three names; ${MAY}.` };
  }
  try {
    const names = segments.map(decodeURIComponent);
    const dots = names.find((name) => DOT_NAMES.includes(name));
    if (dots !== undefined) {
      const sentence = `The path has the name "${dots}", which a URL cannot contain; connect to / and send a join frame for it.`;
      return { kind: "invalid", sentence };
    }
    const [streamName = "", groupId = "", itemId] = names;
    return { kind: "stream", target: { streamName, groupId, itemId } };
  } catch {
    return { kind: "invalid", sentence: `The path is not valid percent-encoding; ${MAY}.` };
  }
}

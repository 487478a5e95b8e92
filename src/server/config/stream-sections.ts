import { MAX_TTL_MS, MIN_TTL_MS } from "../../core/lifetime.ts";
import { MAX_VALUE_BYTES } from "../../core/value.ts";
import { MAX_MAX_ITEMS, type StreamsOptions } from "../../streams/stream-options.ts";
import { STREAM_PATTERN_MAY, compileStreamPattern } from "../../streams/stream-pattern.ts";
import * as z from "zod";
import {
  type KeyNotes,
  type SectionsProblem,
  duration,
  integer,
  sectionMap,
  size,
  textKey,
  toggle,
} from "./key-types.ts";
import { DURATION, SIZE } from "./units.ts";

/** The limits of history, of all streams or of one pattern. */
export function historyKeys(more: Pick<KeyNotes, "absent"> = {}) {
  return {
    max_changes: integer(
      1,
      1_000_000_000,
      "Most changes in the log of a group; older ones are removed.",
      more,
    ),
    max_age: duration("1ms", "3650d", "How long a change stays in the log of its group.", more),
    max_bytes: size("1B", "1TiB", "Most bytes of values in the log of a group.", more),
  };
}

const history = historyKeys({ absent: "that of all streams" });

const STREAM = {
  history: z
    .strictObject({
      max_changes: history.max_changes.optional(),
      max_age: history.max_age.optional(),
      max_bytes: history.max_bytes.optional(),
    })
    .optional(),
  ttl: duration(
    DURATION.format(MIN_TTL_MS),
    DURATION.format(MAX_TTL_MS),
    "Lifetime of items that are written without one.",
    { absent: "none" },
  ).optional(),
  max_items: integer(
    1,
    MAX_MAX_ITEMS,
    "Most items in a group. The oldest created ones are deleted within a second.",
    { absent: "no limit" },
  ).optional(),
  schema: textKey(
    /^[^\0]+$/,
    "the path of a file in JSON or YAML",
    "File with the JSON Schema (draft 2020-12) that values have to fit; relative to the working directory, read at the start.",
    { absent: "none" },
  ).optional(),
  max_value_bytes: size("1B", SIZE.format(MAX_VALUE_BYTES), "Largest value.", {
    absent: SIZE.format(MAX_VALUE_BYTES),
  }).optional(),
  presence: toggle("Whether subscribers may be present.", { absent: "`true`" }).optional(),
  authors: toggle("Whether users see the authors of changes, events and items.", {
    absent: "`false`",
  }).optional(),
};

/** The map of settings per stream. */
export const STREAMS = sectionMap(
  STREAM,
  "the names of streams, or the beginnings of names with a star (`chat-*`)",
  "Settings of streams. All names that match a stream are merged; for each key, the longest one decides.",
  patternProblems,
);

type Streams = z.output<typeof STREAMS>;

/**
 * The options of a map of settings.
 *
 * @param schemas Content of the files of schemas, by the pattern of their entry.
 */
export function streamsOptionsOf(
  streams: Streams,
  schemas: ReadonlyMap<string, object | boolean>,
): StreamsOptions {
  return Object.fromEntries(
    Object.entries(streams).map(([pattern, section]) => [
      pattern,
      {
        history: section.history && {
          maxChanges: section.history.max_changes,
          maxAgeMs: section.history.max_age,
          maxBytes: section.history.max_bytes,
        },
        ttlMs: section.ttl,
        maxItems: section.max_items,
        schema: schemas.get(pattern),
        maxValueBytes: section.max_value_bytes,
        presence: section.presence,
        authors: section.authors,
      },
    ]),
  );
}

function patternProblems(found: object): SectionsProblem[] {
  return Object.keys(found).flatMap((pattern) => {
    // Keys have no placeholders, and a stream with such a name is a mistake.
    if (/\$\{.*\}/.test(pattern))
      return [{ path: [pattern], complaint: `has a placeholder; it may be ${STREAM_PATTERN_MAY}` }];
    try {
      compileStreamPattern(pattern);
      return [];
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return [{ path: [pattern], complaint: error.message }];
    }
  });
}

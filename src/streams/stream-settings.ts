import { RESERVED_PREFIX } from "../core/names.ts";
import { isPresenceStream } from "../core/presence-stream.ts";
import { RecentMap } from "../core/recent-map.ts";
import { type HistoryOptions, historyOf } from "../core/retention.ts";
import type { History } from "../core/store.ts";
import { MAX_VALUE_BYTES } from "../core/value.ts";
import { type StreamEntry, type StreamsOptions, streamEntriesOf } from "./stream-options.ts";
import type { ValueSchema } from "./value-schema.ts";

/** The settings of one stream. */
export interface StreamSettings {
  /** How much history each group keeps. */
  readonly history: History;
  /** Lifetime of items that are written without one, in milliseconds; undefined: they have none. */
  readonly ttlMs: number | undefined;
  /** Most items in a group; undefined: no limit. */
  readonly maxItems: number | undefined;
  /** Largest value, by `Value.size`. */
  readonly maxValueBytes: number;
  /** The schema that values have to fit; undefined: any JSON fits. */
  readonly schema: ValueSchema | undefined;
  /** Whether subscribers may be present. */
  readonly presence: boolean;
  /** Whether users see authors. */
  readonly authors: boolean;
}

/** History of presence: long enough for a subscriber that comes back soon. */
const PRESENCE_HISTORY: History = { maxChanges: 1000, maxAgeMs: 60_000, maxBytes: 1024 * 1024 };

/** Number of streams whose settings are remembered. */
const MAX_REMEMBERED = 10_000;

/**
 * The settings of all streams. When no pattern is configured, all streams share one object, so a
 * look-up costs nothing.
 *
 * The service's own streams always have the defaults, except that those of presence have a short
 * history.
 */
export class StreamTable {
  readonly #defaults: StreamSettings;
  readonly #ofPresence: StreamSettings;
  #known = new RecentMap<string, StreamSettings>(MAX_REMEMBERED);
  #names: ReadonlyMap<string, StreamEntry> = new Map();
  /** The longest first. */
  #prefixes: readonly StreamEntry[] = [];
  #isEmpty = true;
  #limitsItems = false;

  /**
   * @param history History of groups of streams that set none.
   * @throws StreamSettingError
   */
  constructor(history?: HistoryOptions, options: StreamsOptions = {}) {
    this.#defaults = {
      history: historyOf(history),
      ttlMs: undefined,
      maxItems: undefined,
      maxValueBytes: MAX_VALUE_BYTES,
      schema: undefined,
      presence: true,
      authors: false,
    };
    this.#ofPresence = { ...this.#defaults, history: PRESENCE_HISTORY };
    this.replace(options);
  }

  /** Replaces all settings. @throws StreamSettingError */
  replace(options: StreamsOptions): void {
    const entries = streamEntriesOf(options);
    const names = entries.filter(({ pattern }) => !pattern.isPrefix);
    this.#names = new Map(names.map((entry) => [entry.pattern.start, entry]));
    this.#prefixes = entries
      .filter(({ pattern }) => pattern.isPrefix)
      .sort((a, b) => b.pattern.start.length - a.pattern.start.length);
    this.#isEmpty = entries.length === 0;
    this.#limitsItems = entries.some(({ maxItems }) => maxItems !== undefined);
    this.#known = new RecentMap(MAX_REMEMBERED);
  }

  /** Whether some stream has a history of its own. */
  get limitsHistory(): boolean {
    return [...this.#names.values(), ...this.#prefixes].some(
      ({ history }) => history !== undefined,
    );
  }

  /** Whether some stream has a limit of items in its groups. */
  get limitsItems(): boolean {
    return this.#limitsItems;
  }

  /** The settings of a stream. */
  of(streamName: string): StreamSettings {
    if (isPresenceStream(streamName)) return this.#ofPresence;
    if (this.#isEmpty) return this.#defaults;
    const known = this.#known.get(streamName);
    if (known !== undefined) return known;
    const settings = this.#merged(streamName);
    this.#known.set(streamName, settings);
    return settings;
  }

  #merged(streamName: string): StreamSettings {
    if (streamName.startsWith(RESERVED_PREFIX)) return this.#defaults;
    const named = this.#names.get(streamName);
    const begun = this.#prefixes.filter(({ pattern }) => streamName.startsWith(pattern.start));
    const matching = named === undefined ? begun : [named, ...begun];
    if (matching.length === 0) return this.#defaults;
    const first = <Key extends keyof StreamSettings>(key: Key): StreamSettings[Key] =>
      (matching.find((entry) => entry[key] !== undefined)?.[key] as StreamSettings[Key]) ??
      this.#defaults[key];
    const limit = (key: keyof History): number =>
      matching.find(({ history }) => history?.[key] !== undefined)?.history?.[key] ??
      this.#defaults.history[key];
    return {
      history: {
        maxChanges: limit("maxChanges"),
        maxAgeMs: limit("maxAgeMs"),
        maxBytes: limit("maxBytes"),
      },
      ttlMs: first("ttlMs"),
      maxItems: first("maxItems"),
      maxValueBytes: first("maxValueBytes"),
      schema: first("schema"),
      presence: first("presence"),
      authors: first("authors"),
    };
  }
}

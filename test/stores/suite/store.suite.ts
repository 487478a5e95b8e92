import { describe } from "vitest";
import { describeAuthors } from "./authors.ts";
import { describeCommits } from "./commits.ts";
import { describeDeltas } from "./deltas.ts";
import { describeEviction } from "./eviction.ts";
import { describeExpectations } from "./expectations.ts";
import { describeFeed } from "./feed.ts";
import type { OpenStore } from "./fixture.ts";
import { describeGroupClock } from "./group-clock.ts";
import { describeHistory } from "./history.ts";
import { describeIdempotency } from "./idempotency.ts";
import { describeIdempotencyModel } from "./idempotency-model.ts";
import { describeLifetimes } from "./lifetimes.ts";
import { describeModel } from "./model.ts";
import { describeOutboxSettling } from "./outbox-settling.ts";
import { describeOutbox } from "./outbox.ts";
import { describeReads } from "./reads.ts";
import { describeStreamHistory } from "./stream-history.ts";
import { describeGroupReads } from "./group-reads.ts";
import { describeWindows } from "./windows.ts";

/**
 * Verifies that a store keeps the promises of the Store port. Every adapter has to pass it,
 * including third-party ones.
 *
 * @param open Opens an empty store that uses the given clock, history and epochs, and sweeps idle
 *   groups only on request.
 */
export function describeStore(name: string, open: OpenStore): void {
  describe(`${name} store`, () => {
    describeCommits(open);
    describeExpectations(open);
    describeAuthors(open);
    describeReads(open);
    describeGroupReads(open);
    describeWindows(open);
    describeHistory(open);
    describeStreamHistory(open);
    describeEviction(open);
    describeDeltas(open);
    describeLifetimes(open);
    describeGroupClock(open);
    describeFeed(open);
    describeOutbox(open);
    describeOutboxSettling(open);
    describeIdempotency(open);
    describeIdempotencyModel(open);
    describeModel(open);
  });
}

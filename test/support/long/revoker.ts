import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { SignJWT } from "jose";
import { AdminService } from "millrace/v1";
import type { ChildOptions } from "./child-server.ts";
import type { Recorder, SubscriptionHandle } from "../checker/index.ts";
import type { Random } from "../random.ts";

/*
 * Ends subscriptions at random through the AdminService while a long test runs, and records when
 * the service had answered. Subscribers are users. The children run `refuseUsers`.
 */

const SECRET = "a secret of at least thirty-two bytes";
/** Longest time for which a user is refused after a recheck, beside 50 ms. */
const MAX_REFUSED_MS = 500;

/** Callers on this machine are trusted, and users may only subscribe. */
export const REVOCABLE_AUTH: NonNullable<ChildOptions["auth"]> = {
  jwt: [{ algorithms: ["HS256"], secret: SECRET }],
  rules: [{ actions: ["subscribe"], stream: "long" }],
  local: true,
};

/** Dependencies of a revoker. */
export interface RevokerOptions {
  /** URLs of the service; a killed process does not respond for a while. */
  readonly urls: () => readonly string[];
  readonly dice: Random;
  /** Folder of the users that the gate refuses. */
  readonly refused: string;
  /** Average time between two orders, in milliseconds. */
  readonly everyMs: number;
}

/** Ends subscriptions. */
export interface Revoker {
  /** The header of a user. */
  authorizationOf(user: string): Promise<string>;
  /** A recorder whose subscriptions are those of a user, and may be ended. */
  recorderOf(user: string, recorder: Recorder): Recorder;
  /** Ends and rechecks subscriptions until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** What was done, for the printed result. */
  readonly summary: string;
  /** Number of subscriptions that received a frame, were still open, and were ended. */
  readonly ended: number;
}

/** Creates a revoker. */
export async function createRevoker(options: RevokerOptions): Promise<Revoker> {
  const { urls, dice, refused, everyMs } = options;
  await mkdir(refused, { recursive: true });
  /** Subscriptions that received a frame and, as far as their client knows, are open. */
  const open = new Map<string, Set<SubscriptionHandle>>();
  /** Users of an order, until they are no longer refused. */
  const busy = new Set<string>();
  const counts = { ended: 0, ends: 0, rechecks: 0, kept: 0, unanswered: 0 };

  const end = async (user: string) => {
    busy.add(user);
    const handles = [...(open.get(user) ?? [])];
    const transport = createGrpcTransport({ baseUrl: dice.pick(urls()) });
    const admin = createClient(AdminService, transport);
    const filter = { user, streamName: "long" };
    const kind = dice.below(5);
    const file = join(refused, user);
    try {
      if (kind < 2) {
        await admin.endSubscriptions(
          { filter, reason: "The test ends it." },
          { timeoutMs: 20_000 },
        );
        counts.ends++;
      } else if (kind < 4) {
        await writeFile(file, "");
        await admin.recheckSubscriptions({ filter }, { timeoutMs: 20_000 });
        counts.rechecks++;
      } else {
        const { kept } = await admin.recheckSubscriptions({ filter }, { timeoutMs: 20_000 });
        counts.kept += kept;
        return;
      }
      for (const handle of handles) handle.revoked();
      counts.ended += handles.length;
    } catch {
      // The process was killed or cut off. Perhaps the subscriptions have ended.
      counts.unanswered++;
    } finally {
      void sleep(50 + dice.below(MAX_REFUSED_MS)).then(async () => {
        await rm(file, { force: true });
        busy.delete(user);
      });
    }
  };

  return {
    async authorizationOf(user) {
      const token = await new SignJWT({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })
        .setProtectedHeader({ alg: "HS256" })
        .sign(new TextEncoder().encode(SECRET));
      return `Bearer ${token}`;
    },
    recorderOf: (user, recorder) => ({
      ...recorder,
      subscribe(attempt) {
        const handle = recorder.subscribe(attempt);
        const handles = open.get(user) ?? new Set();
        open.set(user, handles);
        return {
          ...handle,
          sync(frame) {
            handle.sync(frame);
            handles.add(handle);
          },
          resumed(position, head) {
            handle.resumed(position, head);
            handles.add(handle);
          },
          end(by, details) {
            handles.delete(handle);
            handle.end(by, details);
          },
        };
      },
    }),
    async run(signal) {
      const orders = new Set<Promise<void>>();
      while (!signal.aborted) {
        await sleep(dice.below(2 * everyMs), undefined, { signal }).catch(() => {});
        const users = [...open].filter(([user, handles]) => handles.size > 0 && !busy.has(user));
        if (users.length === 0) continue;
        const order = end(dice.pick(users)[0]).finally(() => orders.delete(order));
        orders.add(order);
        // Some run concurrently.
        if (dice.chance(0.5)) await order;
      }
      await Promise.all(orders);
      await sleep(50 + MAX_REFUSED_MS);
    },
    get summary() {
      const { ended, ends, rechecks, kept, unanswered } = counts;
      return (
        `${ended} subscriptions ended by ${ends} orders and ${rechecks} rechecks, ` +
        `${kept} kept by other rechecks, ${unanswered} tries without an answer`
      );
    },
    get ended() {
      return counts.ended;
    },
  };
}

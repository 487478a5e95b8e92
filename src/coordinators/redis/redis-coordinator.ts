import { type Coordinator, type Leases, REATTACH_MS } from "../../core/coordinator.ts";
import type { Unwatch } from "../../core/watchers.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { createAcks } from "./acks.ts";
import { FLEET_SCRIPTS, fleetCommands, readAck } from "./fleet-commands.ts";
import {
  fleetKeys,
  knowsDurable,
  knowsKeys,
  knowsLifetimes,
  readsAuthors,
  readsDeltas,
} from "./fleet-keys.ts";
import { type FleetLeases, createFleetLeases } from "./fleet-leases.ts";
import type { FleetEntry } from "./fleet-log.ts";
import { type FleetOrders, createFleetOrders } from "./fleet-orders.ts";
import { createFleetOwnership } from "./fleet-ownership.ts";
import { createFleetRegistry } from "./fleet-registry.ts";
import { createFleetRouting } from "./fleet-routing.ts";
import { type FleetSessions, createFleetSessions } from "./fleet-sessions.ts";
import type { FleetState } from "./fleet-state.ts";
import { Membership } from "./membership.ts";
import { Replica } from "./replica.ts";
import { SESSION_SCRIPTS, sessionCommands } from "./session-commands.ts";
import { DesiredState } from "./desired-state.ts";
import { waitAtMost } from "../../timers/timers.ts";

/** Options of the coordinator of a fleet. */
export interface RedisCoordinatorOptions {
  /**
   * The Redis that the processes of the fleet share. It stays open when the coordinator is closed.
   */
  readonly servers: RedisServers;
  /** Prefix of all keys and channels, which separates fleets that share a Redis. */
  readonly keyPrefix: string;
  /** How long an unreachable process stays a member, in milliseconds. Default 10,000. */
  readonly registryTimeoutMs?: number | undefined;
  /** How long a trigger outlives its last registrant, in milliseconds. Default REATTACH_MS. */
  readonly reattachMs?: number | undefined;
  /**
   * Prevents further commits by a member whose lease has ended, before triggers take effect without
   * it. It may be called more than once, and by several processes. Default: does nothing.
   */
  readonly fence?: ((member: string) => Promise<void>) | undefined;
  /**
   * Makes the outbox refuse settlements under an earlier fence of a partition. A fence begins with
   * a decimal number, followed by `-`, that grows with each taking of a partition. Default: does
   * nothing.
   */
  readonly claim?: ((partition: number, fence: string) => Promise<void>) | undefined;
  /** Called with background failures, which are retried, for the operator's log. */
  readonly onProblem?: ((error: unknown) => void) | undefined;
}

/** A coordinator for processes that share a Redis. */
export interface RedisCoordinator extends Coordinator {
  /**
   * Resolves with the member id when this process is a member that has read all that the fleet
   * agreed on before the call.
   *
   * @throws StreamError STORE_UNAVAILABLE on timeout.
   */
  ready(): Promise<string>;
  /** Whether every member of the fleet reads stored records that have authors. */
  readsAuthors(): boolean;
  /** Whether every member of the fleet reads logs with deltas. */
  readsDeltas(): boolean;
  /** Whether every member of the fleet knows idempotency keys. */
  knowsKeys(): boolean;
  /** Whether every member of the fleet supports lifetimes. */
  knowsLifetimes(): boolean;
  /** Whether this process owns a partition now. */
  owns(partition: number): boolean;
}

const DEFAULT_REGISTRY_TIMEOUT_MS = 10_000;
/** Longest time to leave the fleet, in milliseconds. */
const LEAVE_MS = 1000;

/**
 * Joins a fleet. Resolves when this process is a member that has caught up.
 *
 * @throws StreamError STORE_UNAVAILABLE when Redis cannot be reached in time.
 */
export async function createRedisCoordinator(
  options: RedisCoordinatorOptions,
): Promise<RedisCoordinator> {
  const { servers, keyPrefix, reattachMs = REATTACH_MS } = options;
  let isOver = false;
  const onProblem = (error: unknown) => {
    if (!isOver) options.onProblem?.(error);
  };
  const { registryTimeoutMs: leaseMs = DEFAULT_REGISTRY_TIMEOUT_MS } = options;
  const { fence = async () => {}, claim = async () => {} } = options;
  const { timeoutMs, instanceId: process } = servers;
  const keys = fleetKeys(keyPrefix);
  servers.addScripts(...FLEET_SCRIPTS, ...SESSION_SCRIPTS);
  const commands = fleetCommands(servers, keys);
  const desired = new DesiredState(reattachMs);
  const replica = new Replica({
    commands,
    timeoutMs,
    leaseMs,
    reattachMs,
    author: () => membership.id,
    onGone: (member) => membership.lose(member),
    onChange() {
      // Before a renewal of the lease is confirmed that the new orders precede.
      orders.review();
      membership.review();
    },
    onEntered: (sentMs) => membership.enter(sentMs),
  });
  let noteAgreed = () => {};
  let isLeaving = false;
  const wanted = (state: FleetState): readonly FleetEntry[] => {
    noteAgreed = desired.pendingOnce();
    if (isLeaving) return [];
    const { id } = membership;
    return [...desired.entries(state, id), ...orders.entries(state, id)];
  };
  const reconcile = () => replica.propose(wanted, () => noteAgreed());
  const membership: Membership = new Membership({
    process,
    commands,
    replica,
    leaseMs,
    reattachMs,
    timeoutMs,
    fence,
    reconcile,
    onProblem,
    onBeat({ acks: known, holders }) {
      acks.noteAll(known);
      leases.noteHolders(holders);
      ownership.review();
      orders.resend();
      sessions.review();
    },
  });
  const acks = createAcks({ commands, replica, membership });
  const registry = createFleetRegistry({
    replica,
    membership,
    desired,
    acks,
    reconcile,
    knowsDurable: () => abilities().durable,
    // By then, a member that does not respond has lost its lease.
    timeoutMs: timeoutMs + 2 * leaseMs,
  });
  const ownership = createFleetOwnership({
    replica,
    membership,
    desired,
    reconcile,
    claim,
    onProblem,
  });
  const leases = createFleetLeases({ commands, replica, membership, onProblem });
  const sessions: FleetSessions = createFleetSessions({
    process,
    keys,
    commands: sessionCommands(servers, keys),
    publish: (...message) => commands.publish(...message),
    replica,
    membership,
    timeoutMs,
    leaseMs,
    onLease: (lease) => leases.keep(lease),
    isOwn: (id) => leases.has(id),
    onProblem,
  });
  const routing = createFleetRouting({ process, keys, commands, replica, membership });
  const orders: FleetOrders = createFleetOrders({
    commands,
    replica,
    membership,
    reconcile,
    leaseMs,
    timeoutMs,
    onProblem,
  });

  const subscriptions: Unwatch[] = [];
  const receiveChange = (message: Buffer) => {
    const [kind, lineage = "", version = "", member = ""] = message.toString().split(" ");
    const position = readAck(`${lineage} ${version}`);
    if (kind === "ack") acks.note(member, position);
    else if (!replica.hasReached(position)) replica.noteNews();
  };
  const resync = () => {
    replica.noteNews();
    void membership.beat();
  };
  const end = () => {
    isOver = true;
    registry.close();
    routing.close();
    orders.close();
    sessions.close();
    leases.close();
    acks.close();
    membership.end();
    replica.close();
    for (const stop of subscriptions) stop();
  };
  const leave = async () => {
    // Its partitions drain before another member takes them.
    await Promise.all([ownership.close(), leases.whenReleased()]);
    isLeaving = true;
    membership.leave();
    await replica.propose((state) => {
      const { id: member } = membership;
      return state.members.has(member) ? [{ kind: "leave", member, reattachMs }] : [];
    });
  };

  try {
    subscriptions.push(
      await servers.subscribe(keys.tag, keys.changes, {
        onMessage: receiveChange,
        onDoubt: resync,
      }),
    );
    subscriptions.push(
      await servers.subscribe(keys.tag, keys.calls(process), {
        onMessage: (message) => routing.receive(message),
        onDoubt: () => routing.doubt(),
      }),
    );
    subscriptions.push(
      await servers.subscribe(keys.tag, keys.answered(process), {
        onMessage: (message) => orders.receive(message),
        onDoubt: () => orders.resend(),
      }),
    );
    subscriptions.push(
      await servers.subscribe(keys.tag, keys.sessionsAt(process), {
        onMessage: (message) => sessions.receive(message),
        onDoubt: () => sessions.doubt(),
      }),
    );
    await replica.catchUp();
    await membership.join();
  } catch (error) {
    end();
    throw error;
  }
  subscriptions.push(servers.watch(() => servers.isUp && void membership.beat()));

  /** Known for this set of members, which is replaced when it changes. */
  let known:
    | {
        readonly members: FleetState["members"];
        readonly authors: boolean;
        readonly deltas: boolean;
        readonly keys: boolean;
        readonly lifetimes: boolean;
        readonly durable: boolean;
      }
    | undefined;
  /** What every member of the fleet reads and knows. */
  const abilities = () => {
    const { members } = replica.state;
    if (known?.members !== members) {
      const ids = Array.from(members.keys());
      known = {
        members,
        authors: ids.every(readsAuthors),
        deltas: ids.every(readsDeltas),
        keys: ids.every(knowsKeys),
        lifetimes: ids.every(knowsLifetimes),
        durable: ids.every(knowsDurable),
      };
    }
    return known;
  };

  let closing: Promise<void> | undefined;
  const close = async () => {
    await waitAtMost(
      LEAVE_MS,
      leave().catch(() => {}),
    );
    end();
  };
  return {
    registry,
    ownership,
    leases: leasesOf(leases, sessions),
    routing,
    orders,
    sessions,
    async ready() {
      await membership.ready();
      return membership.id;
    },
    readsAuthors: () => abilities().authors,
    readsDeltas: () => abilities().deltas,
    knowsKeys: () => abilities().keys,
    knowsLifetimes: () => abilities().lifetimes,
    owns: (partition) => ownership.owns(partition),
    close: () => (closing ??= close()),
  };
}

/** The leases of a process: those of its sessions are recorded with them. */
function leasesOf(leases: FleetLeases, sessions: FleetSessions): Leases {
  return {
    hold: async (lease) =>
      lease.session === undefined ? leases.hold(lease) : sessions.hold(lease.session, lease),
    detach: (id) => sessions.detach(id),
    release: async (id) => sessions.release(id) ?? leases.release(id),
    onOrphan: (listener) => leases.onOrphan(listener),
  };
}

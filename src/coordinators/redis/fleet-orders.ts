import { randomUUID } from "node:crypto";
import { ORDER_TIMEOUT_MS, type OrderHandler, type Orders } from "../../core/coordinator.ts";
import { StreamError } from "../../core/errors.ts";
import { checkOrder, orderFailed } from "../../core/orders.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import { sleep, startTimer } from "../../timers/timers.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import { processOf } from "./fleet-keys.ts";
import type { FleetEntry } from "./fleet-log.ts";
import type { FleetOrder, FleetState } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";

/** Dependencies of the orders of a fleet. */
export interface FleetOrdersOptions {
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
  /** Brings the fleet's state in line with the desired state, `entries` included. */
  readonly reconcile: () => Promise<void>;
  readonly leaseMs: number;
  readonly timeoutMs: number;
  readonly onProblem: (error: unknown) => void;
}

/** The orders of a fleet. */
export interface FleetOrders extends Orders {
  /** The state has changed: carries out new orders. */
  review(): void;
  /** The entries by which this member takes part. Pure. */
  entries(state: FleetState, member: string): readonly FleetEntry[];
  /** An order of this process has new answers. */
  receive(message: Buffer): void;
  /** Answers of or to this process may have been lost. */
  resend(): void;
  /** Pending calls reject. */
  close(): void;
}

/** How a member carried out an order, as JSON. Without a handler, there is no result. */
interface Answer {
  readonly result?: string;
  readonly hasFailed?: boolean;
}

/** An order of this process that is being carried out. */
interface Pending {
  /** Members when it was issued that have not carried it out yet. */
  readonly waiting: Set<string>;
  readonly results: string[];
  /** Members at which it failed. */
  failed: number;
  /** Members that left, or whose lease ended. */
  gone: number;
  readonly members: number;
  readonly issuedMs: number;
  /** Whether it only waits until leases have ended. */
  isEnding: boolean;
  readonly settle: (error?: StreamError) => void;
}

/** Pause before an order is proposed again, in milliseconds. */
const RETRY_MS = 50;

/**
 * An order is part of the agreed state until its issuer no longer waits for it, so that a process
 * that reads a snapshot, or a state that was restored, receives it as well.
 */
export function createFleetOrders(options: FleetOrdersOptions): FleetOrders {
  const { commands, replica, membership, reconcile, leaseMs, timeoutMs, onProblem } = options;
  /** Orders of the agreed state -> how this process carried them out; undefined: not yet. */
  const received = new Map<string, Answer | undefined>();
  /** Orders of this process, by id. */
  const pending = new Map<string, Pending>();
  /** Ids that this process has proposed or waits for. */
  const wanted = new Set<string>();
  let handler: OrderHandler | undefined;
  let closed = false;

  const note = (id: string, member: string, { result, hasFailed = false }: Answer) => {
    const order = pending.get(id);
    if (order?.waiting.delete(member) !== true) return;
    if (hasFailed) order.failed++;
    else if (result !== undefined) order.results.push(result);
    reviewPending(id, order);
  };
  const reviewPending = (id: string, order: Pending) => {
    const { members, orders } = replica.state;
    for (const member of order.waiting) {
      // It has rejoined or is gone: by then its lease had ended.
      if (members.has(member)) continue;
      order.waiting.delete(member);
      order.gone++;
    }
    if (order.waiting.size === 0) {
      const { failed, gone } = order;
      if (failed > 0) return order.settle(orderFailed(failed, order.members));
      // A member that did not read the order has lost its lease by then, by its own clock too.
      const leftMs = gone > 0 ? order.issuedMs + leaseMs - performance.now() : 0;
      if (leftMs <= 0) return order.settle();
      if (!order.isEnding) startTimer(leftMs + 1, () => order.settle()).unref();
      order.isEnding = true;
    } else if (!orders.has(id)) order.settle(unavailable(undefined));
  };
  const collect = async (id: string) => {
    const order = pending.get(id);
    if (order === undefined) return;
    try {
      for (const [member, text] of await commands.answersTo(id))
        if (order.waiting.has(member)) note(id, member, JSON.parse(text) as Answer);
    } catch (error) {
      // The next heartbeat tries again.
      onProblem(error);
    }
  };

  const send = async (id: string, { issuer }: FleetOrder, answer: Answer) => {
    const { id: member } = membership;
    if (issuer === member) return note(id, member, answer);
    try {
      await commands.answer(processOf(issuer), id, member, JSON.stringify(answer));
    } catch (error) {
      // The next heartbeat tries again.
      onProblem(error);
    }
  };
  const carryOut = async (id: string, order: FleetOrder) => {
    let answer: Answer = {};
    try {
      if (handler !== undefined) answer = { result: await handler(order.text) };
    } catch (error) {
      onProblem(error);
      answer = { hasFailed: true };
    }
    if (closed || !received.has(id)) return;
    received.set(id, answer);
    await send(id, order, answer);
  };

  /** Proposes an order. @returns the members when it was issued. */
  const propose = async (orderId: string, text: string): Promise<ReadonlySet<string>> => {
    const askedMs = performance.now();
    for (;;) {
      if (!membership.isCurrent()) await membership.ready();
      let members: ReadonlySet<string> | undefined;
      let isUnknown = false;
      await replica.propose((state): readonly FleetEntry[] => {
        const { id: member } = membership;
        if (state.orders.has(orderId)) return [];
        members = undefined;
        if (closed || !state.members.has(member)) return [];
        const all = Array.from(state.members);
        // A member of an older version would deliver on, even after its lease has ended.
        isUnknown = all.some(([id, { obeys }]) => id !== member && !obeys);
        if (isUnknown) return [];
        members = new Set(state.members.keys());
        return [{ kind: "order", member, orderId, text }];
      });
      if (members !== undefined) return members;
      if (closed) throw unavailable(undefined);
      const waitedMs = performance.now() - askedMs;
      // After a member of an older version wrote a snapshot, the others announce themselves again.
      if (isUnknown && waitedMs > leaseMs / 2) throw outdated();
      if (waitedMs > timeoutMs + leaseMs) throw unavailable(undefined);
      await sleep(RETRY_MS);
    }
  };
  const carriedOut = (id: string, members: ReadonlySet<string>): Promise<readonly string[]> =>
    new Promise((resolve, reject) => {
      const order: Pending = {
        waiting: new Set(members),
        results: [],
        failed: 0,
        gone: 0,
        members: members.size,
        issuedMs: performance.now(),
        isEnding: false,
        settle(error) {
          if (!pending.delete(id)) return;
          timer.cancel();
          if (error === undefined) resolve(order.results);
          else reject(error);
        },
      };
      pending.set(id, order);
      // By then, members that do not respond have lost their leases.
      const timer = startTimer(ORDER_TIMEOUT_MS + 2 * leaseMs, () => {
        order.settle(orderFailed(order.waiting.size + order.failed, order.members));
      }).unref();
      // This process may have carried it out already.
      const own = received.get(id);
      if (own !== undefined) note(id, membership.id, own);
      reviewPending(id, order);
      void collect(id);
    });

  return {
    async issue(text) {
      checkOrder(text);
      if (closed) throw unavailable(undefined);
      const id = randomUUID();
      wanted.add(id);
      try {
        const members = await propose(id, text);
        if (closed) throw unavailable(undefined);
        return await carriedOut(id, members);
      } finally {
        wanted.delete(id);
        // A failure is repeated by the next heartbeat.
        if (!closed) reconcile().catch(() => {});
      }
    },
    serve(next) {
      if (handler !== undefined) throw new Error("This process already carries out orders.");
      handler = next;
    },
    mayDeliver: () => membership.mayDeliver(),
    onLapse: (listener) => membership.onLapse(listener),
    review() {
      const { orders } = replica.state;
      for (const id of received.keys()) if (!orders.has(id)) received.delete(id);
      for (const [id, order] of orders) {
        if (received.has(id)) continue;
        received.set(id, undefined);
        void carryOut(id, order);
      }
      for (const [id, order] of Array.from(pending)) reviewPending(id, order);
    },
    entries(state, member) {
      const entries: FleetEntry[] = [];
      if (state.members.get(member)?.obeys !== true) entries.push({ kind: "obey", member });
      for (const [orderId, { issuer }] of state.orders)
        if (issuer === member && !wanted.has(orderId))
          entries.push({ kind: "settle", member, orderId });
      return entries;
    },
    receive: (message) => void collect(message.toString()),
    resend() {
      for (const [id, answer] of received) {
        const order = replica.state.orders.get(id);
        if (answer !== undefined && order !== undefined) void send(id, order, answer);
      }
      for (const id of pending.keys()) void collect(id);
    },
    close() {
      closed = true;
      for (const { settle } of Array.from(pending.values())) settle(unavailable(undefined));
    },
  };
}

function outdated(): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "A process of the fleet runs an older version that cannot carry out this call; " +
      "the call may be made again once all processes are updated.",
  );
}

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { toJson } from "@bufbuild/protobuf";
import { AdminService, DeadLetterSchema, TriggerSchema } from "millrace/v1";
import { describe, expect, it } from "vitest";
import type { TriggerRequest } from "millrace";
import { inProcessHost } from "../../support/hosts/in-process-host.ts";
import {
  type TestService,
  recorder,
  testServiceOn,
  until,
} from "../../support/hosts/test-service.ts";
import type { ServiceStore } from "../../support/hosts/service-stores.ts";
import type { StreamPayload } from "./firing.suite.ts";

/** A trigger, in the form of every way to list it. */
interface Listed {
  readonly id: string;
  readonly durable: string;
  readonly functionId: string;
  readonly served: boolean;
  readonly backlog: number;
  readonly failed: number;
  readonly dropped: number;
  readonly oldestMs: number | undefined;
  readonly awaySinceMs: number | undefined;
  readonly config?: unknown;
}

/** A dead letter, in the form of every way to list it. */
interface Letter {
  readonly functionId: string;
  readonly id: string;
  readonly code: string;
  readonly attempts: number;
  readonly payload: unknown;
}

/** The calls for operators, whatever the way. */
interface Operator {
  list(pageSize?: number, pageToken?: string): Promise<{ triggers: Listed[]; next: string }>;
  remove(request: { triggerId?: string; durable?: string }): Promise<boolean>;
  letters(
    functionId?: string,
    pageSize?: number,
    pageToken?: string,
  ): Promise<{ letters: Letter[]; next: string }>;
  replay(functionId: string, id: string): Promise<{ replayed: boolean; code: string }>;
}

const WAYS: readonly { readonly name: string; operator(test: TestService): Operator }[] = [
  {
    name: "the library",
    operator: ({ service }) => ({
      async list(pageSize = 0, pageToken = "") {
        const page = await service.listTriggers({ pageSize, pageToken });
        const triggers = page.triggers.map((trigger) => ({
          ...trigger,
          ...trigger.counts,
          durable: (trigger.config as { durable?: string }).durable ?? "",
          functionId: trigger.function_id,
          backlog: trigger.pending,
          oldestMs: trigger.oldestMs,
          awaySinceMs: trigger.awaySinceMs,
        }));
        return { triggers, next: page.nextPageToken };
      },
      remove: async (request) => (await service.deleteTrigger(request)).deleted,
      async letters(functionId = "", pageSize = 0, pageToken = "") {
        const page = await service.deadLetters({ functionId, pageSize, pageToken });
        const letters = page.deadLetters.map(({ error, ...rest }) => ({ ...rest, ...error }));
        return { letters, next: page.nextPageToken };
      },
      async replay(functionId, id) {
        const { replayed, error } = await service.replayDeadLetter({ functionId, id });
        return { replayed, code: error?.code ?? "" };
      },
    }),
  },
  {
    name: "functions",
    operator({ service }) {
      const call = async (name: string, payload: object) =>
        (await service.trigger({ function_id: `millrace::triggers::${name}`, payload })) as never;
      return {
        async list(pageSize = 0, pageToken = "") {
          const page: { triggers: Record<string, never>[]; next_page_token: string } = await call(
            "list",
            { page_size: pageSize, page_token: pageToken },
          );
          const triggers = page.triggers.map((row) => ({
            ...(row as unknown as Listed),
            id: row["trigger_id"] as unknown as string,
            functionId: row["function_id"] as unknown as string,
            oldestMs: (row["oldest_time"] as unknown as number) ?? undefined,
            awaySinceMs: (row["away_since"] as unknown as number) ?? undefined,
          }));
          return { triggers, next: page.next_page_token };
        },
        async remove({ triggerId, durable }) {
          const done: { deleted: boolean } = await call("delete", {
            trigger_id: triggerId,
            durable,
          });
          return done.deleted;
        },
        async letters(functionId = "", pageSize = 0, pageToken = "") {
          const payload = { function_id: functionId, page_size: pageSize, page_token: pageToken };
          const page: { dead_letters: Record<string, never>[]; next_page_token: string } =
            await call("list_dead_letters", payload);
          const letters = page.dead_letters.map((row) => ({
            ...(row as unknown as Letter),
            functionId: row["function_id"] as unknown as string,
            id: row["dead_letter_id"] as unknown as string,
          }));
          return { letters, next: page.next_page_token };
        },
        replay: (functionId, id) =>
          call("replay_dead_letter", { function_id: functionId, dead_letter_id: id }),
      };
    },
  },
  {
    name: "AdminService",
    operator({ server }) {
      const admin = createClient(AdminService, createGrpcTransport({ baseUrl: server.url }));
      const msOf = (time: unknown) => (time === undefined ? undefined : Date.parse(time as string));
      return {
        async list(pageSize = 0, pageToken = "") {
          const page = await admin.listTriggers({ pageSize, pageToken });
          const triggers = page.triggers.map((trigger): Listed => {
            const json = toJson(TriggerSchema, trigger) as Record<string, unknown>;
            return {
              id: trigger.triggerId,
              durable: trigger.durable,
              functionId: trigger.functionId,
              served: trigger.served,
              backlog: Number(trigger.backlog),
              failed: Number(trigger.failed),
              dropped: Number(trigger.dropped),
              oldestMs: msOf(json["oldestTime"]),
              awaySinceMs: msOf(json["awaySince"]),
              config: trigger.config,
            };
          });
          return { triggers, next: page.nextPageToken };
        },
        remove: async (request) => (await admin.deleteTrigger(request)).deleted,
        async letters(functionId = "", pageSize = 0, pageToken = "") {
          const page = await admin.listDeadLetters({ functionId, pageSize, pageToken });
          const letters = page.deadLetters.map((letter): Letter => {
            const { payload } = toJson(DeadLetterSchema, letter) as Record<string, unknown>;
            const { deadLetterId: id, code, attempts } = letter;
            return { functionId: letter.functionId, id, code, attempts, payload };
          });
          return { letters, next: page.nextPageToken };
        },
        replay: (functionId, deadLetterId) => admin.replayDeadLetter({ functionId, deadLetterId }),
      };
    },
  },
];

const trigger = (functionId: string, config: object = {}): TriggerRequest => ({
  type: "stream",
  function_id: functionId,
  config: { stream_name: "chat", ...config },
});

/** What operators see of triggers and dead letters, and what they do with them. */
export function describeTriggerAdministration(store: ServiceStore): void {
  const testService = testServiceOn(inProcessHost);

  describe.each(WAYS)("triggers by $name", ({ operator }) => {
    it("are listed with what waits for them, and the time since which their function is away", async () => {
      const test = await testService({ store: await store.open() });
      const { service } = test;
      const client = await test.join();
      const before = Date.now() - 1000;
      await client.registerTrigger(trigger("f", { durable: "audit" }));
      const { handler, received } = recorder();
      await client.registerFunction("g", handler);
      await client.registerTrigger(trigger("g"));
      for (let n = 0; n < 3; n++)
        await service.set({ streamName: "chat", groupId: "g", itemId: "i", data: n });
      await received(3);
      const { list } = operator(test);
      const { triggers, next } = await until(
        () => list(),
        (page) => page.triggers.find(({ durable }) => durable === "audit")?.backlog === 3,
      );
      expect(next).toBe("");
      const of = (functionId: string) => triggers.find((each) => each.functionId === functionId);
      expect(of("f")).toMatchObject({
        durable: "audit",
        served: false,
        failed: 0,
        dropped: 0,
        config: { stream_name: "chat", durable: "audit", max_away: "7d" },
      });
      for (const ms of [of("f")?.oldestMs, of("f")?.awaySinceMs]) {
        expect(ms).toBeGreaterThan(before);
        expect(ms).toBeLessThan(Date.now() + 1000);
      }
      expect(of("g")).toMatchObject({ durable: "", served: true });
      expect(of("g")?.awaySinceMs).toBeUndefined();
      const first = await list(1);
      const second = await list(1, first.next);
      expect([...first.triggers, ...second.triggers].map(({ id }) => id)).toEqual(
        triggers.map(({ id }) => id),
      );
      expect(second.next).toBe("");
    });

    it("are deleted by name or id, whoever registered them", async () => {
      const test = await testService({ store: await store.open() });
      const client = await test.join();
      await client.registerTrigger(trigger("f", { durable: "audit" }));
      await client.registerTrigger(trigger("f"));
      const { list, remove } = operator(test);
      expect(await remove({ durable: "other" })).toBe(false);
      expect(await remove({ durable: "audit" })).toBe(true);
      expect(await remove({ durable: "audit" })).toBe(false);
      const { triggers } = await list();
      expect(triggers.map(({ durable }) => durable)).toEqual([""]);
      expect(await remove({ triggerId: triggers[0]?.id ?? "" })).toBe(true);
      expect((await list()).triggers).toEqual([]);
      for (const request of [{}, { triggerId: "a", durable: "b" }])
        await expect(remove(request)).rejects.toThrow("either trigger_id or durable");
    });

    it("have dead letters, which are listed, and replayed once their function succeeds", async () => {
      const test = await testService({ store: await store.open() });
      const { service } = test;
      const client = await test.join();
      let isBroken = true;
      const { calls, handler } = recorder<StreamPayload>();
      const metadata: unknown[] = [];
      await client.registerFunction("f", (payload, context) => {
        if (isBroken) throw new Error("The disk is full.");
        metadata.push(context.metadata);
        return handler(payload, context);
      });
      await client.registerFunction("h", () => {
        throw new Error("No.");
      });
      await client.registerTrigger({ ...trigger("f", { durable: "audit" }), metadata: { a: 1 } });
      await client.registerTrigger(trigger("h", { item_id: "1" }));
      for (const itemId of ["1", "2"])
        await service.set({ streamName: "chat", groupId: "g", itemId, data: itemId });
      const { letters: list, replay } = operator(test);
      const found = await until(
        () => list("f"),
        ({ letters }) => letters.length === 2,
      );
      await until(
        () => list("h"),
        ({ letters }) => letters.length === 1,
      );
      expect(found.letters).toMatchObject(
        ["1", "2"].map((id) => ({
          functionId: "f",
          code: "invocation_failed",
          attempts: 1,
          payload: { streamName: "chat", groupId: "g", id, event: { type: "create", data: id } },
        })),
      );
      const all: Letter[] = [];
      for (let pageToken = ""; ;) {
        const page = await list("", 1, pageToken);
        all.push(...page.letters);
        if ((pageToken = page.next) === "") break;
      }
      expect(all.map(({ functionId }) => functionId)).toEqual(["f", "f", "h"]);
      const [one, two] = found.letters;
      expect(await replay("f", one?.id ?? "")).toMatchObject({
        replayed: false,
        code: "invocation_failed",
      });
      isBroken = false;
      expect(await replay("f", one?.id ?? "")).toMatchObject({ replayed: true, code: "" });
      expect(metadata).toEqual([{ a: 1 }]);
      expect(calls).toEqual([one?.payload]);
      expect((await list("f")).letters.map(({ id }) => id)).toEqual([two?.id]);
      await expect(replay("f", one?.id ?? "")).rejects.toThrow("dead_letter_id is unknown for f");
    });
  });

  it("counts the dropped events of a durable trigger whose function never comes back", async () => {
    const test = await testService({
      store: await store.open(),
      triggerLimits: { maxBacklog: 2 },
    });
    const client = await test.join();
    await client.registerTrigger(trigger("f", { durable: "audit" }));
    for (let n = 0; n < 5; n++)
      await test.service.set({ streamName: "chat", groupId: "g", itemId: "i", data: n });
    await until(
      () => test.service.triggers()[0],
      (each) => each?.counts.dropped === 3 && each.pending === 2,
    );
  });
}

import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { signDevelopmentToken } from "../../src/rights/jwt/development-token.ts";
import { type Line, connect } from "../bridge/line.ts";
import { first, of, send } from "../bridge/notices.ts";
import { CALL_DOORS, DOORS } from "../support/doors/doors.ts";
import { uniqueName } from "../support/doors/unique.ts";
import {
  type GatedServer,
  type JoinPayload,
  openGatedServer,
} from "../support/gates/gated-server.ts";
import { joinWith, presenceOf, watchPresence } from "../support/presence/presence-watch.ts";

const ISSUER = { algorithms: ["HS256"], secret: "s".repeat(32), allowClaim: "allow" } as const;
const BACKEND = "k".repeat(32);

let gated: GatedServer;
beforeAll(async () => {
  gated = await openGatedServer({
    auth: { jwt: [ISSUER], keys: [{ name: "backend", key: BACKEND }], local: true },
    presenceTimeoutMs: 300,
  });
});
afterAll(() => gated?.server.close());
beforeEach(() => {
  gated.decide = () => undefined;
});

interface Allow {
  readonly actions: readonly string[];
  readonly stream?: string;
  readonly item?: string;
}
const tokenOf = async (...allow: Allow[]) =>
  signDevelopmentToken(ISSUER, { user: "ann", ttlMs: 60_000, allow }, Date.now());

/** A socket that has said hello, of a caller with a token or key. */
async function open(credentials?: string, { url } = gated) {
  const headers = credentials === undefined ? {} : { authorization: `Bearer ${credentials}` };
  const line = await connect(url, "/", { headers });
  send(line, "hello", { version: 2 });
  const { data } = await first(line, "welcome");
  return { line, connectionId: data["connectionId"] as string };
}
const refusal = async (line: Line) => {
  const all = await line.until("a refusal", (each) => of(each, "error").length > 0);
  return of(all, "error")[0]?.event;
};
const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });
/** Calls of the gate about a group. */
const askedAbout = ({ groupId }: { readonly groupId: string }) =>
  gated.joins.all.filter((each) => each.group_id === groupId) as (JoinPayload & {
    readonly presence?: boolean;
  })[];

describe("being present", () => {
  it("takes the action presence of the stream; the user is named in the item, and is its author", async () => {
    const group = newGroup();
    const ann = await open(await tokenOf({ actions: ["subscribe", "presence"], stream: "rooms" }));
    await joinWith(ann, group, { name: "Ann" });
    const { items } = await gated.service.list(presenceOf(group));
    expect(items).toMatchObject([
      { data: { id: ann.connectionId, user: "ann", data: { name: "Ann" } }, author: "user:ann" },
    ]);
  });

  it.each([
    ["of another stream", { actions: ["presence"], stream: "others" }],
    ["of an item", { actions: ["presence"], stream: "rooms", item: "i" }],
    ["of the stream of presence", { actions: ["presence"], stream: "millrace:presence:rooms" }],
  ])("is refused with the join to a user with the right %s only (G8)", async (_which, allow) => {
    const group = newGroup();
    const ann = await open(await tokenOf({ actions: ["subscribe"] }, allow));
    send(ann.line, "join", { ...group, subscriptionId: "s", presence: {} });
    expect(await refusal(ann.line)).toMatchObject({
      code: "permission_denied",
      reason: "ACTION_DENIED",
    });
    expect(of(ann.line.frames, "sync")).toEqual([]);
    expect(askedAbout(group)).toEqual([]);
    expect((await gated.service.list(presenceOf(group))).items).toEqual([]);
  });

  it("is refused to users and anonymous callers when there are no rules, and allowed to others", async () => {
    const plain = await openGatedServer({
      auth: { jwt: [{ ...ISSUER, allowClaim: undefined }], keys: [{ name: "b", key: BACKEND }] },
    });
    const local = await openGatedServer({});
    try {
      const group = newGroup();
      for (const credentials of [await tokenOf(), undefined]) {
        const caller = await open(credentials, plain);
        send(caller.line, "join", { ...group, subscriptionId: "s", presence: {} });
        expect(await refusal(caller.line)).toMatchObject({ code: "permission_denied" });
      }
      await joinWith(await open(BACKEND, plain), group, {});
      await joinWith(await open(undefined, local), group, {});
    } finally {
      await plain.server.close();
      await local.server.close();
    }
  });

  it("is not possible when a join gate refuses the subscription (G8)", async () => {
    const group = newGroup();
    gated.decide = () => ({ unauthorized: true });
    const local = await open();
    send(local.line, "join", { ...group, subscriptionId: "s", presence: {} });
    await local.line.until("a refusal", (all) => of(all, "unauthorized").length > 0);
    expect((await gated.service.list(presenceOf(group))).items).toEqual([]);
  });

  it("ends when renewed credentials do not allow it, and the subscription continues", async () => {
    const group = newGroup();
    const watch = await watchPresence(gated.url, group);
    const ann = await open(await tokenOf({ actions: ["subscribe", "presence"] }));
    await joinWith(ann, group, {});
    await watch.until(ann.connectionId);
    send(ann.line, "token", { token: await tokenOf({ actions: ["subscribe"] }) });
    await watch.until();
    send(ann.line, "presence", { subscriptionId: "s", data: { n: 1 } });
    expect(await refusal(ann.line)).toMatchObject({ reason: "REQUEST_INVALID" });
    await gated.service.set({ ...group, itemId: "i", data: 1 });
    await ann.line.until("a change", (all) => of(all, "create").some(({ id }) => id === "i"));
  });

  it("ends with the subscription that a gate refuses at a recheck (G11)", async () => {
    const group = newGroup();
    const watch = await watchPresence(gated.url, group);
    const ann = await open(await tokenOf({ actions: ["subscribe", "presence"] }));
    await joinWith(ann, group, {});
    await watch.until(ann.connectionId);
    gated.decide = () => ({ unauthorized: true });
    const { ended } = await gated.service.recheckSubscriptions({ ...group, user: "ann" });
    expect(ended).toBe(1);
    await watch.until();
  });
});

describe("a stream of presence", () => {
  it("can be followed and read with the rights to the whole group of its base", async () => {
    const asked: JoinPayload[] = [];
    const server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      auth: { jwt: [ISSUER] },
      async setup(service) {
        await service.registerFunction("gate", (payload: JoinPayload) => void asked.push(payload));
        await service.registerTrigger({ type: "stream:join", function_id: "gate" });
      },
    });
    onTestFinished(() => server.close());
    const group = newGroup();
    const credentials = {
      all: await tokenOf({ actions: ["subscribe", "read"], stream: "rooms" }),
      follower: await tokenOf({ actions: ["subscribe"], stream: "rooms" }),
      ofItem: await tokenOf({ actions: ["subscribe", "read"], stream: "rooms", item: "ann" }),
      wrong: await tokenOf({ actions: ["*"], stream: "millrace:presence:rooms" }),
    };
    const denied = { reason: "ACTION_DENIED" };
    const shown = { ...presenceOf(group), itemId: "ann" };
    for (const door of CALL_DOORS.filter(({ name }) => name !== "library")) {
      const clientOf = (authorization: string) =>
        door.client({ ...server, authorization: `Bearer ${authorization}` });
      const all = clientOf(credentials.all);
      expect((await all.list(shown)).items).toEqual([]);
      expect(await all.get(shown)).toBeUndefined();
      await all.close();
      expect(asked.splice(0)).toMatchObject([
        { action: "read", stream_name: "rooms", group_id: group.groupId, presence: true },
      ]);
      for (const which of ["follower", "ofItem", "wrong"] as const) {
        const client = clientOf(credentials[which]);
        await expect(client.list(shown)).rejects.toMatchObject(denied);
        await expect(client.get(shown)).rejects.toMatchObject(denied);
        await client.close();
      }
    }
    for (const door of DOORS.filter(({ name }) => name !== "library")) {
      const clientOf = (authorization: string) =>
        door.client({ ...server, authorization: `Bearer ${authorization}` });
      const follower = clientOf(credentials.follower);
      const frames = await follower.subscribe(presenceOf(group));
      expect((await frames.next()).value).toMatchObject({ kind: "sync" });
      await frames.return();
      await follower.close();
      for (const which of ["ofItem", "wrong"] as const) {
        const client = clientOf(credentials[which]);
        const following = async () => (await client.subscribe(presenceOf(group))).next();
        await expect(following()).rejects.toMatchObject(denied);
        await client.close();
      }
    }
  });

  it("calls the join gates of its base with presence: true, which its leaves have, too", async () => {
    const group = newGroup();
    const asked = { stream_name: "rooms", group_id: group.groupId, presence: true };
    const ann = await open(await tokenOf({ actions: ["subscribe", "read"] }));
    await joinWith(ann, presenceOf(group), undefined, "who");
    expect(askedAbout(group)).toMatchObject([{ ...asked, id: null, subscription_id: "who" }]);
    ann.line.leave("who");
    const left = await gated.leaves.until("its leave", (all) =>
      all.some((each) => each.group_id === group.groupId),
    );
    expect(left.filter((each) => each.group_id === group.groupId)).toMatchObject([asked]);
    gated.decide = ({ stream_name: name }) => ({ unauthorized: name !== "others" });
    await ann.line.until("the sync", (all) => of(all, "sync").length === 1);
    send(ann.line, "join", { ...presenceOf(group), subscriptionId: "again" });
    await ann.line.until("a refusal", (all) => of(all, "unauthorized").length === 1);
  });

  it("loses its subscribers when subscriptions of its base are ended, or no longer allowed (G11)", async () => {
    const [one, two] = [newGroup(), newGroup()];
    const ann = await open(await tokenOf({ actions: ["subscribe"] }));
    await joinWith(ann, presenceOf(one), undefined, "one");
    await joinWith(ann, presenceOf(two), undefined, "two");
    const ended = await gated.service.endSubscriptions({ ...one, user: "ann" });
    gated.decide = () => ({ unauthorized: true });
    const rechecked = await gated.service.recheckSubscriptions({ ...two, user: "ann" });
    expect([ended.ended, rechecked.ended]).toEqual([1, 1]);
    const all = await ann.line.until("both ends", (each) => of(each, "ended").length === 2);
    expect(of(all, "ended").map(({ subscriptionId }) => subscriptionId)).toEqual(["one", "two"]);
  });

  it("cannot be made a custom stream", async () => {
    const adapter = { get: () => undefined };
    await expect(
      gated.service.createStream("millrace:presence:rooms", adapter),
    ).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  it("is the only one whose payloads have a presence key", async () => {
    const group = newGroup();
    await joinWith(await open(), group, {});
    expect(askedAbout(group).map((each) => "presence" in each)).toEqual([false]);
  });

  it("does not show its authors to users", async () => {
    const group = newGroup();
    const ann = await open(await tokenOf({ actions: ["subscribe", "presence"] }));
    await joinWith(ann, presenceOf(group), undefined, "who");
    await joinWith(ann, group, {});
    const { author } = (await first(ann.line, "create")) as { readonly author?: string };
    expect(author).toBeUndefined();
  });
});

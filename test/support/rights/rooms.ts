import { SignJWT } from "jose";

/* Callers of every kind, and a service whose rules are about rooms, profiles and news. */

/** The kinds of callers. */
export const CALLERS = [
  "key",
  "limited key",
  "admin key",
  "user",
  "local",
  "anonymous",
  "expired token",
  "foreign token",
  "unknown key",
] as const;
export type CallerName = (typeof CALLERS)[number];

const SECRET = "a secret of at least thirty-two bytes";

/** Rules: members write and read their rooms, users write their profile, anybody reads the news. */
export const ROOMS_AUTH = {
  keys: [
    { name: "backend", key: "backend-key" },
    {
      name: "reader",
      key: "reader-key",
      allow: [{ actions: ["read", "subscribe"], stream: "chat" }],
    },
    { name: "operator", key: "operator-key", allow: [{ actions: ["admin"] }] },
  ],
  jwt: [{ algorithms: ["HS256" as const], secret: SECRET }],
  rules: [
    { actions: ["subscribe", "read", "write", "send"], stream: "chat", group: "{claims.rooms}" },
    { actions: ["write"], stream: "profiles", group: "all", item: "{user}" },
    { actions: ["read"], stream: "notes", group: "all", item: "{user}" },
  ],
  anonymous: [{ actions: ["subscribe", "read"], stream: "news" }],
};

/** A room of the user. */
export const MINE = { streamName: "chat", groupId: "mine" };
/** A room of others. */
export const THEIRS = { streamName: "chat", groupId: "theirs" };
export const NEWS = { streamName: "news", groupId: "today" };
/** Of which users may read their own. */
export const NOTES = { streamName: "notes", groupId: "all" };
export const PROFILES = { streamName: "profiles", groupId: "all" };

const sign = (claims: Record<string, unknown>, secret = SECRET) =>
  new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));

/** The `authorization` headers of the callers. The user is `ann`. */
export async function authorizationsOf(): Promise<ReadonlyMap<CallerName, string | undefined>> {
  const nowS = Math.floor(Date.now() / 1000);
  const ann = { sub: "ann", rooms: ["mine", "*"], exp: nowS + 3600 };
  return new Map<CallerName, string | undefined>([
    ["key", "Bearer backend-key"],
    ["limited key", "Bearer reader-key"],
    ["admin key", "Bearer operator-key"],
    ["user", `Bearer ${await sign(ann)}`],
    ["local", undefined],
    ["anonymous", undefined],
    ["expired token", `Bearer ${await sign({ ...ann, exp: nowS - 1 })}`],
    ["foreign token", `Bearer ${await sign(ann, `${SECRET}, but another`)}`],
    ["unknown key", "Bearer backend-ke"],
  ]);
}

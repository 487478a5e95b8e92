import { describe, expect, it } from "vitest";
import { IMPORT_TABLE } from "../../scripts/gate/import-table.mjs";
import { lint } from "./lint.ts";
import { tempProject } from "./temp-project.ts";

const RULE = "millrace(import-table)";
const CONFIG = [".oxlintrc.json", "scripts/gate", "tsconfig.json"];

/** Room -> imports that it must not have. Every row of the table has one. */
const FORBIDDEN: Readonly<Record<string, readonly string[]>> = {
  core: ["../wire/planted.ts", "node:crypto", "lmdb"],
  lifetimes: ["../service/planted.ts", "../live/planted.ts", "node:timers"],
  presence: ["../bridge/planted.ts", "../lifetimes/planted.ts", "node:timers"],
  live: ["../service/planted.ts", "node:timers"],
  limits: ["../service/planted.ts", "ws"],
  rights: ["../service/planted.ts", "../functions/planted.ts", "zod"],
  functions: ["../service/planted.ts", "lmdb"],
  triggers: ["../live/planted.ts"],
  service: ["../stores/memory/planted.ts", "../wire/planted.ts", "pino"],
  "stores/memory": ["../lmdb/planted.ts", "node:fs", "lmdb"],
  "stores/lmdb": ["../memory/planted.ts", "../../service/planted.ts", "ioredis"],
  redis: ["../stores/redis/planted.ts", "lmdb"],
  "stores/redis": ["../lmdb/planted.ts", "../../coordinators/redis/planted.ts", "ioredis"],
  "stores/custom": ["../memory/planted.ts", "../../service/planted.ts"],
  "coordinators/local": ["../../service/planted.ts", "node:fs"],
  "coordinators/redis": ["../../stores/redis/planted.ts", "../../service/planted.ts", "ioredis"],
  webhooks: ["../service/planted.ts", "ws"],
  wire: ["../service/planted.ts", "@connectrpc/connect", "node:buffer"],
  timers: ["../core/planted.ts", "node:timers/promises"],
  rpc: ["../server/planted.ts", "../stores/memory/planted.ts", "../live/planted.ts", "pino"],
  bridge: ["../rpc/planted.ts", "../../gen/millrace/v1/types_pb.ts"],
  workers: ["../rpc/planted.ts", "../stores/memory/planted.ts"],
  "worker-sdk": ["../workers/planted.ts", "../stores/memory/planted.ts", "ws"],
  streams: ["../service/planted.ts", "../rights/planted.ts", "zod"],
  "pipe-text": ["../server/planted.ts", "../stores/memory/planted.ts", "node:timers"],
  server: [],
  "index.ts": ["./server/planted.ts", "./stores/lmdb/planted.ts", "node:fs"],
  "v1.ts": ["./wire/planted.ts", "./core/planted.ts"],
  "ops.ts": ["./service/planted.ts", "./timers/planted.ts", "node:util"],
};

/** Room -> imports that it may have. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: ["./other.ts", "./deeper/other.ts"],
  service: ["../core/planted.ts", "../triggers/planted.ts"],
  "stores/lmdb": ["../../core/planted.ts", "lmdb", "node:fs/promises"],
  rights: ["../core/planted.ts", "jose", "node:crypto"],
  wire: ["../../gen/millrace/v1/types_pb.ts", "@bufbuild/protobuf/wkt"],
  rpc: ["../wire/planted.ts", "@connectrpc/connect/protocol", "node:http2"],
  server: ["../stores/lmdb/planted.ts", "pino", "node:tls"],
};

const fileOf = (room: string) => `src/${room.endsWith(".ts") ? room : `${room}/planted.ts`}`;
const importing = (specifiers: readonly string[]) =>
  specifiers.map((specifier) => `import "${specifier}";\n`).join("");

describe("the import table", () => {
  it("has a forbidden import planted here for every row but that of the server", () => {
    expect(Object.keys(FORBIDDEN).toSorted()).toEqual(Object.keys(IMPORT_TABLE).toSorted());
    const unproven = Object.keys(FORBIDDEN).filter((room) => FORBIDDEN[room]?.length === 0);
    expect(unproven).toEqual(["server"]);
  });

  it("makes the lint fail for one forbidden import per row, naming file and rule", async () => {
    const planted = Object.fromEntries(
      Object.entries(FORBIDDEN).map(([room, specifiers]) => [fileOf(room), importing(specifiers)]),
    );
    const { status, problems } = await lint(await tempProject(CONFIG, planted));
    expect(status).not.toBe(0);
    for (const [room, specifiers] of Object.entries(FORBIDDEN)) {
      const found = problems.filter(({ file, rule }) => file === fileOf(room) && rule === RULE);
      expect(found.map(({ line }) => line)).toEqual(specifiers.map((_, index) => index + 1));
      for (const [index, specifier] of specifiers.entries()) {
        expect(found[index]?.message).toContain(`(${specifier})`);
      }
    }
  });

  it("lets allowed imports pass", async () => {
    const planted = Object.fromEntries(
      Object.entries(ALLOWED).map(([room, specifiers]) => [fileOf(room), importing(specifiers)]),
    );
    const { problems } = await lint(await tempProject(CONFIG, planted));
    expect(problems.filter(({ rule }) => rule === RULE)).toEqual([]);
  });

  it("sees every form of import, types too", async () => {
    const forms = [
      'import { a } from "../wire/a.ts";',
      'import type { B } from "../wire/b.ts";',
      'export { c } from "../wire/c.ts";',
      'export type { D } from "../wire/d.ts";',
      'export * from "../wire/e.ts";',
      'export const f = await import("../wire/f.ts");',
      'export type G = import("../wire/g.ts").G;',
      'import h = require("../wire/h.ts");',
      "export const i = await import(String(a));",
    ];
    const folder = await tempProject(CONFIG, { "src/core/planted.ts": forms.join("\n") });
    const { problems } = await lint(folder);
    const lines = problems.filter(({ rule }) => rule === RULE).map(({ line }) => line);
    expect(lines).toEqual(forms.map((_, index) => index + 1));
  });

  it("refuses a room without a row, and a file beside the rooms", async () => {
    const folder = await tempProject(CONFIG, {
      "src/attic/planted.ts": 'import "../core/planted.ts";\n',
      "src/planted.ts": 'import "./core/planted.ts";\n',
    });
    const { problems } = await lint(folder);
    const found = problems.filter(({ rule }) => rule === RULE).map(({ message }) => message);
    expect(found.toSorted()).toEqual([
      "attic has no row in the import table.",
      "planted.ts has no row in the import table.",
    ]);
  });
});

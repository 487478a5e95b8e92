// A join gate that refuses the users for whom a folder has a file: see revoker.ts.
import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * @param {import("../../../dist/src/index.js").StreamService} service
 * @param {string} folder
 */
export async function refuseUsers(service, folder) {
  await service.registerFunction("is-refused", ({ user }) => ({
    unauthorized: existsSync(join(folder, user)),
  }));
  await service.registerTrigger({ type: "stream:join", function_id: "is-refused" });
}

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/server/config/config.ts";
import { toServerOptions } from "../../../src/server/config/options.ts";
import { newIssuer } from "../../support/rights/issuer.ts";
import { tempFolder } from "./loading.ts";

describe("the file of a public key", () => {
  const loadWith = async (file: string, content: string | undefined, environment = {}) => {
    const folder = await tempFolder();
    if (content !== undefined) await writeFile(join(folder, "id.pem"), content);
    const entry = `{ algorithms: [ES256], audience: m, public_key_file: "${file}" }`;
    await writeFile(join(folder, "millrace.yaml"), `auth:\n  jwt: [${entry}]\n`);
    return loadConfig({ environment, folder });
  };

  it("is read when the configuration is loaded", async () => {
    const { pem } = await newIssuer();
    const { config, publicKeys } = await loadWith("./id.pem", pem);
    expect(toServerOptions(config, publicKeys).auth.jwt).toMatchObject([{ publicKey: pem }]);
  });

  it.each([
    ["id.pem", undefined, {}, 'is "id.pem", which does not exist'],
    ["${FILE}", undefined, { FILE: "s3cret" }, "is (hidden), which does not exist"],
    [".", undefined, {}, 'is ".", which is a folder; name a file'],
    ["id.pem", "hello", {}, "holds no public key; it may hold one, or a certificate, in PEM"],
    [
      "id.pem",
      "-----BEGIN PRIVATE KEY-----",
      {},
      "holds a private key; it may hold the public key only",
    ],
  ])("is refused when it is %s with %j", async (file, content, environment, sentence) => {
    await expect(loadWith(file, content, environment)).rejects.toEqual(
      expect.objectContaining({
        message: `millrace.yaml:2: auth.jwt[0].public_key_file ${sentence}`,
      }),
    );
  });

  it("is refused when its key is of another kind", async () => {
    const { pem } = await newIssuer("ES384");
    await expect(loadWith("id.pem", pem)).rejects.toThrow(
      "millrace.yaml:2: auth.jwt[0].public_key_file holds a key of another kind than ES256 needs",
    );
  });
});

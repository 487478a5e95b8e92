import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { createSchema } from "../../../src/rpc/services/reflection-schema.ts";

const STRING = {
  label: FieldDescriptorProto_Label.OPTIONAL,
  type: FieldDescriptorProto_Type.STRING,
};

describe("extensions of messages", () => {
  // Our files declare none, because proto3 has none; other files may.
  const base = create(FileDescriptorProtoSchema, {
    name: "base.proto",
    messageType: [{ name: "Base", extensionRange: [{ start: 100, end: 200 }] }],
  });
  const extending = create(FileDescriptorProtoSchema, {
    name: "more/extending.proto",
    package: "more",
    dependency: ["base.proto"],
    extension: [{ name: "second", ...STRING, number: 120, extendee: ".Base" }],
    messageType: [
      { name: "Holder", extension: [{ name: "first", ...STRING, number: 101, extendee: ".Base" }] },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [base, extending] }));
  const schema = createSchema([], Array.from(registry.files));
  const names = (files: readonly Uint8Array[] | undefined) =>
    files?.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);

  test("are found by extended message and field number", () => {
    for (const number of [101, 120]) {
      expect(names(schema.fileOfExtension("Base", number))).toEqual([
        "more/extending.proto",
        "base.proto",
      ]);
    }
    expect(schema.fileOfExtension("Base", 102)).toBeUndefined();
    expect(schema.fileOfExtension("more.Base", 101)).toBeUndefined();
  });

  test("are found by their full name", () => {
    expect(names(schema.fileOfSymbol("more.second"))?.[0]).toBe("more/extending.proto");
    expect(names(schema.fileOfSymbol("more.Holder.first"))?.[0]).toBe("more/extending.proto");
  });

  test("are listed by number, ascending", () => {
    expect(schema.extensionNumbers("Base")).toEqual([101, 120]);
    expect(schema.extensionNumbers("more.Holder")).toEqual([]);
    expect(schema.extensionNumbers("more.second")).toBeUndefined();
  });

  test("names without a package have no leading dot", () => {
    expect(names(schema.fileOfSymbol("Base"))).toEqual(["base.proto"]);
    expect(schema.fileOfSymbol(".Base")).toBeUndefined();
  });
});

import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

/**
 * Encoded `google.protobuf.FileDescriptorProto`s: one file, then its transitive imports. Each file
 * comes before the files that it imports.
 */
export type EncodedFiles = readonly Uint8Array[];

/** The schema that reflection serves. Lookups return undefined for unknown names. */
export interface Schema {
  /** Full names of the services, sorted. */
  readonly services: readonly string[];
  /** The file with a name, for example `google/protobuf/struct.proto`. */
  fileOf(filename: string): EncodedFiles | undefined;
  /**
   * The file that declares a full name, without a leading dot: of a service, method, message,
   * field, oneof, enum, enum value or extension.
   */
  fileOfSymbol(symbol: string): EncodedFiles | undefined;
  /** The file that declares the extension of a message with a field number. */
  fileOfExtension(message: string, fieldNumber: number): EncodedFiles | undefined;
  /** Field numbers of all extensions of a message, ascending. */
  extensionNumbers(message: string): readonly number[] | undefined;
}

/** Builds the schema of services and files, with all their imports. */
export function createSchema(
  services: readonly DescService[],
  files: readonly DescFile[] = [],
): Schema {
  const byName = new Map<string, DescFile>();
  for (const file of imports([...services.map((service) => service.file), ...files]))
    byName.set(file.proto.name, file);

  const bySymbol = new Map<string, DescFile>();
  const messages = new Set<string>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of byName.values()) {
    const declare = (symbol: string) => bySymbol.set(symbol, file);
    walk(file, {
      symbol: declare,
      message(name) {
        declare(name);
        messages.add(name);
      },
      extension(name, { extendee, number }) {
        declare(name);
        const message = extendee.replace(/^\./, "");
        const byNumber = extensions.get(message) ?? new Map<number, DescFile>();
        extensions.set(message, byNumber.set(number, file));
      },
    });
  }

  const encoded = new Map<DescFile, Uint8Array>();
  const encode = (file: DescFile) => {
    const bytes = encoded.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
    encoded.set(file, bytes);
    return bytes;
  };
  const encodeAll = (file: DescFile | undefined) => file && imports([file]).map(encode);
  return {
    services: Array.from(new Set(services.map((service) => service.typeName))).toSorted(),
    fileOf: (filename) => encodeAll(byName.get(filename)),
    fileOfSymbol: (symbol) => encodeAll(bySymbol.get(symbol)),
    fileOfExtension: (message, fieldNumber) => encodeAll(extensions.get(message)?.get(fieldNumber)),
    extensionNumbers(message) {
      const numbers = extensions.get(message)?.keys();
      if (numbers === undefined) return messages.has(message) ? [] : undefined;
      return Array.from(numbers).toSorted((a, b) => a - b);
    },
  };
}

/** The files and their transitive imports: each file name once, and before its own imports. */
function imports(files: readonly DescFile[]): DescFile[] {
  const seen = new Set<string>();
  const found: DescFile[] = [];
  const visit = (file: DescFile) => {
    if (seen.has(file.proto.name)) return;
    seen.add(file.proto.name);
    for (const imported of file.dependencies) visit(imported);
    found.push(file);
  };
  for (const file of files) visit(file);
  return found.toReversed();
}

/** Receives the full names of all that a file declares. */
interface Visitor {
  symbol(name: string): void;
  message(name: string): void;
  extension(name: string, field: FieldDescriptorProto): void;
}

/** Walks the raw descriptor, because the generated classes omit the entry types of maps. */
function walk({ proto }: DescFile, visit: Visitor): void {
  const scoped = (scope: string, { name }: { readonly name: string }) =>
    scope === "" ? name : `${scope}.${name}`;
  const walkEnum = (scope: string, declared: EnumDescriptorProto) => {
    visit.symbol(scoped(scope, declared));
    // By the scoping rules of protobuf, enum values belong to the scope around the enum.
    for (const value of declared.value) visit.symbol(scoped(scope, value));
  };
  const walkMessage = (scope: string, declared: DescriptorProto) => {
    const name = scoped(scope, declared);
    visit.message(name);
    for (const field of declared.field) visit.symbol(scoped(name, field));
    for (const oneof of declared.oneofDecl) visit.symbol(scoped(name, oneof));
    for (const extension of declared.extension) visit.extension(scoped(name, extension), extension);
    for (const nested of declared.enumType) walkEnum(name, nested);
    for (const nested of declared.nestedType) walkMessage(name, nested);
  };
  for (const message of proto.messageType) walkMessage(proto.package, message);
  for (const declared of proto.enumType) walkEnum(proto.package, declared);
  for (const field of proto.extension) visit.extension(scoped(proto.package, field), field);
  for (const service of proto.service) {
    const name = scoped(proto.package, service);
    visit.symbol(name);
    for (const method of service.method) visit.symbol(scoped(name, method));
  }
}

/**
 * Tags (`field number << 3 | wire type`) of google.protobuf.Value and its parts, each one byte
 * long.
 */

/** Value.null_value, a varint. */
export const NULL = 0x08;
/** Value.number_value, 8 bytes. */
export const NUMBER = 0x11;
/** Value.string_value. */
export const STRING = 0x1a;
/** Value.bool_value, a varint. */
export const BOOL = 0x20;
/** Value.struct_value. */
export const STRUCT = 0x2a;
/** Value.list_value. */
export const LIST = 0x32;
/** Struct.fields: one entry of the map. */
export const ENTRY = 0x0a;
/** Key of an entry. */
export const ENTRY_KEY = 0x0a;
/** Value of an entry. */
export const ENTRY_VALUE = 0x12;
/** ListValue.values: one element. */
export const ELEMENT = 0x0a;

import { SettingError } from "../../rights/setting-error.ts";

/**
 * Reads rules from a flag: JSON, or the short form `ACTION,ACTION:STREAM/GROUP/ITEM`, whose patterns
 * may be left out from the end.
 *
 * @returns Rules whose content is not checked yet.
 * @throws SettingError when JSON is malformed, or the short form has too many parts.
 */
export function rulesIn(text: string): unknown[] {
  if (/^\s*[[{]/.test(text)) {
    const value = jsonIn(text, "allow");
    return Array.isArray(value) ? value : [value];
  }
  const end = text.indexOf(":");
  const actions = (end < 0 ? text : text.slice(0, end)).split(",").map((action) => action.trim());
  const patterns = end < 0 ? [] : text.slice(end + 1).split("/");
  if (patterns.length > 3) {
    throw new SettingError(
      "allow",
      "has more than three patterns; it may be read,write:STREAM/GROUP/ITEM, or JSON where names have slashes.",
    );
  }
  const [stream, group, item] = patterns;
  return [
    {
      actions,
      ...(stream !== undefined && { stream }),
      ...(group !== undefined && { group }),
      ...(item !== undefined && { item }),
    },
  ];
}

/** Reads JSON from a flag. @throws SettingError */
export function jsonIn(text: string, flag: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new SettingError(flag, "is not JSON; quote it for the shell, as in '{\"a\":1}'.");
  }
}

import { GROUP, KEY, type Row, jsonOnly, message } from "./row.ts";

const INVALID = { reason: "REQUEST_INVALID", field: "window" } as const;
const SAYS = /it may be an integer from 1 to 10000, or absent/;

/** Bad windows of subscriptions. */
export const WINDOWS: readonly Row[] = [
  ...[0, -1, 10_001, 2 ** 31 - 1].map((window): Row => ({
    title: `a window of ${window} items`,
    ...message("subscribe", { ...GROUP, window }),
    ...INVALID,
    says: SAYS,
  })),
  ...[1.5, "many", true, 2 ** 31].map((window): Row => ({
    title: `a window that is ${JSON.stringify(window)}`,
    ...jsonOnly("subscribe", JSON.stringify({ ...GROUP, window })),
    ...INVALID,
  })),
  {
    title: "a window with an item",
    ...message("subscribe", { ...KEY, window: 10 }),
    ...INVALID,
    says: /window is given with item_id/,
  },
];

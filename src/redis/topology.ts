import type { RedisAddress } from "./redis-url.ts";

/** A range of hash slots, and the master that serves it. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: RedisAddress;
}

/** Number of hash slots of a cluster. */
const SLOT_COUNT = 16_384;

/**
 * Parses the reply of CLUSTER SLOTS.
 *
 * @param asked The replying node, which may not know its host.
 */
export function readSlots(reply: unknown, asked: RedisAddress): readonly SlotRange[] {
  if (!Array.isArray(reply)) return [];
  return reply.map((each): SlotRange => {
    const [first, last, master] = each as [unknown, unknown, [unknown, unknown]];
    const host = Buffer.isBuffer(master[0]) ? master[0].toString() : "";
    return {
      first: Number(first),
      last: Number(last),
      master: { host: host === "" ? asked.host : host, port: Number(master[1]) },
    };
  });
}

/** Hash slot of a tag, as Redis Cluster computes it: CRC16 (XMODEM) of its UTF-8 bytes. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of new TextEncoder().encode(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % SLOT_COUNT;
}

/** Formats an address. */
export function addressText({ host, port }: RedisAddress): string {
  return `${host}:${port}`;
}

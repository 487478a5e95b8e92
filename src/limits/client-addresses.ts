import { BlockList, isIP } from "node:net";

/**
 * Number of 16-bit groups in the network of an IPv6 client: a /64, the usual size for one customer.
 */
const NETWORK_GROUPS = 4;
const GROUPS = 8;
/** The key of clients whose address is unknown. */
const UNKNOWN = "unknown";
const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;
/** An address with a port, as some proxies write it. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/;

/** Determines the address by which a client is limited. */
export interface ClientAddresses {
  /**
   * The key of the client's address: an IPv4 address, or the /64 network of an IPv6 address.
   *
   * @param peer Address of the peer of the connection; undefined when it is gone.
   * @param forwardedFor The `X-Forwarded-For` header, which counts only when the peer is trusted.
   * @returns undefined when limits per address do not apply: the client is this machine or a
   *   trusted proxy.
   */
  keyOf(peer: string | undefined, forwardedFor: string | undefined): string | undefined;
  /**
   * Whether the peer is this machine or a trusted proxy, whose connections carry others' requests.
   */
  isProxy(peer: string | undefined): boolean;
}

/**
 * Clients behind trusted proxies are limited by the address that the nearest proxy saw: the
 * rightmost of `X-Forwarded-For` that is not itself a trusted proxy. The client may have forged the
 * entries before it.
 *
 * @param trustedProxies Addresses and CIDR ranges. Loopback addresses are always trusted.
 */
export function createClientAddresses(trustedProxies: readonly string[]): ClientAddresses {
  const trusted = trustList(trustedProxies);
  const isTrusted = (address: string) => {
    const family = isIP(address);
    return family !== 0 && trusted.check(address, family === 4 ? "ipv4" : "ipv6");
  };
  let latest: { readonly peer: string; readonly isProxy: boolean } | undefined;
  /** Remembers the latest: a proxy sends call after call, and the look-up costs more than the rest. */
  const isProxy = (peer: string | undefined) => {
    if (peer === undefined) return false;
    if (latest?.peer !== peer) latest = { peer, isProxy: isTrusted(plain(peer)) };
    return latest.isProxy;
  };
  return {
    isProxy,
    keyOf(peer, forwardedFor) {
      if (peer === undefined) return UNKNOWN;
      if (!isProxy(peer)) return keyOf(plain(peer));
      if (forwardedFor === undefined) return undefined;
      const client = forwardedFor
        .split(",")
        .map((hop) => plain(withoutPort(hop.trim())))
        .findLast((hop) => !isTrusted(hop));
      return client === undefined ? undefined : keyOf(client);
    },
  };
}

/** The key of the address of a peer, trusted or not. */
export function networkOf(peer: string | undefined): string {
  return peer === undefined ? UNKNOWN : keyOf(plain(peer));
}

/** Whether a text is an address or a range of addresses, such as `10.0.0.0/8`. */
export function isAddressRange(text: string): boolean {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || address.includes("%") || rest.length > 0) return false;
  if (prefix === undefined) return true;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

function trustList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ["127.0.0.0/8", "::1", ...ranges]) {
    const [address = "", prefix] = range.split("/");
    const family = isIP(address) === 4 ? "ipv4" : "ipv6";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** Unwraps IPv4 addresses mapped into IPv6, and removes the zone, which names a local interface. */
function plain(address: string): string {
  return address.replace(MAPPED, "").replace(/%.*$/, "");
}

function withoutPort(hop: string): string {
  if (isIP(hop) !== 0) return hop;
  const [, v6, v4] = WITH_PORT.exec(hop) ?? [];
  return v6 ?? v4 ?? hop;
}

function keyOf(address: string): string {
  switch (isIP(address)) {
    case 4:
      return address;
    case 6:
      return `${groupsOf(address).slice(0, NETWORK_GROUPS).join(":")}::/64`;
    default:
      return UNKNOWN;
  }
}

/** The groups of an IPv6 address, each without leading zeros. */
function groupsOf(address: string): string[] {
  const [head = "", tail] = address.toLowerCase().split("::");
  const left = split(head);
  const right = tail === undefined ? [] : split(tail);
  // An IPv4 tail takes two groups; it lies outside the network, so zeros can replace it.
  const missing = tail === undefined ? 0 : Math.max(0, GROUPS - left.length - right.length);
  return [...left, ...Array<string>(missing).fill("0"), ...right];
}

function split(groups: string): string[] {
  if (groups === "") return [];
  return groups
    .split(":")
    .flatMap((group) => (group.includes(".") ? ["0", "0"] : [group.replace(/^0+(?=.)/, "")]));
}

import { BlockList, isIP } from "node:net";

/** IPv4 blocks that are not on the public internet: `[first address, bits of the prefix]`. */
const PRIVATE_V4 = [
  // This network, and unspecified
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  // Between a provider and its customers
  ["100.64.0.0", 10],
  // This machine
  ["127.0.0.0", 8],
  // The host of a virtual machine in Azure, which serves its settings and certificates
  ["168.63.129.16", 32],
  // Link-local, where clouds have their metadata
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  // IETF protocols; Oracle's cloud has its metadata here
  ["192.0.0.0", 24],
  // 6to4 relays, deprecated
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  // Benchmarks and documentation
  ["192.0.2.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  // Multicast; reserved, and broadcast
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const;

/** The same for IPv6. Only 2000::/3 is on the public internet, and not all of it. */
const PRIVATE_V6 = [
  ["::", 3],
  ["4000::", 2],
  ["8000::", 1],
  // Tunnels and other protocols, whose addresses may embed private ones
  ["2001::", 23],
  ["2002::", 16],
  // Documentation
  ["2001:db8::", 32],
  ["3fff::", 20],
] as const;

/** IPv6 blocks whose last 32 bits are an IPv4 address: mapped addresses, and NAT64. */
const V4_WITHIN = ["::ffff:", "64:ff9b::"];
const V4_WITHIN_BITS = 96;

const privateV4 = new BlockList();
const privateV6 = new BlockList();
const v4Within = new BlockList();
const privateV4Within = new BlockList();
for (const [first, bits] of PRIVATE_V4) {
  privateV4.addSubnet(first, bits, "ipv4");
  for (const prefix of V4_WITHIN)
    privateV4Within.addSubnet(prefix + first, V4_WITHIN_BITS + bits, "ipv6");
}
for (const [first, bits] of PRIVATE_V6) privateV6.addSubnet(first, bits, "ipv6");
for (const prefix of V4_WITHIN) v4Within.addSubnet(`${prefix}0.0.0.0`, V4_WITHIN_BITS, "ipv6");

/** Whether an IP address is on the public internet; false for an invalid address. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !privateV4.check(address, "ipv4");
    case 6:
      return v4Within.check(address, "ipv6")
        ? !privateV4Within.check(address, "ipv6")
        : !privateV6.check(address, "ipv6");
    default:
      return false;
  }
}

/**
 * Whether the host of a URL is private by its name alone, before any lookup.
 *
 * @param isPublic Judges literal addresses.
 */
export function isPrivateHost({ hostname }: URL, isPublic = isPublicAddress): boolean {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) !== 0) return !isPublic(address);
  return /(?:^|\.)localhost\.?$/.test(hostname);
}

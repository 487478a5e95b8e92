import { describe, expect, it } from "vitest";
import { createClientAddresses, isAddressRange } from "../../src/limits/client-addresses.ts";

const PROXIES = ["10.0.0.0/8", "fd00::/8", "203.0.113.9"];

/** A description, the peer, its `X-Forwarded-For`, and the key of the client. */
const TABLE: readonly (readonly [string, string | undefined, string | undefined, unknown])[] = [
  ["a client of another machine", "198.51.100.7", undefined, "198.51.100.7"],
  ["... mapped into IPv6", "::ffff:198.51.100.7", undefined, "198.51.100.7"],
  ["... that forges the header", "198.51.100.7", "192.0.2.1", "198.51.100.7"],
  ["an IPv6 client, by its /64", "2001:db8:1:2:aaaa::1", undefined, "2001:db8:1:2::/64"],
  ["... with leading zeros", "2001:0db8:0001:0002::1", undefined, "2001:db8:1:2::/64"],
  ["... of a short network", "2001:db8::1", undefined, "2001:db8:0:0::/64"],
  ["... with a zone", "fe80::1%eth0", undefined, "fe80:0:0:0::/64"],
  ["this machine", "127.0.0.1", undefined, undefined],
  ["... at another loopback address", "127.8.8.8", undefined, undefined],
  ["... over IPv6", "::1", undefined, undefined],
  ["... over IPv4 in IPv6", "::ffff:127.0.0.1", undefined, undefined],
  ["a trusted proxy itself", "10.1.2.3", undefined, undefined],
  ["... listed by address", "203.0.113.9", undefined, undefined],
  ["... over IPv6", "fd00::7", undefined, undefined],
  ["a client behind a proxy on this machine", "127.0.0.1", "198.51.100.7", "198.51.100.7"],
  ["a client behind a trusted proxy", "10.1.2.3", "198.51.100.7", "198.51.100.7"],
  ["... behind two of them", "10.1.2.3", "198.51.100.7, 203.0.113.9", "198.51.100.7"],
  ["... that forges hops", "10.1.2.3", "127.0.0.1, 1.1.1.1, 198.51.100.7", "198.51.100.7"],
  ["... that is itself trusted", "10.1.2.3", "10.9.9.9, 127.0.0.1", undefined],
  ["... written with a port", "10.1.2.3", "198.51.100.7:4711", "198.51.100.7"],
  ["... in brackets", "10.1.2.3", "[2001:db8:1:2::1]:4711", "2001:db8:1:2::/64"],
  ["... that has no address", "10.1.2.3", "unknown", "unknown"],
  ["... whose header is empty", "10.1.2.3", "", "unknown"],
  ["a peer that is gone", undefined, undefined, "unknown"],
];

describe("the address by which a client is limited", () => {
  const addresses = createClientAddresses(PROXIES);

  it.each(TABLE)("%s: %s, %s", (_what, peer, forwardedFor, key) => {
    expect(addresses.keyOf(peer, forwardedFor)).toBe(key);
  });

  it("may be in a range of the form that an address list accepts", () => {
    const valid = ["10.0.0.0/8", "::1", "fd00::/8", "1.2.3.4", "0.0.0.0/0", "::/128"];
    const invalid = [
      "10.0.0.0/33",
      "::/129",
      "10.0.0",
      "a",
      "",
      "1.2.3.4/",
      "1.2.3.4/8/8",
      "::1%lo",
    ];
    expect(valid.filter((text) => !isAddressRange(text))).toEqual([]);
    expect(invalid.filter(isAddressRange)).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";
import { isPublicAddress } from "../../src/webhooks/public-address.ts";
import { call, failureOf, hasty, hookTo, resolver } from "./calling.ts";
import { answering, receive, receiveSecurely } from "./receiver.ts";

const REFUSED =
  "invocation_failed: The function orders::notify leads to a private address; it may do so with allow_private_addresses: true.";
const GUARDED = { allowPrivateAddresses: false };

const PRIVATE_V4 = [
  ...["0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255"],
  ...["127.0.0.1", "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.0"],
  ...["168.63.129.16", "100.100.100.200", "192.0.0.192", "192.88.99.1"],
  ...["172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.0.1", "192.168.255.255", "198.18.0.1"],
  ...["198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"],
  ...["240.0.0.1", "255.255.255.255"],
];
const PUBLIC_V4 = [
  ...["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
  ...["168.63.129.15", "168.63.129.17", "192.0.1.0", "192.88.98.255", "192.88.100.0"],
  ...["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"],
  ...["172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"],
  ...["223.255.255.255"],
];

describe("isPublicAddress", () => {
  it.each([
    ...PRIVATE_V4,
    ...["::", "::1", "::2", "::7f00:1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "febf::1"],
    ...["fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "100::1", "2001::1", "2001:db8::1"],
    ...["2002:7f00:1::", "2002:a83f:8110::1", "3fff::1", "4000::1", "5f00::1"],
    // NAT64 of one network, NAT64's and SIIT's forms of 8.8.8.8 in blocks that never leave a site
    ...["64:ff9b:1::1", "64:ff9b:1:ffff::8.8.8.8", "::ffff:0:8.8.8.8", "::8.8.8.8"],
    // Metadata services of AWS and Google
    ...["fd00:ec2::254", "fd20:ce::254", "feff:ffff::1", "fdff:ffff::1"],
    ...PRIVATE_V4.map((address) => `::ffff:${address}`),
    ...PRIVATE_V4.map((address) => `64:ff9b::${address}`),
    ...[
      "::ffff:7f00:1",
      "::ffff:a83f:8110",
      "0:0:0:0:0:ffff:a9fe:a9fe",
      "64:ff9b::a9fe:a9fe",
      "",
      "localhost",
      "1",
    ],
  ])("is false for %s", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each([
    ...PUBLIC_V4,
    ...PUBLIC_V4.map((address) => `::ffff:${address}`),
    ...PUBLIC_V4.map((address) => `64:ff9b::${address}`),
    ...["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00::1", "3ffe::1"],
  ])("is true for %s", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

describe("a webhook that leads to a private address", () => {
  it.each([
    ...["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "localhost"],
    ...["LOCALHOST.", "hooks.localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"],
    ...["[64:ff9b::127.0.0.1]", "169.254.169.254", "168.63.129.16", "0xa83f8110"],
    ...["10.0.0.1", "[fe80::1]", "[fd00::1]"],
  ])("is not called when its URL names %s", async (host) => {
    const receiver = await receive(answering(200));
    const { asked, lookup } = resolver(["127.0.0.1"]);
    const hook = hookTo(`http://${host}:${receiver.port}/`, GUARDED, { lookup });
    expect(await failureOf(hook)).toBe(REFUSED);
    expect(receiver.connections()).toBe(0);
    expect(asked).toEqual([]);
  });

  it.each([
    ["an address of IPv4", ["127.0.0.1"]],
    ["an address of IPv6", ["::1"]],
    ["a mapped address", ["::ffff:127.0.0.1"]],
    ["one of several addresses", ["2606:4700:4700::1111", "127.0.0.1"]],
  ])("is not called when its name resolves to %s", async (_, addresses) => {
    const receiver = await receive(answering(200));
    const { asked, lookup } = resolver(addresses);
    const hook = hookTo(`http://hooks.test:${receiver.port}/`, GUARDED, { ...hasty(), lookup });
    expect(await failureOf(hook)).toBe(REFUSED);
    expect(receiver.connections()).toBe(0);
    // The failure is final.
    expect(asked).toEqual(["hooks.test"]);
  });

  it("is not called over https either", async () => {
    const receiver = await receiveSecurely(answering(200));
    const { lookup } = resolver(["127.0.0.1"]);
    const hook = hookTo(`https://hooks.test:${receiver.port}/`, GUARDED, { lookup });
    expect(await failureOf(hook)).toBe(REFUSED);
    expect(receiver.connections()).toBe(0);
  });

  it("is called when private addresses are allowed", async () => {
    const receiver = await receive(answering(200, "1"));
    const { asked, lookup } = resolver(["127.0.0.1"]);
    expect(await call(hookTo(`http://hooks.test:${receiver.port}/`, {}, { lookup }))).toBe("1");
    expect(await call(hookTo(receiver.url, {}, { lookup }))).toBe("1");
    expect(asked).toEqual(["hooks.test"]);
  });
});

/**
 * Treats 127.0.0.1, the address of the receiver, as public, and no other address of this machine.
 */
const OUTSIDE = { isPublic: (address: string) => address === "127.0.0.1" };

describe("a host whose addresses change (DNS rebinding)", () => {
  it("is connected to at the address that was checked", async () => {
    const receiver = await receive(answering(200, "1"));
    const { asked, lookup } = resolver(["127.0.0.1"], ["127.0.0.9"]);
    const hook = hookTo(`http://rebound.test:${receiver.port}/`, GUARDED, { ...OUTSIDE, lookup });
    expect(await call(hook)).toBe("1");
    expect(asked).toEqual(["rebound.test"]);
  });

  it("is checked again for every connection", async () => {
    const receiver = await receive(answering(503));
    const { asked, lookup } = resolver(["127.0.0.1"], ["127.0.0.9"]);
    const around = { ...OUTSIDE, ...hasty(), lookup };
    const hook = hookTo(`http://rebound.test:${receiver.port}/`, GUARDED, around);
    expect(await failureOf(hook)).toBe(REFUSED);
    expect(asked).toEqual(["rebound.test", "rebound.test"]);
    expect(receiver.connections()).toBe(1);
  });

  it.each(["http://127.0.0.9/", "http://[::1]/", "http://localhost/", "http://inside.test/"])(
    "is looked at again when it redirects, to %s",
    async (location) => {
      const receiver = await receive(answering(307, "", { location }));
      const { lookup } = resolver(["127.0.0.1"], ["127.0.0.9"]);
      const options = { ...GUARDED, allowRedirects: true };
      const around = { ...OUTSIDE, ...hasty(), lookup };
      const hook = hookTo(`http://outside.test:${receiver.port}/`, options, around);
      expect(await failureOf(hook)).toBe(REFUSED);
      expect(receiver.received).toHaveLength(1);
    },
  );
});

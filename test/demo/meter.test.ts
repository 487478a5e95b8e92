import { describe, expect, it } from "vitest";
import { createMachineMeter, namesOfAbsent, parseNetDev } from "../../scripts/demo/meter.mjs";

const NET_DEV = (received: number, sent: number) => `\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0:${received}   24865    0    0    0     0          0         0  ${sent}   15639    0    0    0     0       0          0
`;

/** A machine with figures that the test sets. */
function fakeMachine() {
  return {
    cores: [{ user: 100, sys: 0, idle: 900 }],
    load: [0.5, 0.25, 0.125] as number[] | undefined,
    net: NET_DEV(1000, 500) as string | undefined,
    ms: 0,
    cpus() {
      return this.cores.map((times) => ({ times }));
    },
    loadavg() {
      return this.load;
    },
    totalmem: () => 1000,
    freemem: () => 400,
    netDev() {
      return this.net;
    },
    nowMs() {
      return this.ms;
    },
  };
}

const valuesOf = (figures: readonly { id: string; value: number }[]) =>
  Object.fromEntries(figures.map(({ id, value }) => [id, value]));

describe("the meter of the demo", () => {
  it("returns cores, load, memory and network, with rates since the previous call", () => {
    const machine = fakeMachine();
    const meter = createMachineMeter(machine);
    machine.cores = [{ user: 150, sys: 25, idle: 1025 }];
    machine.net = NET_DEV(3000, 600);
    machine.ms = 500;
    expect(valuesOf(meter())).toEqual({
      "cpu-0": 37.5,
      "load-1m": 0.5,
      "load-5m": 0.25,
      "load-15m": 0.13,
      "memory-used": 600,
      "memory-total": 1000,
      "net-lo-received": 0,
      "net-lo-sent": 0,
      "net-eth0-received": 4000,
      "net-eth0-sent": 200,
    });
    machine.ms = 1000;
    expect(valuesOf(meter())).toMatchObject({ "cpu-0": 0, "net-eth0-received": 0 });
  });

  it("returns no negative or infinite figures, whatever the counters do", () => {
    const machine = fakeMachine();
    const meter = createMachineMeter(machine);
    machine.cores = [
      { user: 0, sys: 0, idle: 0 },
      { user: 5, sys: 5, idle: 5 },
    ];
    machine.net = NET_DEV(0, 0);
    const values = meter().map(({ value }) => value);
    expect(values.every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
  });

  it("gives each figure a unique id, a label and a unit", () => {
    const figures = createMachineMeter()();
    expect(new Set(figures.map(({ id }) => id)).size).toBe(figures.length);
    for (const { label, unit } of figures) expect([label, unit]).not.toContain("");
  });

  it("names the figures that the operating system does not report", () => {
    const machine = fakeMachine();
    machine.net = undefined;
    machine.load = undefined;
    const figures = createMachineMeter(machine)();
    expect(figures.map(({ id }) => id)).toEqual(["cpu-0", "memory-used", "memory-total"]);
    expect(namesOfAbsent(figures)).toEqual([
      "load averages (this system has none)",
      "network bytes per second (this system has no /proc/net/dev)",
    ]);
  });

  it("reads interfaces with a colon in their name, and skips other lines", () => {
    const text = `${NET_DEV(1, 2)}  eth0:1: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\nnonsense\n`;
    expect([...parseNetDev(text).keys()]).toEqual(["lo", "eth0", "eth0:1"]);
    expect(parseNetDev(text).get("eth0:1")).toEqual({ received: 7, sent: 8 });
  });
});

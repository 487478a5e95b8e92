import { describe, expect, it } from "vitest";
import { BodyBudget, MAX_UNTRUSTED_CONNECTION_BYTES } from "../../src/limits/body-budget.ts";
import { UntrustedBodies } from "../../src/limits/untrusted-bodies.ts";

const KIB = 1024;

/** Opens accounts, and keeps the names of those that were cut. */
function setup(budgetBytes: number) {
  const budget = new BodyBudget(budgetBytes);
  const bodies = new UntrustedBodies(budget);
  const cut: string[] = [];
  const open = (connection: object, name: string) => bodies.open(connection, () => cut.push(name));
  return { budget, open, cut };
}

describe("bodies of untrusted callers", () => {
  it("hold a quarter of the budget at most, and the rest is left to trusted callers", () => {
    const { budget, open } = setup(400 * KIB);
    for (let i = 0; i < 20; i++) open({}, `${i}`).take(16 * KIB);
    expect(budget.heldBytes).toBe(96 * KIB);
    for (let i = 0; i < 19; i++) budget.take(16 * KIB);
  });

  it("of one connection are limited: the next one is refused, and those of others are not cut", () => {
    const { budget, open, cut } = setup(64 * 1024 * KIB);
    const connection = {};
    for (let i = 0; i < 64; i++) open(connection, `${i}`).take(16 * KIB);
    expect(budget.heldBytes).toBe(MAX_UNTRUSTED_CONNECTION_BYTES);
    expect(() => open(connection, "more").take(1)).toThrow(/may be made again/);
    open({}, "other").take(16 * KIB);
    expect(cut).toEqual([]);
  });

  it("are cut, oldest first, on the connection that holds the most, when a newcomer needs room", () => {
    const { budget, open, cut } = setup(400 * KIB);
    const [small, large] = [{}, {}];
    open(small, "small").take(10 * KIB);
    for (const name of ["first", "second", "third"]) open(large, name).take(30 * KIB);
    open({}, "newcomer").take(40 * KIB);
    expect(cut).toEqual(["first", "second"]);
    expect(budget.heldBytes).toBe(80 * KIB);
  });

  it("take nothing more once they are cut, and give nothing back twice", () => {
    const { budget, open } = setup(400 * KIB);
    const connection = {};
    const first = open(connection, "first");
    first.take(60 * KIB);
    const second = open({}, "second");
    second.take(60 * KIB);
    expect(() => first.take(1)).toThrow(/may be made again/);
    first.give(60 * KIB);
    expect(budget.heldBytes).toBe(60 * KIB);
    second.give(60 * KIB);
    expect(budget.heldBytes).toBe(0);
    open(connection, "again").take(100 * KIB);
  });

  it("are refused when one alone exceeds the share", () => {
    const { budget, open } = setup(40 * KIB);
    const account = open({}, "body");
    expect(() => account.take(11 * KIB)).toThrow();
    expect(budget.heldBytes).toBe(0);
  });

  it("hold nothing when trusted callers have taken the whole budget", () => {
    const { budget, open } = setup(40 * KIB);
    for (let i = 0; i < 4; i++) budget.take(10 * KIB);
    expect(() => open({}, "body").take(1)).toThrow(/at its limit of request bytes in memory/);
    expect(budget.heldBytes).toBe(40 * KIB);
  });
});

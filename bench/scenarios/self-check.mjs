/* Whether a server that does twice the work is seen to be about half as fast. */
import { Failure } from "../../scripts/lib/project.mjs";
import { alternate } from "../lib/alternate.mjs";
import { median, pairRatios } from "../lib/arithmetic.mjs";
import { perSecond, rowOf } from "../lib/row.mjs";
import { caller, prepare } from "./unary.mjs";

const LEAST = 0.3;
const MOST = 0.75;

/** @type {import("../run.mjs").Scenario} */
export async function run({ pace, start, report }) {
  const how = /** @type {const} */ ({ protocol: "grpc", method: "Set", inFlight: 128 });
  const [load, plain, slow] = await Promise.all([
    start("load"),
    start("stock-connect"),
    start("stock-connect", { twice: true }),
  ]);
  for (const server of [plain, slow]) await prepare(load, server, "grpc");
  const rounds = await alternate(
    [caller("slow", load, slow, how), caller("plain", load, plain, how)],
    pace,
  );
  const metric = perSecond("calls");
  const what = "gRPC Set that does its work twice";
  const ours = rounds.get("slow") ?? [];
  const theirs = rounds.get("plain") ?? [];
  report([rowOf({ what, metric, ours, against: { name: "the same without", rounds: theirs } })]);
  const ratio = median(pairRatios(ours.map(metric.of), theirs.map(metric.of)));
  if (!(ratio >= LEAST && ratio <= MOST)) {
    throw new Failure(
      `A server with twice the work was measured at ${ratio.toFixed(2)} of the speed; it should be ${LEAST} to ${MOST}.`,
    );
  }
}

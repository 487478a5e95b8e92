/* The load generator: all clients are in this one process, and none of the servers. */
import { check } from "../load/check.mjs";
import { disperse, gather, broadcast } from "../load/fan-out.mjs";
import { park, unpark } from "../load/park.mjs";
import { joins, opens, snapshot } from "../load/snapshot.mjs";
import { unary } from "../load/unary.mjs";
import { fill, revisions, write } from "../load/write.mjs";

/** Opens the part. */
export function open() {
  return {
    methods: {
      check,
      disperse,
      fill,
      gather,
      joins,
      opens,
      park,
      revisions,
      snapshot,
      broadcast,
      unary,
      unpark,
      write,
    },
  };
}

// A simulated language model: it needs no download, and always answers the same.

const ANSWERS = [
  {
    question: "How does a water mill work?",
    text: `A water mill turns the weight of falling water into the turning of a stone. 💧

The stream above the mill is held back by a weir, and part of it is led into a channel, the mill race. The race is nearly level, while the natural stream goes on falling beside it. After a few hundred metres the water in the race stands well above the stream, and that difference in height, the head, is all the energy that the mill will ever have.

At the wheel the water pays it back. In an overshot wheel it pours into buckets at the top and drives the wheel by its weight: the best of these keep more than four fifths of the energy. In an undershot wheel it only pushes against paddles at the bottom, which is simpler, and wastes most of it.

The axle turns slowly, perhaps eight times in a minute. A large gear with wooden teeth drives a small one, and the runner stone above goes round a hundred times a minute. Grain falls through its eye, is cut between the furrows of the two stones, and leaves at the rim as flour. 🌾

The miller's art is in the gap between the stones: as thin as brown paper at the centre, as thin as tissue at the edge. And what passes the mill is never lost; it joins the stream again, one head lower.`,
  },
  {
    question: "Why do rivers meander?",
    text: `Because a straight river is not stable: the smallest bend makes itself larger. 🏞️

In a bend the water at the surface is carried outwards, piles up against the outer bank, dives there, and returns along the bed towards the inner bank. The current that dives cuts into the outer bank. The one that returns is slower, and drops its sand on the inner one. So the outside moves away, the inside follows, and the bend grows.

Growing bends also wander. The strongest current meets the bank a little below the top of the bend, and so the whole pattern creeps down the valley, a few metres in a year.

There is an end to it. When two bends come so close that only a neck of land is left between them, the next flood cuts through, and the loop stays behind as an oxbow lake. The river is short and steep there for a while, and starts again.

The size follows from the width alone. From a trickle on a window pane to the Mississippi, one full bend is about eleven widths long. Even currents without banks do it: the Gulf Stream meanders, and so does the jet stream above our heads. 🌍`,
  },
  {
    question: "What makes a stream durable?",
    text: `Three promises, and each of them is worth little without the other two. 🪵

The first is that what was acknowledged is kept. A write is on disk before its answer is sent, so that a process which is killed in the next microsecond has nothing to regret.

The second is that there is one order. Every change of a group has the next revision, without gaps. Whoever has seen revision 41 knows exactly what is missing: 42, and then 43. There is no window in which two readers see two stories.

The third is that a reader may come back. It names the last revision that it has, and gets what it missed, once and in order; or, if that is no longer kept, the whole state, and is told so. It need not ask what it lost, and it need not guess.

Together they move the hard part to one place. A page may be reloaded in the middle of a sentence, a laptop may be closed for an hour, a server may lose its power, and none of them has to apologise: the sentence goes on where it was. 🪄`,
  },
];

/** Questions to begin with. */
export const QUESTIONS = ANSWERS.map(({ question }) => question);

/**
 * The whole answer to a question.
 *
 * @param {string} question
 */
export function answerTo(question) {
  const known = ANSWERS.find((answer) => answer.question === question);
  if (known !== undefined) return known.text;
  return `You asked: “${question.toWellFormed()}”

I am a simulated model, and know only a few things by heart. Ask me this instead:

${QUESTIONS.map((other) => `• ${other}`).join("\n")}

But this text, too, was written a few letters at a time. Each of them was appended to one item of a durable stream, and came to you as a change of a few bytes. Had you reloaded this page in the middle, you would have missed nothing. 🙂`;
}

/**
 * Says the answer to a question in pieces of a few letters, as models do.
 *
 * @param {string} question
 * @param {object} options
 * @param {number} options.paceMs Time for each piece, in milliseconds.
 * @param {AbortSignal} options.signal Ends the answer early.
 */
export async function* say(question, { paceMs, signal }) {
  const text = answerTo(question);
  let said = 0;
  for (let count = 1; said < text.length && !signal.aborted; count++) {
    await new Promise((resolve) => setTimeout(resolve, paceMs));
    // Pieces do not end where words do, and may split a character of two UTF-16 units.
    const end = said + 2 + ((count * 7) % 6);
    yield text.slice(said, end);
    said = end;
  }
}

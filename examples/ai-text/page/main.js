// The page: shows the answers of one conversation as they come, and keeps them over a reload.
import { follow } from "./follow.js";

/** @import { Counts, State } from "./follow.js" */

/** @typedef {{ question?: string, text?: string, done?: boolean }} Answer */

const STATUS = { away: "Reconnecting …", live: "Live", refused: "The service refuses this page" };

/** @type {{ service: string, questions: string[] }} */
const settings = await (await fetch("settings.json")).json();

// The conversation is in the address, so that other windows can follow it, too.
const address = new URL(location.href);
const conversation = address.searchParams.get("conversation") ?? crypto.randomUUID().slice(0, 8);
address.searchParams.set("conversation", conversation);
history.replaceState(null, "", address);

const input = /** @type {HTMLInputElement} */ (byId("question"));
/** @type {Map<string, ReturnType<typeof createEntry>>} */
const entries = new Map();

for (const question of settings.questions) {
  const button = element("button", "", question);
  button.addEventListener("click", () => void ask(question));
  byId("questions").append(element("li", "", button));
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = input.value.trim();
  if (question !== "") void ask(question).then((isSent) => isSent && (input.value = ""));
});

byId("stop").addEventListener("click", () => {
  for (const answer of openAnswers()) void post("stop", { answer });
});

const saved = load();
if (saved !== undefined) show(new Map(saved.items));
const following = follow(
  { url: settings.service, streamName: "ai-answers", groupId: conversation, saved },
  {
    onItems: show,
    onStatus(status, counts) {
      byId("status").textContent = STATUS[status];
      byId("status").dataset["status"] = status;
      byId("counts").textContent = textOf(counts);
    },
  },
);
addEventListener("pagehide", () => save(following.save()));

/** @param {Map<string, Answer>} answers */
function show(answers) {
  keepAtEnd(() => showAll(answers));
}

/** @param {Map<string, Answer>} answers */
function showAll(answers) {
  for (const [id, entry] of entries) {
    if (answers.has(id)) continue;
    entry.root.remove();
    entries.delete(id);
  }
  for (const [id, answer] of answers) {
    let entry = entries.get(id);
    if (entry === undefined) {
      entry = createEntry(id);
      entries.set(id, entry);
      byId("answers").append(entry.root);
    }
    entry.show(answer);
  }
  byId("welcome").hidden = answers.size > 0;
  byId("stop").hidden = openAnswers().length === 0;
}

/**
 * A reader at the end of the page stays there; one who has scrolled back is left alone.
 *
 * @param {() => void} work
 */
function keepAtEnd(work) {
  const main = byId("main");
  const wasAtEnd = main.clientHeight + main.scrollTop > main.scrollHeight - 80;
  work();
  if (wasAtEnd) main.scrollTop = main.scrollHeight;
}

/** Ids of the answers that are being written. */
function openAnswers() {
  return [...entries].filter(([, { root }]) => root.dataset["done"] === "false").map(([id]) => id);
}

/** @param {string} id */
function createEntry(id) {
  const question = element("p", "question");
  const text = document.createTextNode("");
  const answer = element("p", "answer", text);
  const state = element("p", "state");
  const root = element("li", "", question, answer, state);
  root.dataset["answer"] = id;
  return {
    root,
    /** @param {Answer} value */
    show(value) {
      question.textContent = value.question ?? "";
      const next = value.text ?? "";
      // Usually it has only grown.
      if (next.startsWith(text.data)) text.appendData(next.slice(text.length));
      else text.data = next;
      const isDone = value.done === true;
      root.dataset["done"] = String(isDone);
      state.textContent = isDone ? `${next.length} characters` : "Writing …";
    },
  };
}

/**
 * @param {string} question
 * @returns {Promise<boolean>} Whether it was sent.
 */
async function ask(question) {
  const isSent = await post("ask", { conversation, question });
  if (isSent) byId("main").scrollTop = byId("main").scrollHeight;
  return isSent;
}

/**
 * @param {string} path
 * @param {object} request
 * @returns {Promise<boolean>} Whether it was served.
 */
async function post(path, request) {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(request);
  const response = await fetch(path, { method: "POST", headers, body }).catch(() => undefined);
  const isServed = response?.ok === true;
  byId("notice").textContent = "The page cannot reach its server. Try again in a moment.";
  keepAtEnd(() => (byId("notice").hidden = isServed));
  return isServed;
}

/** @param {Counts} counts */
function textOf({ snapshots, resumes, deltas, bytes }) {
  const kilobytes = (bytes / 1000).toFixed(1);
  return `Received ${counted(snapshots, "snapshot")} · ${counted(resumes, "resume")} · ${counted(deltas, "delta")} · ${kilobytes} kB`;
}

/**
 * @param {number} count
 * @param {string} what
 */
function counted(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** @returns {State | undefined} */
function load() {
  try {
    return JSON.parse(sessionStorage.getItem(conversation) ?? "null") ?? undefined;
  } catch {
    // Storage may be forbidden. The page begins with a snapshot then.
    return undefined;
  }
}

/** @param {State} state */
function save(state) {
  try {
    sessionStorage.setItem(conversation, JSON.stringify(state));
  } catch {
    // As above, or it is full.
  }
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} className
 * @param {(string | Node)[]} content
 */
function element(name, className, ...content) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...content);
  return made;
}

/**
 * The demo page: one connection, the figures that `npm run demo` publishes, the people present,
 * their cursors, and a board that all windows share.
 */
import { BOARD, createBoard } from "./board.js";
import { createCursors } from "./cursors.js";
import { element, setText } from "./dom.js";
import { FIGURES, createFiguresView } from "./figures-view.js";
import { LOBBY, PRESENCE, createPeople } from "./people.js";
import { newcomer } from "./person.js";
import { loadSaved, savePage } from "./saved.js";
import { ServiceError, bridgeUrl } from "./service.js";
import { createStreamClient } from "./stream-client.js";

/** Interval at which the plots move and absent people are checked, in milliseconds. */
const TICK_MS = 1000;

const saved = loadSaved();
const self = saved?.self ?? newcomer();
const statusPill = element("status", HTMLElement);
const notice = element("notice", HTMLElement);
/** Whether the page was up to date once. */
let isKnown = saved !== undefined;
/** Whether the service refuses writes of this page. */
let isForbidden = false;

const client = createStreamClient({
  openSocket({ opened, received, closed }) {
    const socket = new WebSocket(bridgeUrl(location.href));
    socket.addEventListener("open", opened);
    socket.addEventListener("message", ({ data }) => received(data));
    socket.addEventListener("close", closed);
    return { send: (text) => socket.send(text), close: (code) => socket.close(code) };
  },
  onStatus: showStatus,
  nowMs: () => performance.now(),
  later(work, ms) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
});

const isLive = () => client.status === "live" && !isForbidden;
const figuresView = createFiguresView(saved?.histories);
const people = createPeople({ self, onColor: () => client.show(LOBBY) });
const board = createBoard({ isLive, onError, draft: saved?.draft });
const cursors = createCursors({
  selfId: self.id,
  other: people.other,
  hasViewers: () => isLive() && people.hasOthers,
});

const figures = client.follow(
  FIGURES,
  {
    onSync: (items, timestamp) => figuresView.replace(items, timestamp),
    onChange: (change) => figuresView.change(change),
    onRefused,
  },
  saved?.groups.figures,
);
client.follow(PRESENCE, {
  onSync: (items) => people.replace(items),
  onChange: (change) => people.change(change),
  onRefused,
});
client.follow(LOBBY, {
  presence: () => ({ ...self }),
  onHidden: forbid,
  onEvent: (type, data) => cursors.event(type, data),
  onRefused,
});
const shared = client.follow(
  BOARD,
  {
    onSync: (items) => board.replace(items),
    onChange: (change) => board.change(change),
    onRefused,
  },
  saved?.groups.board,
);

/** Shows the saved state before any frame arrives. */
function showKnown() {
  figuresView.replace(figures.items, 0);
  board.replace(shared.items);
}

function showStatus() {
  const { status } = client;
  if (status === "live") isKnown = true;
  statusPill.dataset["status"] = status === "live" ? "live" : "away";
  setText(statusPill, status === "live" ? "Live" : isKnown ? "Reconnecting …" : "Connecting …");
  document.body.classList.toggle("stale", status !== "live");
  board.refresh();
}

/** @param {unknown} error Of a write. */
function onError(error) {
  if (!(error instanceof ServiceError)) throw error;
  // When the service does not respond, the state of the connection shows it.
  if (error.code === "unavailable") return;
  if (error.isForbidden) forbid();
  else notify(error.message);
}

/** The service takes nothing from this page. */
function forbid() {
  if (isForbidden) return;
  isForbidden = true;
  board.freeze();
  notify(
    "This window can watch, but not write: the service takes writes from pages on its own machine only.",
  );
}

/** @param {string} message Why a group cannot be followed. */
function onRefused(message) {
  notify(`The service does not let this page watch: ${message}`);
}

/** @param {string} text */
function notify(text) {
  setText(notice, text);
  notice.hidden = false;
}

function tick() {
  figuresView.draw();
  people.sweep();
  cursors.sweep();
}

function leave() {
  savePage({
    self,
    groups: { figures: figures.save(), board: shared.save() },
    histories: figuresView.save(),
    draft: board.draft,
  });
  client.stop();
}

addEventListener("pagehide", leave);
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  // The browser restored the same page with its whole state.
  loadSaved();
  client.start();
});
addEventListener("offline", () => client.presumeLost());
addEventListener("online", () => client.hurry());
addEventListener("resize", figuresView.draw);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) client.hurry();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", figuresView.draw);

// Read-only statistics, for tests among others.
Object.defineProperty(window, "millraceDemo", {
  value: Object.freeze({
    self: self.id,
    get stats() {
      return { status: client.status, ...client.stats };
    },
    get positions() {
      return { figures: figures.position, board: shared.position };
    },
    /** Numbers of the changes that each group has received. */
    get changes() {
      return { figures: figures.changes, board: shared.changes };
    },
  }),
});

showKnown();
showStatus();
setInterval(tick, TICK_MS);
client.start();

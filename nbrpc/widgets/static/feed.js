// The rows are kept once for all views of a model; a view has nodes for the visible ones only.

const KEPT = 200;
const ROW = 22;
const MARGIN = 6;

let rows = []; // [number, seconds, text], the newest first
let held = null; // the rows while the feed is paused
let heldAt = 0; // the number of the newest event then
let number = 0; // that of the newest event
let figures = [0, 0, 0];
const views = new Set();

function initialize({ model, signal }) {
  const hold = () => {
    if (!model.get("paused")) held = null;
    else if (held === null) [held, heldAt] = [rows, number];
    views.forEach((view) => view());
  };
  model.on("change:paused", hold);
  receive(model, signal, (message) => {
    if (message?.kind !== "rows") return;
    const fresh = message.rows.filter((row) => message.whole || row[0] > number).reverse();
    rows = message.whole ? fresh : [...fresh, ...rows].slice(0, KEPT);
    number = Math.max(number, fresh[0]?.[0] ?? 0);
    figures = message.figures;
    hold();
  });
  model.send({ kind: "hello" });
}

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-feed");
  const head = make("div", "nbrpc-events-head");
  const title = make("span", "nbrpc-events-title");
  const buttons = make("div", "nbrpc-events-buttons");
  const clear = button("nbrpc-clear", "Clear", () => {
    [rows, held] = [[], held && []];
    model.send({ kind: "clear" });
    views.forEach((view) => view());
  });
  buttons.append(pauseButton(model, signal), clear);
  head.append(title, stateOf(model, el, signal), buttons);

  const list = make("div", "nbrpc-feed-list");
  list.setAttribute("role", "log");
  list.setAttribute("aria-live", "off");
  list.tabIndex = 0;
  const all = make("div", "nbrpc-feed-all");
  const none = make("div", "nbrpc-feed-none", "no events yet");
  list.append(all, none);

  const foot = make("div", "nbrpc-events-foot");
  const [rate, rateValue] = figureOf("events/s");
  const [received, receivedValue] = figureOf("received");
  const [dropped, droppedValue] = figureOf("dropped");
  const waiting = make("span", "nbrpc-feed-waiting");
  foot.append(rate, received, dropped, waiting);
  el.replaceChildren(head, list, foot);

  follow(model, ["title"], signal, () => {
    say(title, model.get("title"));
    list.setAttribute("aria-label", `latest events of ${model.get("title")}, newest first`);
  });

  const nodes = new Map(); // by number
  let newest = 0;

  /** Bring the visible rows up to date; who has scrolled down keeps the place. */
  function show() {
    const shown = held ?? rows;
    const added = newest ? shown.findIndex((row) => row[0] <= newest) : 0;
    all.style.height = `${shown.length * ROW}px`;
    if (added > 0 && list.scrollTop > 0) list.scrollTop += added * ROW;
    newest = shown.length ? shown[0][0] : 0;
    none.hidden = shown.length > 0;

    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - MARGIN);
    const last = Math.ceil((list.scrollTop + list.clientHeight) / ROW) + MARGIN;
    const visible = shown.slice(first, last);
    const kept = new Set(visible.map((row) => row[0]));
    for (const [number, node] of nodes) {
      if (kept.has(number)) continue;
      node.remove();
      nodes.delete(number);
    }
    visible.forEach(([number, seconds, text], index) => {
      let node = nodes.get(number);
      if (!node) {
        node = make("div", "nbrpc-feed-row");
        node.dataset.number = number;
        node.append(make("time", "", instant(seconds)), make("span", "", text));
        node.title = text;
        nodes.set(number, node);
        all.append(node);
      }
      node.style.top = `${(first + index) * ROW}px`;
    });

    say(rateValue, perSecond(figures[2]).replace("/s", ""));
    say(receivedValue, count(figures[0]));
    say(droppedValue, count(figures[1]));
    dropped.classList.toggle("nbrpc-figure-bad", figures[1] > 0);
    const since = held ? number - heldAt : 0;
    say(waiting, since > 0 ? `${count(since)} new since the pause` : "");
  }

  list.addEventListener("scroll", show, { passive: true });
  const seen = new ResizeObserver(show);
  seen.observe(list);
  views.add(show);
  signal.addEventListener("abort", () => {
    views.delete(show);
    seen.disconnect();
  });
  show();
}

export default { initialize, render };

// ResultBoard: many results over one channel. Only the rows that are in sight exist in the page.

const HEIGHT = 26; // pixels of a row, as in the style sheet
const MOST_SEEN = 12; // rows that are in sight at once
const RANK = { error: 0, lost: 0, expired: 0, cancelling: 1, pending: 1, cancelled: 2, ready: 3 };
const GROUPS = { 0: "failed", 1: "running", 2: "cancelled", 3: "done" };

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-board");
  const rows = new Map();
  let order = [];
  let heard = performance.now();

  const title = make("strong", "nbrpc-title");
  const sums = make("span", "nbrpc-sums");
  sums.setAttribute("role", "status");
  const which = make("select");
  which.setAttribute("aria-label", "show");
  for (const name of ["all", "failed", "running", "cancelled", "done"]) which.append(new Option(name, name));
  const words = make("input");
  words.type = "search";
  words.placeholder = "filter";
  words.setAttribute("aria-label", "filter by name");
  const cancelAll = button("nbrpc-cancel-all", "Cancel all", () => model.send({ kind: "cancel all" }));
  const tools = make("span", "nbrpc-tools");
  tools.append(which, words, cancelAll);
  const head = make("div", "nbrpc-head");
  head.append(title, sums, tools);
  const list = make("div", "nbrpc-rows");
  list.tabIndex = 0;
  list.setAttribute("role", "group");
  follow(model, ["title"], signal, () => {
    say(title, model.get("title"));
    list.setAttribute("aria-label", model.get("title"));
  });
  const space = make("div");
  space.setAttribute("role", "list");
  list.append(space);
  const frame = make("div", "nbrpc-frame");
  frame.append(head, list);
  el.append(frame);

  const running = (row) => RANK[row.state] === 1;
  const shown = new Map(); // the nodes of the rows in sight, by number

  function sort() {
    const wanted = words.value.trim().toLowerCase();
    order = [...rows.values()].filter(
      (row) =>
        (which.value === "all" || GROUPS[RANK[row.state]] === which.value) &&
        (!wanted || `${row.call} ${row.target} ${row.line}`.toLowerCase().includes(wanted)),
    );
    order.sort((one, other) => RANK[one.state] - RANK[other.state] || one.id - other.id);
    const counts = [0, 0, 0, 0];
    for (const row of rows.values()) counts[RANK[row.state]] += 1;
    const said = counts.map((number, rank) => number && `${number} ${GROUPS[rank]}`).filter(Boolean);
    say(sums, said.join(", ") || "no results");
    say(cancelAll, `Cancel all (${counts[1]})`);
    cancelAll.disabled = !counts[1];
    list.style.height = `${HEIGHT * Math.max(1, Math.min(MOST_SEEN, rows.size)) + 2}px`;
    space.style.height = `${HEIGHT * order.length}px`;
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 2);
    const seen = order.slice(first, first + MOST_SEEN + 4);
    const kept = new Set(seen.map((row) => row.id));
    for (const [id, node] of shown) {
      if (!kept.has(id)) {
        node.remove();
        shown.delete(id);
      }
    }
    const focused = document.activeElement;
    seen.forEach((row, index) => {
      if (!shown.has(row.id)) shown.set(row.id, makeRow(row.id));
      const node = shown.get(row.id);
      // In the order in which they are seen: so does the Tab key take them.
      if (space.children[index] !== node) space.insertBefore(node, space.children[index] ?? null);
      fill(node, row, first + index);
    });
    if (space.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  function makeRow(id) {
    const node = make("div", "nbrpc-row");
    node.setAttribute("role", "listitem");
    const bar = make("div", "nbrpc-bar");
    bar.append(make("div"));
    const detail = make("span", "nbrpc-detail");
    detail.append(make("span"), bar);
    node.append(
      make("span", "nbrpc-state"),
      make("code", "nbrpc-call"),
      make("span", "nbrpc-target nbrpc-quiet"),
      detail,
      make("span", "nbrpc-elapsed nbrpc-quiet"),
      button("nbrpc-cancel", "Cancel", () => model.send({ kind: "cancel", id })),
    );
    return node;
  }

  function fill(node, row, index) {
    const [state, call, target, detail, elapsed, cancel] = node.children;
    const [symbol, word] = STATES[row.state] ?? ["?", row.state];
    node.dataset.state = row.state;
    node.style.top = `${index * HEIGHT}px`;
    node.setAttribute("aria-posinset", index + 1);
    node.setAttribute("aria-setsize", order.length);
    say(state, `${symbol} ${word.split(",")[0]}`);
    say(call, row.call);
    call.title = row.call;
    say(target, row.target);
    const [said, bar] = detail.children;
    const { done, total, text } = row.progress;
    bar.hidden = !(running(row) && total);
    if (!bar.hidden) bar.firstChild.style.width = `${(100 * Math.min(done, total)) / total}%`;
    say(said, row.line || (running(row) && bar.hidden && done !== undefined ? `${done < 0 ? "" : figure(done)} ${text}` : ""));
    detail.title = row.line || text || "";
    const since = running(row) ? (performance.now() - row.received) / 1000 : 0;
    say(elapsed, duration(row.elapsed + since));
    cancel.hidden = !running(row);
    cancel.disabled = row.state === "cancelling";
    cancel.setAttribute("aria-label", `cancel ${row.call}`);
  }

  function take(changed) {
    heard = performance.now();
    for (const row of changed) rows.set(row.id, { ...row, received: heard });
    sort();
  }

  receive(model, signal, (message) => {
    if (message.kind !== "rows") return;
    for (const id of message.gone) rows.delete(id);
    take(message.rows);
  });
  list.addEventListener("scroll", draw);
  which.addEventListener("change", sort);
  words.addEventListener("input", sort);
  take(model.get("rows"));
  model.send({ kind: "hello" });

  const timer = setInterval(() => {
    if (document.hidden) return;
    el.classList.toggle("nbrpc-stale", performance.now() - heard > 12000 && order.some(running));
    draw();
  }, 500);
  signal.addEventListener("abort", () => clearInterval(timer));
}

export default { render };

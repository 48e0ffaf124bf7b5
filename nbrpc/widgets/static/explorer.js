// The tree of a remote object. Python holds it; here it is drawn, filtered and walked with keys.

const SIGNS = {
  object: "●", members: "⋯", data: "=", property: "P", event: "E", method: "ƒ", coroutine: "ƒ",
  generator: "ƒ", class: "C", module: "M", item: "#", more: "",
};
const WORDS = { data: "value", coroutine: "async method", generator: "generator method" };
const FORGET = 700; // milliseconds after which typed letters begin a new word

/** Make the empty row that `fill` completes. */
function makeRow(key) {
  const row = make("div", "nbrpc-row");
  row.setAttribute("role", "treeitem");
  row.dataset.key = key;
  row.tabIndex = -1;
  const parts = { twist: "span", sign: "span", word: "span", name: "code", text: "code" };
  for (const [part, tag] of Object.entries(parts)) row[part] = make(tag, `nbrpc-row-${part}`);
  for (const part of ["doc", "error"]) row[part] = make("span", `nbrpc-row-${part}`);
  row.read = make("button", "nbrpc-row-read", "read");
  row.read.type = "button";
  row.read.tabIndex = -1; // Enter on the row reads as well
  row.twist.setAttribute("aria-hidden", "true");
  row.sign.setAttribute("aria-hidden", "true");
  row.append(row.twist, row.sign, row.word, row.name, row.text, row.error, row.doc, row.read);
  return row;
}

/** Say what stands behind a name: how it is called, what it is, or of which class it will be. */
function textOf({ kind, text, signature, known }) {
  if (signature) return signature;
  if (!text) return "";
  if (known || kind === "data" || kind === "item") return ` = ${text}`;
  return kind === "property" ? `: ${text}` : ` ${text}`;
}

/** Show what one row says. */
function fill(row, said) {
  row.said = said;
  row.dataset.kind = said.kind;
  row.style.setProperty("--level", said.level - 1);
  row.setAttribute("aria-level", said.level);
  row.setAttribute("aria-busy", said.busy ? "true" : "false");
  const more = said.kind === "more";
  if (said.state) row.setAttribute("aria-expanded", said.state === "open" ? "true" : "false");
  else row.removeAttribute("aria-expanded");
  if (!more) {
    row.setAttribute("aria-setsize", said.of);
    row.setAttribute("aria-posinset", said.position);
  }
  say(row.twist, said.state ? "▸" : "");
  say(row.sign, SIGNS[said.kind] ?? "");
  say(row.word, more ? "" : `${WORDS[said.kind] ?? said.kind} `);
  row.sign.title = row.word.textContent.trim();
  say(row.name, more ? `more (${said.left.toLocaleString()} left)` : said.name);
  say(row.text, said.busy ? " ..." : textOf(said));
  row.text.classList.toggle("nbrpc-quiet", said.kind === "property" && !said.known);
  row.read.hidden = !said.reads;
  row.read.disabled = Boolean(said.busy);
  row.read.setAttribute("aria-label", `read ${said.name}`);
  say(row.error, said.error ?? "");
  say(row.doc, said.doc ?? "");
  const called = `${said.name ?? ""}${said.signature ?? ""}`;
  row.title = [called, said.doc].filter(Boolean).join("\n");
}

/** Give the rows that match a word, and those above them. */
function matching(rows, word) {
  const shown = new Set();
  const above = [];
  let count = 0;
  rows.forEach((said, index) => {
    above.length = said.level - 1;
    above[said.level - 1] = index;
    const text = `${said.name ?? ""} ${said.kind} ${said.text ?? ""} ${said.doc ?? ""}`;
    if (said.kind === "more" || !text.toLowerCase().includes(word)) return;
    count += 1;
    above.forEach((one) => shown.add(one));
  });
  return [shown, count];
}

/** Move the focus over the rows that are shown, as trees are walked with keys. */
function walker(tree, act) {
  let typed = "";
  let last = 0;
  const shown = () => [...tree.children].filter((row) => !row.hidden);
  const moves = {
    ArrowDown: (rows, at) => rows[at + 1],
    ArrowUp: (rows, at) => rows[at - 1],
    Home: (rows) => rows[0],
    End: (rows) => rows[rows.length - 1],
    ArrowRight: (rows, at) => {
      const { state, level } = rows[at].said;
      if (state === "closed") act(rows[at], "open");
      const next = rows[at + 1];
      return state === "open" && next && next.said.level > level ? next : null;
    },
    ArrowLeft: (rows, at) => {
      const { state, level } = rows[at].said;
      if (state === "open") return act(rows[at], "close");
      return rows.slice(0, at).reverse().find((row) => row.said.level < level);
    },
  };
  const type = (rows, at, key, now) => {
    typed = now - last > FORGET ? key : typed + key;
    last = now;
    const from = typed.length > 1 ? at : at + 1;
    const order = [...rows.slice(from), ...rows.slice(0, from)];
    const word = typed.toLowerCase();
    return order.find((row) => (row.said.name ?? "more").toLowerCase().startsWith(word));
  };
  return (event) => {
    const row = event.target;
    if (row.getAttribute("role") !== "treeitem") return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = shown();
    const at = rows.indexOf(row);
    let next = null;
    if (moves[event.key]) next = moves[event.key](rows, at);
    else if (event.key === "Enter" || event.key === " ") act(row, "");
    else if (event.key.length === 1) next = type(rows, at, event.key, event.timeStamp);
    else return;
    event.preventDefault();
    if (next) next.focus();
  };
}

/** The rows of a tree: which there are, which are shown, and which of them Tab reaches. */
class Rows {
  constructor(model, tree, filter, status) {
    Object.assign(this, { model, tree, filter, status });
    this.known = new Map();
    this.active = null; // the key of the row that Tab reaches
    this.after = null; // the row for more that was pressed: the focus goes on from there
  }

  /** Do what a press on a row means, or what is named. */
  act(row, what) {
    const { node, kind, state, reads, busy } = row.said;
    if (busy) return;
    if (kind === "more") {
      const rows = [...this.tree.children];
      this.after = { key: row.dataset.key, count: rows.length, index: rows.indexOf(row) };
      this.model.send({ kind: "more", node });
      return;
    }
    const wanted = what || (reads && !state ? "read" : { open: "close", closed: "open" }[state]);
    if (wanted) this.model.send({ kind: wanted, node });
  }

  /** Make a row the one that Tab reaches. */
  activate(row) {
    if (this.known.has(this.active)) this.known.get(this.active).tabIndex = -1;
    this.active = row.dataset.key;
    row.tabIndex = 0;
  }

  /** Show the rows that match what is typed into the filter. */
  sift() {
    const word = this.filter.value.trim().toLowerCase();
    const rows = [...this.tree.children];
    const [shown, count] = word ? matching(rows.map((row) => row.said), word) : [null, 0];
    rows.forEach((row, index) => { row.hidden = shown !== null && !shown.has(index); });
    say(this.status, word ? `${count} of ${rows.length} rows` : "");
    const current = this.known.get(this.active);
    if (current && !current.hidden) return;
    const first = rows.find((row) => !row.hidden);
    if (first) this.activate(first);
  }

  /** Bring the rows up to date; those that stay keep their place and the focus. */
  draw() {
    const hadFocus = this.tree.contains(document.activeElement);
    const before = [...this.tree.children].findIndex((row) => row.dataset.key === this.active);
    this.lay(this.model.get("rows"));
    const rows = [...this.tree.children];
    let current = this.known.get(this.active);
    if (!current && rows.length) current = rows[Math.max(0, Math.min(before, rows.length - 1))];
    if (this.after && rows.length > this.after.count) {
      if (this.active === this.after.key) current = rows[this.after.index];
      this.after = null;
    }
    if (current) this.activate(current);
    this.sift();
    const focused = document.activeElement.closest(".nbrpc-row");
    if (hadFocus && current && focused !== current) current.focus({ preventScroll: true });
  }

  /** Put the rows in, in their order. */
  lay(rows) {
    const keys = new Set();
    let place = this.tree.firstChild;
    for (const said of rows) {
      const key = `${said.kind === "more" ? "more" : "node"}-${said.node}`;
      keys.add(key);
      if (!this.known.has(key)) this.known.set(key, makeRow(key));
      const row = this.known.get(key);
      fill(row, said);
      if (row === place) place = place.nextSibling;
      else this.tree.insertBefore(row, place);
    }
    for (const [key, row] of this.known) {
      if (keys.has(key)) continue;
      this.known.delete(key);
      row.remove();
    }
  }
}

/** Make the line above the tree; gives its parts. */
function makeHead() {
  const head = make("div", "nbrpc-head");
  const [title, place] = [make("strong"), make("span", "nbrpc-quiet")];
  const filter = make("input", "nbrpc-filter");
  filter.type = "search";
  filter.placeholder = "filter";
  filter.setAttribute("aria-label", "filter the rows that are open");
  const status = make("span", "nbrpc-explorer-status nbrpc-quiet");
  status.setAttribute("role", "status");
  head.append(title, place, filter, status);
  return { head, title, place, filter, status };
}

/** Have rows answer the mouse, the keys and the filter. */
function listen(rows, tree, filter) {
  tree.addEventListener("click", (event) => {
    const row = event.target.closest(".nbrpc-row");
    if (!row) return;
    rows.activate(row);
    row.focus();
    rows.act(row, event.target === row.read ? "read" : "");
  });
  tree.addEventListener("focusin", (event) => {
    const row = event.target.closest(".nbrpc-row");
    if (row) rows.activate(row);
  });
  tree.addEventListener("keydown", walker(tree, (row, what) => rows.act(row, what)));
  filter.addEventListener("input", () => rows.sift());
}

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-explorer");
  const { head, title, place, filter, status } = makeHead();
  const notice = make("div", "nbrpc-notice");
  notice.setAttribute("role", "alert");
  const tree = make("div", "nbrpc-tree");
  tree.setAttribute("role", "tree");
  el.append(head, notice, tree);
  const rows = new Rows(model, tree, filter, status);
  listen(rows, tree, filter);
  follow(model, ["title", "place"], signal, () => {
    say(title, model.get("title"));
    say(place, `at ${model.get("place")}`);
    tree.setAttribute("aria-label", `members of ${model.get("title")}`);
  });
  follow(model, ["state", "notice"], signal, () => {
    el.dataset.state = model.get("state");
    say(notice, model.get("notice"));
    notice.hidden = !model.get("notice");
  });
  follow(model, ["rows"], signal, () => rows.draw());
}

export default { render };

// SubscriptionTable: the subscriptions of the kernel, each with its figures and a Stop button.

const FIGURES = ["received", "dropped", "errors", "queued"];
const STALE = 12000; // milliseconds without news: the kernel sends some every five seconds

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-events");
  const sums = make("span", "nbrpc-sums");
  const news = make("span", "nbrpc-quiet");
  news.setAttribute("role", "status");
  const head = make("div", "nbrpc-head");
  head.append(sums, news);
  const table = make("table");
  const names = make("tr");
  for (const name of ["event", "of", "on", "rate", ...FIGURES]) {
    const cell = make("th", FIGURES.includes(name) || name === "rate" ? "nbrpc-number" : "", name);
    cell.scope = "col";
    names.append(cell);
  }
  names.append(make("td"));
  const body = make("tbody");
  const heads = make("thead");
  heads.append(names);
  table.append(heads, body);
  const frame = make("div", "nbrpc-frame");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "subscriptions");
  frame.append(table);
  el.append(head, frame);

  const shown = new Map(); // rows by the number of their subscription: focus survives an update

  function makeRow(row) {
    const node = make("tr");
    const event = make("th", "", row.event);
    event.scope = "row";
    node.append(event, make("td", "", row.object), make("td", "", row.connection));
    for (const name of ["rate", ...FIGURES]) node.append(make("td", `nbrpc-number nbrpc-${name}`));
    const last = make("td");
    const stop = button("nbrpc-stop", "Stop", () => {
      stop.disabled = true;
      model.send({ kind: "stop", id: row.id });
    }, `stop ${row.event} on ${row.connection}`);
    last.append(stop);
    node.append(last);
    return node;
  }

  function fill(node, row) {
    const said = row.ended === null ? `${row.rate.toLocaleString()}/s` : "ended";
    say(node.querySelector(".nbrpc-rate"), said);
    node.title = row.ended === null ? "" : row.ended;
    node.dataset.state = row.ended === null ? "open" : "ended";
    for (const name of FIGURES) {
      const cell = node.querySelector(`.nbrpc-${name}`);
      say(cell, row[name].toLocaleString());
      cell.classList.toggle("nbrpc-bad", row[name] > 0 && name === "errors");
      cell.classList.toggle("nbrpc-warning", row[name] > 0 && name === "dropped");
    }
    const last = node.lastElementChild;
    if (row.ended !== null && last.firstElementChild !== null) {
      last.replaceChildren(make("span", "nbrpc-quiet nbrpc-reason", row.ended));
    }
  }

  function draw() {
    const rows = model.get("rows");
    const kept = new Set(rows.map((row) => row.id));
    for (const [id, node] of shown) {
      if (kept.has(id)) continue;
      node.remove();
      shown.delete(id);
    }
    rows.forEach((row, index) => {
      if (!shown.has(row.id)) shown.set(row.id, makeRow(row));
      const node = shown.get(row.id);
      if (body.children[index] !== node) body.insertBefore(node, body.children[index] ?? null);
      fill(node, row);
    });
    const more = model.get("more");
    const open = rows.filter((row) => row.ended === null).length + more;
    say(sums, open === 1 ? "1 subscription" : `${open || "no"} subscriptions`);
    if (more) say(sums, `${open} subscriptions, ${more} of them not shown`);
    frame.hidden = !rows.length;
  }

  let heard = performance.now();
  follow(model, ["rows", "more", "as_of"], signal, () => {
    heard = performance.now();
    draw();
  });
  const timer = setInterval(() => {
    const stale = performance.now() - heard > STALE;
    el.classList.toggle("nbrpc-stale", stale);
    say(news, stale ? `no news from the kernel; as of ${clock(model.get("as_of"))}` : "");
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

export default { render };

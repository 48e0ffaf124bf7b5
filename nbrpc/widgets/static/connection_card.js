// The card of a connection. A page that shows it says so, and figures are measured only then.

const BEAT = 2000; // milliseconds between two signs that somebody looks
const DOUBT = 4000; // milliseconds within which a second press disconnects
const SAID = {
  open: ["✓", "open"],
  silent: ["⌛", "silent: it does not answer, and calls wait"],
  reconnecting: ["…", "reconnecting"],
  closed: ["✗", "closed"],
  lost: ["✗", "connection lost"],
};

/** Bring a table of names and values up to date, in place. */
function tabulate(body, rows) {
  while (body.children.length > rows.length) body.lastChild.remove();
  rows.forEach(([name, value], index) => {
    let row = body.children[index];
    if (!row) {
      row = make("tr");
      const head = make("th", "nbrpc-quiet");
      head.scope = "row";
      row.append(head, make("td", "nbrpc-figures"));
      body.append(row);
    }
    say(row.children[0], name);
    say(row.children[1], value);
  });
}

/** A button that acts when it is pressed twice. */
function makeDisconnect(model, signal) {
  let doubt = null;
  const calm = () => {
    clearTimeout(doubt);
    doubt = null;
    say(press, "Disconnect");
    press.classList.remove("nbrpc-sure");
  };
  const press = button("nbrpc-disconnect", "Disconnect", () => {
    if (doubt !== null) {
      calm();
      model.send({ kind: "disconnect" });
      return;
    }
    say(press, "Really disconnect?");
    press.classList.add("nbrpc-sure");
    doubt = setTimeout(calm, DOUBT);
  });
  press.addEventListener("blur", calm);
  signal.addEventListener("abort", calm);
  return press;
}

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-card");
  const head = make("div", "nbrpc-head");
  const status = make("span", "nbrpc-card-status");
  status.setAttribute("role", "status");
  const title = make("strong");
  const disconnect = makeDisconnect(model, signal);
  const reason = make("span", "nbrpc-card-reason");
  head.append(title, status, reason, disconnect);
  const code = make("div", "nbrpc-card-code");
  const danger = make("div", "nbrpc-card-danger");
  danger.setAttribute("role", "alert");
  const tables = make("div", "nbrpc-card-tables");
  const [facts, figures] = [make("tbody"), make("tbody")];
  for (const body of [facts, figures]) {
    const table = make("table");
    table.append(body);
    tables.append(table);
  }
  facts.parentNode.setAttribute("aria-label", "what it is");
  figures.parentNode.setAttribute("aria-label", "how it is doing");
  el.append(head, danger, code, tables);

  follow(model, ["title"], signal, () => say(title, model.get("title")));
  follow(model, ["facts"], signal, () => tabulate(facts, model.get("facts")));
  follow(model, ["figures"], signal, () => tabulate(figures, model.get("figures")));
  follow(model, ["allows_code"], signal, () => {
    const allowed = model.get("allows_code");
    code.classList.toggle("nbrpc-loud", allowed);
    say(code, allowed ? "⚠ remote code is allowed: cells of this notebook run in that process"
      : "remote code is not allowed");
  });
  follow(model, ["danger"], signal, () => {
    const said = model.get("danger");
    danger.hidden = !said;
    say(danger, said && `⚠ ${said}`);
  });
  follow(model, ["state", "reason"], signal, () => {
    const state = model.get("state");
    el.dataset.state = state;
    const [icon, word] = SAID[state] ?? SAID.lost;
    say(status, `${icon} ${word}`);
    say(reason, model.get("reason"));
    disconnect.disabled = state === "closed" || state === "lost";
  });

  const beat = () => {
    if (document.visibilityState !== "visible" || el.offsetParent === null) return;
    if (disconnect.disabled) return;
    try {
      model.send({ kind: "seen" });
    } catch {
      // The kernel is gone, and the channel with it: the card stays as it was.
    }
  };
  beat();
  const beats = setInterval(beat, BEAT);
  signal.addEventListener("abort", () => clearInterval(beats));
}

export default { render };

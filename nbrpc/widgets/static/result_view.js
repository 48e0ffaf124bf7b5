// ResultView: one AsyncResult. The page counts the time by itself; the kernel sends changes only,
// and a sign of life every five seconds while the result runs.

const SILENT = 12; // seconds without a sign of life from the kernel, or without news of the remote
const FAR = 1e7; // seconds; a remaining time beyond says nothing
const PATIENCE = 3; // seconds of cancelling after which waiting may be given up

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-result");
  const running = () => ["pending", "cancelling"].includes(model.get("state"));

  const icon = make("span", "nbrpc-icon");
  icon.setAttribute("aria-hidden", "true");
  const word = make("span");
  const status = make("span", "nbrpc-state");
  status.setAttribute("role", "status");
  status.append(icon, word);
  const call = make("code", "nbrpc-call");
  const target = make("span", "nbrpc-target nbrpc-quiet");
  const elapsed = make("span", "nbrpc-elapsed nbrpc-figures nbrpc-quiet");
  const cancel = button("nbrpc-cancel", "Cancel", () => {
    model.send({ kind: "cancel" });
    cancel.disabled = true;
  });
  const head = make("div", "nbrpc-head");
  head.append(status, call, target, elapsed, cancel);

  const bar = make("div", "nbrpc-bar");
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-label", "progress");
  const filled = make("div");
  bar.append(filled);
  const said = make("span", "nbrpc-said nbrpc-quiet nbrpc-figures");
  const progress = make("div", "nbrpc-progress");
  progress.append(bar, said);

  const note = make("div", "nbrpc-note nbrpc-quiet");
  const noted = make("span");
  const abandon = button("nbrpc-abandon", "Abandon", () => model.send({ kind: "abandon" }));
  abandon.hidden = true;
  note.append(noted, " ", abandon);

  const output = make("pre", "nbrpc-output");
  output.tabIndex = 0;
  output.setAttribute("role", "group");
  output.setAttribute("aria-label", "output");
  const folded = make("details");
  folded.append(make("summary", "", "output"), output);
  const outcome = make("div", "nbrpc-outcome");
  const copy = button("nbrpc-copy", "Copy", async () => {
    await navigator.clipboard.writeText(model.get("report"));
    say(copy, "Copied");
    setTimeout(() => say(copy, "Copy"), 2000);
  }, "copy the error as text");
  el.append(head, progress, note, folded, outcome, copy);

  let received = performance.now();
  let messages = -1;
  let cancellingSince = 0;
  let follows = true;
  output.addEventListener("scroll", () => {
    follows = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
  });

  function tick() {
    const since = (performance.now() - received) / 1000;
    // A view of a notebook that was saved: whether a kernel is behind it, its next sign of life says.
    const old = !messages && Math.abs(Date.now() / 1000 - model.get("as_of")) > 4 * SILENT;
    const stale = running() && (since > SILENT || old);
    const now = model.get("elapsed") + (running() && !stale ? since : 0);
    say(elapsed, duration(now));
    el.classList.toggle("nbrpc-stale", stale);
    const quiet = now - model.get("heard");
    const waited = cancellingSince ? (performance.now() - cancellingSince) / 1000 : 0;
    abandon.hidden = stale || waited < PATIENCE || model.get("state") !== "cancelling";
    if (stale) say(noted, `as of ${clock(model.get("as_of"))}: no word from the kernel`);
    else if (!abandon.hidden) say(noted, "the remote is still busy");
    else if (model.get("state") === "pending" && quiet > SILENT)
      say(noted, `no news for ${duration(Math.floor(quiet)).replace(".0 ", " ")}`);
    else say(noted, "");
  }

  follow(model, ["elapsed", "as_of", "heard"], signal, () => {
    received = performance.now();
    messages += 1;
    tick();
  });
  follow(model, ["call", "target"], signal, () => {
    say(call, model.get("call"));
    call.title = model.get("call");
    say(target, model.get("target") && `on ${model.get("target")}`);
  });
  follow(model, ["state"], signal, () => {
    const state = model.get("state");
    const [symbol, said] = STATES[state] ?? ["?", state];
    el.dataset.state = state;
    say(icon, symbol);
    say(word, said);
    cancellingSince = state === "cancelling" ? cancellingSince || performance.now() : 0;
    const hadFocus = cancel.matches(":focus");
    cancel.hidden = !running();
    cancel.disabled = state === "cancelling";
    if (hadFocus && cancel.hidden) el.focus({ preventScroll: true });
    progress.hidden = !running();
    folded.open = state !== "ready";
    tick();
  });
  follow(model, ["progress", "state"], signal, () => {
    const { done, total, text } = model.get("progress");
    const known = total !== undefined && total !== null;
    bar.classList.toggle("nbrpc-unknown", !known);
    filled.style.width = known ? `${(100 * Math.min(done, total)) / total}%` : "";
    if (known) {
      bar.setAttribute("aria-valuemax", total);
      bar.setAttribute("aria-valuenow", Math.min(done, total));
    } else bar.removeAttribute("aria-valuenow");
    const parts = [];
    if (done !== undefined) {
      const rate = done / Math.max(model.get("elapsed"), 0.001);
      if (known) parts.push(`${figure(done)} of ${figure(total)}`);
      else if (done >= 0) parts.push(figure(done)); // else it has not begun
      if (text) parts.push(text);
      if (rate > 0) parts.push(`${figure(Number(rate.toPrecision(2)))}/s`);
      const left = known && rate > 0 ? (total - done) / rate : 0;
      if (left > 0 && left < FAR) parts.push(`${duration(left)} left`);
    }
    say(said, parts.join(" \u00b7 "));
  });
  follow(model, ["tail"], signal, () => {
    coloured(output, model.get("tail"));
    folded.hidden = !model.get("tail");
    if (follows) output.scrollTop = output.scrollHeight;
  });
  follow(model, ["outcome", "report"], signal, () => {
    sanitised(outcome, model.get("outcome"));
    copy.hidden = !model.get("report");
  });
  el.tabIndex = -1;

  const timer = setInterval(() => running() && !document.hidden && tick(), 100);
  signal.addEventListener("abort", () => clearInterval(timer));
}

export default { render };

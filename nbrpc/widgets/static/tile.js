const STALE = 10; // seconds without news after which the value is dimmed

/** Say a time in its largest unit. */
function roughly(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-tile");
  const label = make("div", "nbrpc-tile-label");
  const value = make("div", "nbrpc-tile-value");
  const trend = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  trend.setAttribute("class", "nbrpc-tile-trend");
  trend.setAttribute("viewBox", "0 0 100 28");
  trend.setAttribute("preserveAspectRatio", "none");
  trend.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  trend.append(line);
  const foot = make("div", "nbrpc-tile-foot");
  const age = make("span", "nbrpc-tile-age");
  const state = make("span", "nbrpc-tile-state");
  state.setAttribute("role", "status");
  foot.append(state, age);
  el.replaceChildren(label, value, trend, foot);

  // What came before this page opened is as old as the clocks say, what comes now is new.
  let came = performance.now() - Math.max(0, Date.now() - model.get("at") * 1000);

  function tick() {
    const known = model.get("at") > 0;
    const seconds = Math.max(0, (performance.now() - came) / 1000);
    const going = model.get("state") === "live";
    const stale = known && seconds >= STALE;
    const since = roughly(seconds);
    el.dataset.stale = stale;
    say(age, !known ? "" : stale && going ? `no news for ${since}` : seconds < 1 ? "now" : `${since} ago`);
  }

  follow(model, ["at"], signal, () => {
    if (model.get("at") > 0 && value.textContent) came = performance.now();
    tick();
  });
  follow(model, ["title"], signal, () => {
    say(label, model.get("title"));
    label.title = model.get("title");
  });
  follow(model, ["state", "reason"], signal, () => {
    const now = model.get("state");
    const [sign, text] = SOURCES[now] ?? SOURCES.waiting;
    el.dataset.state = now;
    const reason = model.get("reason");
    state.title = reason || text;
    say(state, now === "live" ? "" : `${sign} ${now === "waiting" ? "waiting" : text}`);
    tick();
  });
  follow(model, ["value", "number"], signal, () => {
    const number = model.get("number");
    const text = number === null ? model.get("value") || "–" : figure(number);
    el.classList.toggle("nbrpc-tile-long", text.length > 12);
    say(value, text);
    value.title = text;
  });
  follow(model, ["trend"], signal, () => {
    const numbers = model.get("trend");
    trend.style.visibility = numbers.length > 1 ? "" : "hidden";
    if (numbers.length < 2) return;
    const low = Math.min(...numbers);
    const high = Math.max(...numbers);
    const points = numbers.map((number, index) => {
      const x = (100 * index) / (numbers.length - 1);
      const y = high > low ? 26 - (24 * (number - low)) / (high - low) : 14;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    line.setAttribute("points", points.join(" "));
  });
  every(1, signal, tick);
}

export default { render };

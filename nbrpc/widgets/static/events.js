// Shared by the widgets of events: their header, and what they say of their source.

const SOURCES = {
  waiting: ["○", "waiting for the first event"],
  live: ["●", "live"],
  lost: ["✕", "connection lost"],
  ended: ["■", "ended"],
};

/** Say a count with its thousands apart. */
function count(value) {
  return Number(value).toLocaleString("en");
}

/** Say how many there are in a second, in a text that is calm. */
function perSecond(value) {
  const shown = value >= 100 ? Math.round(value) : Number(value).toFixed(1);
  return `${count(shown)}/s`;
}

/** Say the time of day to the millisecond. */
function instant(seconds) {
  const date = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Make what tells the state of the source: an icon, and a word that screen readers announce. */
function stateOf(model, el, signal) {
  const node = make("span", "nbrpc-source");
  const icon = make("span", "nbrpc-source-icon");
  icon.setAttribute("aria-hidden", "true");
  const word = make("span");
  word.setAttribute("role", "status");
  node.append(icon, word);
  follow(model, ["state", "reason", "paused"], signal, () => {
    const state = model.get("state");
    const [sign, text] = SOURCES[state] ?? SOURCES.waiting;
    const going = state === "live" || state === "waiting";
    const paused = Boolean(model.get("paused")) && going;
    const reason = model.get("reason");
    el.dataset.state = state;
    el.dataset.paused = paused;
    say(icon, paused ? "❚❚" : sign);
    say(word, paused ? "paused" : reason ? `${text}: ${reason}` : text);
  });
  return node;
}

/** Make the button that holds a widget still and lets it go again, in all its views. */
function pauseButton(model, signal) {
  const node = button("nbrpc-pause", "Pause", () => {
    model.set("paused", !model.get("paused"));
    model.save_changes();
  });
  follow(model, ["paused"], signal, () => {
    say(node, model.get("paused") ? "Resume" : "Pause");
  });
  return node;
}

/** Make a figure after its name, in a field that keeps its width. */
function figureOf(name) {
  const node = make("span", "nbrpc-figure");
  const value = make("span", "nbrpc-figure-value", "0");
  node.append(`${name} `, value);
  return [node, value];
}

/** Call a function every so many seconds until the view is gone. */
function every(seconds, signal, act) {
  const timer = setInterval(act, seconds * 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

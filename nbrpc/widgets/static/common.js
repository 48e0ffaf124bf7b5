// Shared by all widgets of nbrpc; put before each of their modules.
//
// Whatever a peer has sent enters a page as text (textContent), or as HTML that Python has sanitised
// and that `sanitised` puts in. Nothing else may set innerHTML.

/** Make an element with a class and a text. */
function make(tag, name = "", text = null) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== null) node.textContent = text;
  return node;
}

/** Make a button that acts on click, and on Enter and Space as all buttons do. */
function button(name, text, act, label = "") {
  const node = make("button", name, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", act);
  return node;
}

/** Set a text only where it differs: screen readers announce every change. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Say how long something took, in figures that a person reads; as page.py does. */
function duration(seconds) {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${Number((seconds * 1e3).toPrecision(3))} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${whole % 60} s`;
}

/** Say a number in few characters. */
function figure(value) {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 1e-4)) return value.toExponential(3);
  return String(Number(value.toPrecision(6)));
}

/** Say the time of day of a moment in seconds since 1970. */
function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

const NAMED = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Show text with its colour sequences (SGR) as spans; all other sequences are gone already. */
function coloured(node, text) {
  const parts = text.split(/\x1b\[([0-9;:]*)m/);
  node.replaceChildren();
  let colour = "";
  let bold = false;
  parts.forEach((part, index) => {
    if (index % 2) {
      for (const code of (part || "0").split(/[;:]/).map(Number)) {
        if (code === 0) [colour, bold] = ["", false];
        else if (code === 1) bold = true;
        else if (code === 22) bold = false;
        else if (code === 39) colour = "";
        else if (code >= 30 && code <= 37) colour = NAMED[code - 30];
        else if (code >= 90 && code <= 97) colour = NAMED[code - 90];
      }
    } else if (part) {
      const names = [colour && `nbrpc-ansi-${colour}`, bold && "nbrpc-ansi-bold"].filter(Boolean);
      node.append(names.length ? make("span", names.join(" "), part) : part);
    }
  });
}

/** Put in HTML that Python has sanitised. */
function sanitised(node, html) {
  node.innerHTML = html;
}

/** Keep keys from the notebook around: typing inside must not run or delete cells. */
function ownKeys(node) {
  node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.classList.add("lm-suppress-shortcuts", "nbrpc");
  for (const kind of ["keydown", "keyup", "keypress"]) {
    node.addEventListener(kind, (event) => event.stopPropagation());
  }
}

/** Call a function for every change of some traits, and once now; until the view is gone. */
function follow(model, names, signal, act) {
  for (const name of names) {
    model.on(`change:${name}`, act);
    signal.addEventListener("abort", () => model.off(`change:${name}`, act));
  }
  act();
}

/** Take the custom messages of the kernel until the view is gone. */
function receive(model, signal, act) {
  model.on("msg:custom", act);
  signal.addEventListener("abort", () => model.off("msg:custom", act));
}

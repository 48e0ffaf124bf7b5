// The samples are kept once for all views of a model. A view thins them to its pixels, the lowest
// and the highest of each column, before uPlot draws; and it draws only what is visible and new.

const MOST_NUMBERS = 2_000_000;
const MOST_ON_CURVE = 10_000;
const HEIGHT = 240;
const COLOURS = 8;
const MISSING = Infinity; // the event said nothing of this series; NaN is a gap in its line
const ASK_AGAIN = 5000; // milliseconds between two requests for what was lost on the way

/** Samples in the order in which they came: x and one column for each series. */
class Samples {
  constructor() {
    this.clear(-1);
  }

  clear(generation) {
    this.generation = generation;
    this.names = [];
    this.latest = [];
    this.ascending = true;
    this.end = null; // the number of the sample that should come next
    this.columns = [new Float64Array(1024)];
    this.from = 0;
    this.to = 0;
  }

  get length() {
    return this.to - this.from;
  }

  get first() {
    return this.columns[0][this.from];
  }

  get last() {
    return this.length ? this.columns[0][this.to - 1] : null;
  }

  /** Take a message of the kernel; false when samples before it are missing. */
  take(message, buffer, whole) {
    if (whole || message.generation !== this.generation) this.clear(message.generation);
    const complete = this.end === null ? whole || message.start === 0 : message.start <= this.end;
    this.end = message.end;
    this.latest = message.latest;
    this.ascending = message.ascending;
    const rows = message.rows;
    while (this.names.length < message.names.length) {
      this.names.push(message.names[this.names.length]);
      this.columns.push(new Float64Array(this.columns[0].length).fill(MISSING, this.from, this.to));
    }
    this.reserve(rows);
    // The buffer may begin anywhere in what was received: numbers must be aligned, so copy them.
    const bytes = buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
    const numbers = new Float64Array(bytes);
    this.columns.forEach((column, index) => {
      column.set(numbers.subarray(index * rows, (index + 1) * rows), this.to);
    });
    this.to += rows;
    return complete;
  }

  /** Make room for some more rows. */
  reserve(rows) {
    const size = this.columns[0].length;
    if (this.to + rows <= size) return;
    const needed = this.length + rows;
    const larger = needed * 2 > size ? Math.max(2 * size, 2 * needed) : size;
    this.columns = this.columns.map((column) => {
      const moved = new Float64Array(larger);
      moved.set(column.subarray(this.from, this.to));
      return moved;
    });
    this.to -= this.from;
    this.from = 0;
  }

  /** Forget what lies before an x, and the oldest where there is no more room. */
  trim(x) {
    if (this.ascending && this.length) this.from = this.indexOf(x);
    const most = Math.floor(MOST_NUMBERS / this.columns.length);
    this.from = Math.max(this.from, this.to - most);
  }

  /** The index of the first sample at an x or after it. */
  indexOf(x) {
    const xs = this.columns[0];
    let [low, high] = [this.from, this.to];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Thin samples to two for each pixel column: where the lowest and the highest of each series are. */
function forPixels(samples, left, right, pixels) {
  const [xs, ...columns] = samples.columns;
  const begin = Math.max(samples.from, samples.indexOf(left) - 1);
  const end = Math.min(samples.to, samples.indexOf(right) + 2);
  // For uPlot null is a gap, and undefined no value at all.
  const real = (value) => (Number.isNaN(value) ? null : value === MISSING ? undefined : value);
  if (end - begin <= 2 * pixels) {
    return [xs, ...columns].map((column) => Array.from(column.subarray(begin, end), real));
  }
  // The limits of the columns stay where they are while the window moves: nothing flickers.
  const step = (right - left) / pixels;
  const thin = [[], ...columns.map(() => [])];
  let index = begin;
  while (index < end) {
    const limit = (Math.floor(xs[index] / step) + 1) * step;
    let next = index + 1;
    while (next < end && xs[next] < limit) next += 1;
    thin[0].push(xs[index], xs[next - 1]);
    columns.forEach((column, series) => {
      let [low, high, lowAt, highAt] = [Infinity, -Infinity, -1, -1];
      for (let at = index; at < next; at += 1) {
        const value = column[at];
        if (value === MISSING) continue;
        if (value < low) {
          low = value;
          lowAt = at;
        }
        if (value > high) {
          high = value;
          highAt = at;
        }
      }
      if (lowAt < 0) thin[series + 1].push(real(column[index]), real(column[index]));
      else if (lowAt <= highAt) thin[series + 1].push(low, high);
      else thin[series + 1].push(high, low);
    });
    index = next;
  }
  return thin;
}

const samples = new Samples();
const views = new Set();
let figures = [0, 0, 0, 0, "", false];
let frozen = null; // the last x when the chart was paused

function initialize({ model, signal }) {
  const token = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  let asked = performance.now();
  const hello = () => model.send({ kind: "hello", token });
  receive(model, signal, (message, buffers) => {
    if (message?.kind !== "samples" || (message.to && message.to !== token)) return;
    const complete = samples.take(message, buffers[0], Boolean(message.to));
    if (!complete && performance.now() - asked > ASK_AGAIN) {
      asked = performance.now();
      hello();
    }
    figures = message.figures;
    if (model.get("paused")) frozen ??= samples.last;
    const edges = [...views].map((view) => view.left()).filter((edge) => edge !== null);
    samples.trim(Math.min((frozen ?? samples.last) - model.get("window"), ...edges));
    views.forEach((view) => view.changed());
  });
  model.on("change:paused", () => {
    frozen = model.get("paused") ? samples.last : null;
    views.forEach((view) => view.changed());
  });
  hello();
}

/** Follow the theme of the page: call a function whenever it may have changed. */
function followTheme(signal, act) {
  const soon = () => {
    act();
    setTimeout(act, 300); // a style sheet may arrive after the attribute that names it
  };
  const observer = new MutationObserver(soon);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-theme", "data-vscode-theme-id"] });
  }
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", soon);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    scheme.removeEventListener("change", soon);
  });
}

/** The colours of the theme, as a canvas understands them. */
function coloursOf(el) {
  const probe = make("span", "nbrpc-plot-probe");
  el.append(probe);
  const colour = (value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  const found = {
    text: colour("var(--nbrpc-quiet)"),
    grid: colour("color-mix(in srgb, var(--nbrpc-text) 11%, transparent)"),
    back: colour("var(--nbrpc-back)"),
    series: Array.from({ length: COLOURS }, (_, index) => colour(`var(--nbrpc-series-${index})`)),
    font: `11px ${getComputedStyle(el).fontFamily}`,
  };
  probe.remove();
  return found;
}

/** The labels of an axis of time, as exact as its steps. */
function timesOf(_plot, moments, _axis, _space, step) {
  return moments.map((moment) => {
    if (step >= 86400) return new Date(moment * 1000).toLocaleDateString("sv");
    const text = instant(moment);
    return step >= 60 ? text.slice(0, 5) : step >= 1 ? text.slice(0, 8) : text;
  });
}

/** One view of the chart: what part of the samples it shows, and when it is drawn. */
class Chart {
  constructor(model, el, box, legend) {
    Object.assign(this, { model, el, box, legend });
    this.zoom = null; // what was chosen, or null while the chart follows
    this.off = new Set(); // series that are not shown
    this.plot = null;
    this.names = null;
    this.span = null; // the range of y, kept while the values stay inside
    this.data = null;
    this.visible = true;
    this.waiting = false;
    this.colours = null; // known once the view is in the page
  }

  /** The left edge where the chart does not follow, or null. */
  left() {
    return this.zoom ? this.zoom[0] : null;
  }

  /** Something is new: draw with the next frame, unless nobody sees it. */
  changed() {
    if (this.waiting || !this.visible) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.visible && this.box.isConnected && this.box.clientWidth > 0) this.draw();
    });
  }

  range() {
    if (this.zoom) return this.zoom;
    const right = frozen ?? samples.last ?? (this.model.get("over_time") ? Date.now() / 1000 : 0);
    const left = right - this.model.get("window");
    if (!samples.length || this.model.get("over_time")) return [left, right];
    if (samples.ascending) return [samples.first < right ? Math.max(left, samples.first) : left, right];
    let [low, high] = [Infinity, -Infinity];
    for (let at = Math.max(samples.from, samples.to - MOST_ON_CURVE); at < samples.to; at += 1) {
      low = Math.min(low, samples.columns[0][at]);
      high = Math.max(high, samples.columns[0][at]);
    }
    const margin = (high - low || 1) * 0.03;
    return [low - margin, high + margin];
  }

  draw() {
    if (this.pressed) return; // somebody is choosing a range: hold still
    const width = this.box.clientWidth;
    const curve = !samples.ascending;
    const key = JSON.stringify([samples.names, curve]);
    this.colours ??= coloursOf(this.el);
    if (this.names !== key) this.build(key, curve);
    if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
    const [left, right] = this.range();
    this.data = curve
      ? this.curveLimits()
      : forPixels(samples, left, right, Math.max(100, Math.round(width * devicePixelRatio)));
    this.plot.batch(() => {
      this.plot.setData(this.data, false);
      this.plot.setScale("x", { min: left, max: right });
    });
    this.el.dataset.points = samples.length;
    this.el.dataset.drawn = Number(this.el.dataset.drawn ?? 0) + 1;
    this.el.dataset.zoomed = this.zoom !== null;
    this.tell();
  }

  /** Of an x that goes back and forth uPlot gets the limits only; `along` draws the curve. */
  curveLimits() {
    const [left, right] = this.range();
    const limits = samples.columns.slice(1).map((column) => {
      let [low, high] = [Infinity, -Infinity];
      for (let at = Math.max(samples.from, samples.to - MOST_ON_CURVE); at < samples.to; at += 1) {
        if (column[at] < low) low = column[at];
        if (column[at] > high && column[at] !== MISSING) high = column[at];
      }
      return low <= high ? [low, high] : [null, null];
    });
    return [[left, right], ...limits];
  }

  along(plot, series) {
    const path = new Path2D();
    const [xs, column] = [samples.columns[0], samples.columns[series]];
    let gap = true;
    for (let at = Math.max(samples.from, samples.to - MOST_ON_CURVE); at < samples.to; at += 1) {
      if (!Number.isFinite(column[at])) {
        gap ||= Number.isNaN(column[at]);
        continue;
      }
      const place = [plot.valToPos(xs[at], "x", true), plot.valToPos(column[at], "y", true)];
      if (gap) path.moveTo(...place);
      else path.lineTo(...place);
      gap = false;
    }
    return { stroke: path };
  }

  /** The range of y, which changes only where it must: a chart that breathes cannot be read. */
  calm(low, high) {
    if (low === null) return this.span ?? [0, 1];
    const wanted = uPlot.rangeNum(low, high, 0.1, true);
    const [bottom, top] = this.span ?? [NaN, NaN];
    const fits = bottom <= low && top >= high;
    if (!fits || wanted[1] - wanted[0] < 0.6 * (top - bottom)) this.span = wanted;
    return this.span;
  }

  build(key, curve) {
    this.plot?.destroy();
    this.names = key;
    this.span = null;
    const colours = () => this.colours;
    const axis = (more) => ({
      stroke: () => colours().text,
      font: this.colours.font,
      grid: { stroke: () => colours().grid, width: 1 },
      ticks: { show: false },
      ...more,
    });
    this.plot = new uPlot(
      {
        width: Math.max(200, this.box.clientWidth),
        height: HEIGHT,
        padding: [10, 30, 0, 4],
        legend: { show: false },
        scales: {
          x: { time: this.model.get("over_time") },
          y: { range: (_plot, low, high) => this.calm(low, high) },
        },
        axes: [
          axis({ space: 80, size: 32, ...(this.model.get("over_time") ? { values: timesOf } : {}) }),
          axis({ size: (_plot, values) => this.room(values) }),
        ],
        series: [
          {},
          ...samples.names.map((name, index) => ({
            label: name,
            show: !this.off.has(name),
            stroke: () => colours().series[index % COLOURS],
            width: 1.5,
            ...(curve ? { paths: (plot, series) => this.along(plot, series), points: { show: false } } : {}),
          })),
        ],
        cursor: {
          drag: { x: true, y: false, setScale: false },
          points: { show: !curve, size: 7 },
          y: false,
          bind: { dblclick: () => () => this.follow() },
        },
        hooks: {
          setSelect: [(plot) => this.selected(plot)],
          setCursor: [() => this.tell()],
        },
      },
      [[], ...samples.names.map(() => [])],
      this.box,
    );
    this.plot.over.addEventListener("mousedown", (event) => {
      if (event.button !== 0) return;
      this.pressed = true;
      addEventListener("mouseup", () => setTimeout(() => this.released()), { once: true });
    });
    this.buildLegend();
  }

  released() {
    this.pressed = false;
    this.changed();
  }

  /** The room that the labels of y need; it only grows, so that the chart does not jump. */
  room(values) {
    const longest = Math.max(4, ...(values ?? []).map((value) => value.length));
    this.widest = Math.max(this.widest ?? 0, 14 + 6.5 * longest);
    return this.widest;
  }

  selected(plot) {
    if (plot.select.width < 3) return;
    const left = plot.posToVal(plot.select.left, "x");
    const right = plot.posToVal(plot.select.left + plot.select.width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.show(left, right);
  }

  /** Show a part of x, and follow no longer. */
  show(left, right) {
    if (!(right - left > 1e-9 * Math.max(1, Math.abs(right))) || !samples.ascending) return;
    this.zoom = [left, right];
    this.span = null;
    this.onZoom();
    this.changed();
  }

  /** Follow the newest values again. */
  follow() {
    this.zoom = null;
    this.span = null;
    this.onZoom();
    this.changed();
  }

  /** Act on a key: arrows move, plus and minus zoom, Escape follows. */
  pressedKey(event) {
    const [left, right] = this.range();
    const [width, middle] = [right - left, (left + right) / 2];
    const acts = {
      ArrowLeft: () => this.show(left - width / 5, right - width / 5),
      ArrowRight: () => this.show(left + width / 5, right + width / 5),
      "+": () => this.show(middle - width / 3, middle + width / 3),
      "=": () => this.show(middle - width / 3, middle + width / 3),
      "-": () => this.show(middle - width * 0.75, middle + width * 0.75),
      Escape: () => this.follow(),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  /** One button for each series, which shows its value and switches it. */
  buildLegend() {
    this.values = samples.names.map((name, index) => {
      const node = button("nbrpc-plot-series", "", () => {
        const shown = this.off.delete(name);
        if (!shown) this.off.add(name);
        node.setAttribute("aria-pressed", String(shown));
        this.plot.setSeries(index + 1, { show: shown });
      });
      node.setAttribute("aria-pressed", String(!this.off.has(name)));
      node.title = "show or hide";
      const swatch = make("span", "nbrpc-plot-swatch");
      swatch.style.background = `var(--nbrpc-series-${index % COLOURS})`;
      const value = make("span", "nbrpc-plot-value");
      node.append(swatch, make("span", "nbrpc-plot-name", name), value);
      return [node, value];
    });
    this.legend.replaceChildren(...this.values.map(([node]) => node));
  }

  /** Write the values: those under the cursor, or the latest. */
  tell() {
    const at = samples.ascending ? this.plot.cursor.idx : null;
    this.values.forEach(([, node], index) => {
      const value = at === null || at === undefined ? samples.latest[index] : this.data?.[index + 1]?.[at];
      say(node, value === null || value === undefined ? "–" : figure(value));
    });
    this.onCursor(at === null || at === undefined ? null : this.data?.[0]?.[at]);
  }
}

function render({ model, el, signal }) {
  ownKeys(el);
  el.classList.add("nbrpc-panel", "nbrpc-plot");
  const head = make("div", "nbrpc-events-head");
  const title = make("span", "nbrpc-events-title");
  const buttons = make("div", "nbrpc-events-buttons");
  head.append(title, stateOf(model, el, signal), buttons);
  const legend = make("div", "nbrpc-plot-legend");
  legend.setAttribute("role", "group");
  legend.setAttribute("aria-label", "series");
  const where = make("span", "nbrpc-plot-where");
  const box = make("div", "nbrpc-plot-box");
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  const foot = make("div", "nbrpc-events-foot");
  const [rate, rateValue] = figureOf("points/s");
  const [received, receivedValue] = figureOf("received");
  const [dropped, droppedValue] = figureOf("dropped");
  const note = make("span", "nbrpc-plot-note");
  foot.append(rate, received, dropped, where, note);
  el.replaceChildren(head, legend, box, foot);

  const chart = new Chart(model, el, box, legend);
  const live = button("nbrpc-live", "Live", () => chart.follow(), "Live: follow the newest values");
  buttons.append(live, pauseButton(model, signal));
  chart.onZoom = () => {
    live.disabled = chart.zoom === null;
  };
  chart.onZoom();
  chart.onCursor = (x) => {
    const text = x === null || x === undefined ? "" : model.get("over_time") ? instant(x) : figure(x);
    const name = model.get("over_time") ? "" : `${model.get("abscissa")} `;
    say(where, text ? `values at ${name}${text}` : "");
  };

  follow(model, ["title"], signal, () => {
    const name = model.get("title");
    say(title, name);
    box.setAttribute("aria-label", `chart of ${name}: arrow keys move, plus and minus zoom, Escape follows`);
  });
  box.addEventListener("keydown", (event) => chart.pressedKey(event));

  const view = {
    left: () => chart.left(),
    changed: () => {
      chart.changed();
      say(rateValue, perSecond(figures[2]).replace("/s", ""));
      say(receivedValue, count(figures[0]));
      say(droppedValue, count(figures[1]));
      dropped.classList.toggle("nbrpc-figure-bad", figures[1] > 0);
      const notes = [];
      if (figures[3]) notes.push(`${count(figures[3])} ${figures[3] === 1 ? "value" : "values"} could not be drawn: ${figures[4]}`);
      if (figures[5]) notes.push("the window holds more than 2 million numbers: the oldest are gone");
      say(note, notes.join("; "));
    },
  };
  views.add(view);
  model.on("change:window", view.changed);

  const seen = new IntersectionObserver(([entry]) => {
    chart.visible = entry.isIntersecting;
    chart.changed();
  });
  seen.observe(el);
  const sized = new ResizeObserver(() => chart.changed());
  sized.observe(box);
  followTheme(signal, () => {
    chart.colours = null;
    chart.changed();
  });
  signal.addEventListener("abort", () => {
    views.delete(view);
    model.off("change:window", view.changed);
    seen.disconnect();
    sized.disconnect();
    chart.plot?.destroy();
  });
  view.changed();
}

export default { initialize, render };

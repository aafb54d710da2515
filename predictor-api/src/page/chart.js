// The chart of one series: what was counted in the last days, what had been forecast of it, and the day ahead with its
// band. It draws what /v1/history answered; it asks the server for nothing.

const SVG = "http://www.w3.org/2000/svg";
const HOUR = 3600 * 1000;
const EDGE = { left: 50, right: 14, top: 34, bottom: 40 }; // above: the unit, and below it the word at the line of now

const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Seoul", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Seoul", weekday: "short", day: "numeric", month: "short" });
const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

export class ChartView {
  /** `onRead` is told, in words, what stands at the cursor. */
  constructor(svg, onRead) {
    this.svg = svg;
    this.onRead = onRead;
    this.history = null;
    this.cursor = null; // index into this.hours
    svg.addEventListener("pointermove", (event) => this.point(event));
    svg.addEventListener("pointerdown", (event) => this.point(event));
    svg.addEventListener("pointerleave", () => this.moveTo(null));
    svg.addEventListener("keydown", (event) => this.walk(event));
    svg.addEventListener("blur", () => this.moveTo(null));
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  /** `now`: the city's time; `chosen`: start of the hour that the map shows, in milliseconds. */
  show(history, now, chosen) {
    this.history = history;
    this.now = now;
    this.chosen = chosen;
    this.prepare();
    this.draw();
  }

  prepare() {
    const { history } = this;
    this.step = history.step_seconds * 1000;
    const hours = new Map(); // start of the hour → what is known of it
    const hour = (at) => hours.get(at) ?? hours.set(at, { at }).get(at);
    for (const seen of history.observed) Object.assign(hour(Date.parse(seen.observed_at)), { value: seen.value, whole: seen.whole });
    for (const issued of history.forecasts) {
      for (const point of issued.points) {
        Object.assign(hour(Date.parse(point.valid_at)), { p10: point.p10, p50: point.p50, p90: point.p90, issued_at: Date.parse(issued.issued_at) });
      }
    }
    const newest = history.forecasts.at(-1);
    this.ahead = newest ? Date.parse(newest.issued_at) : Infinity;
    const all = [...hours.values()].sort((a, b) => a.at - b.at);
    const first = history.observed.length ? Date.parse(history.observed[0].observed_at) : all[0]?.at;
    this.hours = all.filter((entry) => entry.at >= first);
    if (this.cursor !== null && this.cursor >= this.hours.length) this.cursor = null;
  }

  draw() {
    const { svg } = this;
    const [width, height] = [svg.clientWidth, svg.clientHeight];
    if (!width || !this.history) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    if (!this.hours.length) {
      svg.append(text("Nothing has been counted here yet.", width / 2, height / 2, "middle"));
      return;
    }
    const [first, last] = [this.hours[0].at, this.hours.at(-1).at + this.step];
    const most = Math.max(...this.hours.flatMap((entry) => [entry.value ?? 0, entry.p90 ?? 0]), 1);
    const tick = niceStep(most / 4);
    const top = Math.ceil(most / tick) * tick;
    // A value is drawn at the middle of its hour.
    this.x = (at) => EDGE.left + ((at - first) / (last - first)) * (width - EDGE.left - EDGE.right);
    this.y = (value) => height - EDGE.bottom - (value / top) * (height - EDGE.top - EDGE.bottom);
    this.drawAxes(width, height, first, last, tick, top);
    this.drawForecasts();
    this.drawObserved();
    this.drawNow(width, height);
    this.overlay = svg.appendChild(make("g"));
    this.drawCursor();
  }

  drawAxes(width, height, first, last, tick, top) {
    const { svg } = this;
    for (let value = 0; value <= top; value += tick) {
      svg.append(make("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: this.y(value), y2: this.y(value) }));
      svg.append(text(number.format(value), EDGE.left - 6, this.y(value) + 4, "end"));
    }
    svg.append(text(this.history.unit, 4, 12, "start"));
    svg.append(text("KST", width - EDGE.right, height - 4, "end"));
    const hourWidth = this.x(first + HOUR) - this.x(first);
    const every = [3, 6, 12, 24].find((hours) => hours * hourWidth >= 34) ?? 24;
    const dayWidth = 24 * hourWidth;
    const dayEvery = Math.max(1, Math.ceil(76 / dayWidth));
    for (let at = Math.ceil(first / HOUR) * HOUR, days = 0; at <= last; at += HOUR) {
      const hour = Number(clock.format(at).slice(0, 2));
      const place = this.x(at);
      if (hour === 0) {
        svg.append(make("line", { class: "midnight", x1: place, x2: place, y1: EDGE.top, y2: height - EDGE.bottom }));
        if (days++ % dayEvery === 0 && place < width - EDGE.right - 90) svg.append(text(day.format(at), place + 3, height - 8, "start"));
      }
      if (hour % every === 0) svg.append(text(String(hour).padStart(2, "0"), place, height - EDGE.bottom + 15, "middle"));
    }
  }

  drawForecasts() {
    const middle = (entry) => this.x(entry.at + this.step / 2);
    for (const run of runs(this.hours, this.step, (a, b) => a.p50 !== undefined && a.issued_at === b.issued_at)) {
      const upper = run.map((entry) => `${middle(entry).toFixed(1)} ${this.y(entry.p90).toFixed(1)}`);
      const lower = run.map((entry) => `${middle(entry).toFixed(1)} ${this.y(entry.p10).toFixed(1)}`).reverse();
      this.svg.append(make("path", { class: "band", d: `M${upper.join("L")}L${lower.join("L")}Z` }));
      const line = run.map((entry) => `${middle(entry).toFixed(1)} ${this.y(entry.p50).toFixed(1)}`);
      this.svg.append(make("path", { class: run[0].issued_at === this.ahead ? "median ahead" : "median", d: `M${line.join("L")}` }));
    }
  }

  drawObserved() {
    const middle = (entry) => this.x(entry.at + this.step / 2);
    for (const run of runs(this.hours, this.step, (a) => a.value !== undefined)) {
      const line = run.map((entry) => `${middle(entry).toFixed(1)} ${this.y(entry.value).toFixed(1)}`);
      if (run.length > 1) this.svg.append(make("path", { class: "observed", d: `M${line.join("L")}` }));
      else this.svg.append(make("circle", { class: "dot", cx: middle(run[0]), cy: this.y(run[0].value), r: 2 }));
    }
    for (const entry of this.hours.filter((entry) => entry.value !== undefined && !entry.whole)) {
      this.svg.append(make("circle", { class: "partial", cx: middle(entry), cy: this.y(entry.value), r: 3 }));
    }
  }

  drawNow(width, height) {
    if (this.chosen !== null && this.chosen >= this.hours[0].at && this.chosen <= this.hours.at(-1).at) {
      const [left, right] = [this.x(this.chosen), this.x(this.chosen + this.step)];
      this.svg.append(make("rect", { class: "chosen-hour", x: left, width: right - left, y: EDGE.top, height: height - EDGE.top - EDGE.bottom }));
    }
    const place = this.x(this.now);
    if (place >= EDGE.left && place <= width - EDGE.right) {
      this.svg.append(make("line", { class: "now", x1: place, x2: place, y1: EDGE.top - 4, y2: height - EDGE.bottom }));
      this.svg.append(text("now", place, EDGE.top - 9, "middle"));
    }
    const entry = this.hours.find((entry) => entry.at === this.chosen);
    if (entry?.p50 !== undefined) {
      const [cx, cy] = [this.x(entry.at + this.step / 2), this.y(entry.p50)];
      const words = text(number.format(entry.p50), Math.min(cx, width - EDGE.right - 20), cy > EDGE.top + 24 ? cy - 11 : cy + 20, "middle");
      words.setAttribute("class", "chosen");
      this.svg.append(make("circle", { class: "chosen-dot", cx, cy, r: 5 }), words);
    }
  }

  drawCursor() {
    if (!this.overlay) return;
    const entry = this.cursor === null ? null : this.hours[this.cursor];
    if (!entry) {
      this.overlay.replaceChildren();
      return this.onRead("");
    }
    const place = this.x(entry.at + this.step / 2);
    const line = make("line", { class: "cursor", x1: place, x2: place, y1: EDGE.top, y2: this.svg.clientHeight - EDGE.bottom });
    const dots = [entry.value, entry.p50].filter((value) => value !== undefined);
    this.overlay.replaceChildren(line, ...dots.map((value) => make("circle", { class: "cursor-dot", cx: place, cy: this.y(value), r: 4 })));
    this.onRead(this.read(entry));
  }

  read(entry) {
    const parts = [`${day.format(entry.at)}, ${clock.format(entry.at)}–${clock.format(entry.at + this.step)}`];
    if (entry.value !== undefined) parts.push(`${number.format(entry.value)} counted${entry.whole ? "" : " (some lanes missing)"}`);
    if (entry.p50 !== undefined) {
      const issued = `issued ${day.format(entry.issued_at)}, ${clock.format(entry.issued_at)}`;
      parts.push(`${number.format(entry.p50)} forecast, ${number.format(entry.p10)}–${number.format(entry.p90)} in 8 of 10 (${issued})`);
    }
    return parts.join(" · ");
  }

  point(event) {
    if (!this.hours?.length || !this.x) return;
    const place = event.clientX - this.svg.getBoundingClientRect().left;
    const distance = (entry) => Math.abs(this.x(entry.at + this.step / 2) - place);
    this.moveTo(this.hours.reduce((best, entry, index) => (distance(entry) < distance(this.hours[best]) ? index : best), 0));
  }

  /** Arrow keys: hour by hour; home and end: first and last. */
  walk(event) {
    if (!this.hours?.length) return;
    const last = this.hours.length - 1;
    const from = this.cursor ?? Math.max(0, this.hours.findIndex((entry) => entry.at > this.now));
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.moveTo(Math.min(Math.max(to, 0), last));
  }

  moveTo(cursor) {
    this.cursor = cursor;
    if (this.history) this.drawCursor();
  }
}

/** Stretches of consecutive hours for which `together` holds, of each with the next. */
function runs(hours, step, together) {
  const found = [];
  let run = [];
  for (const entry of hours) {
    if (!together(entry, entry)) {
      run = [];
      continue;
    }
    const before = run.at(-1);
    if (!before || entry.at - before.at !== step || !together(before, entry)) found.push((run = []));
    run.push(entry);
  }
  return found;
}

/** 1, 2, 2.5 or 5 times a power of ten, at least `least`. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

function text(content, x, y, anchor) {
  const element = make("text", { x, y, "text-anchor": anchor });
  element.textContent = content;
  return element;
}

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

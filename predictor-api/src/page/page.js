// The page's one loop: ask /v1/live every two seconds, fetch what has changed since, draw. State is what the reader chose
// and what the server answered last; everything shown is computed from that.

import { MapView, legendMark } from "/page/map.js";
import { ChartView } from "/page/chart.js";

const TARGET = "traffic_volume";
const LIVE_EVERY = 2000; // ms; the city may run 600 times faster, an hour in six seconds
const ACCURACY_EVERY = 20000; // ms; it reads a week of forecasts
const GIVE_UP_AFTER = 8000; // ms without an answer

const $ = (id) => document.getElementById(id);
const formats = {
  time: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "short", day: "numeric", month: "short" },
  year: { year: "numeric" },
};
for (const [name, options] of Object.entries(formats)) formats[name] = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Seoul", ...options });
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const percent = new Intl.NumberFormat("en-GB", { style: "percent", maximumFractionDigits: 0 });

const state = {
  live: null, // the last answer of /v1/live
  liveAt: 0, // when it came, on this machine's steady clock
  goneSince: null, // when the server was last heard, if it is not heard now
  map: null,
  mapProblem: null,
  history: null,
  accuracy: null,
  accuracyAt: -Infinity,
  drawnOf: null, // what of the city the map and the history were fetched for
  hour: 0, // index into map.hours
  direction: "both",
  colour: "busy",
  spot: null,
  side: "1",
  days: "3",
};

const map = new MapView($("map"), choose);
const chart = new ChartView($("chart"), (words) => ($("readout").textContent = words || "Point at the chart, or use the arrow keys on it, to read hour by hour."));

for (const name of ["direction", "colour", "side", "days"]) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) {
    input.addEventListener("change", () => {
      state[name] = input.value;
      // The chart shows one direction; it follows the map's where that is one.
      if (name === "direction" && input.value !== "both") setSide(input.value);
      if (name === "side" || name === "days" || name === "direction") refreshHistory();
      drawCity();
    });
  }
}
$("hour").addEventListener("input", () => {
  state.hour = Number($("hour").value);
  drawCity();
  drawSpot();
});
$("spot").addEventListener("change", () => choose($("spot").value));
document.addEventListener("visibilitychange", () => !document.hidden && tick());
setInterval(drawClock, 250);
loop();

async function loop() {
  for (;;) {
    // A mistake of ours in drawing must not end the watch.
    if (!document.hidden) await tick().catch(console.error);
    await new Promise((done) => setTimeout(done, LIVE_EVERY));
  }
}

async function tick() {
  try {
    state.live = await ask("/v1/live");
    state.liveAt = performance.now();
    state.goneSince = null;
  } catch {
    state.goneSince ??= new Date();
    drawBanner();
    return;
  }
  const target = live();
  const feed = state.live.feeds?.find((feed) => feed.feed === TARGET);
  const of = JSON.stringify([target.issued_at, target.stale, feed?.rows]);
  if (of !== state.drawnOf) {
    await refreshMap();
    await refreshHistory();
    if (!state.mapProblem) state.drawnOf = of;
  }
  if (performance.now() - state.accuracyAt > ACCURACY_EVERY) {
    state.accuracyAt = performance.now();
    state.accuracy = await ask(`/v1/accuracy/${TARGET}?bundle=champion`).catch(() => null);
  }
  drawStrip();
  drawBanner();
}

/** The JSON at a path; an error that holds the problem where the server answered with one. */
async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_AFTER), headers: { accept: "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { problem: answer });
  return answer;
}

const live = () => state.live.targets.find((target) => target.target === TARGET);
const cityNow = () => Date.parse(state.live.now) + (performance.now() - state.liveAt) * (state.goneSince ? 0 : (state.live.speed ?? 0));
const dayAndTime = (at) => `${formats.day.format(at)}, ${formats.time.format(at)}`;
const span = (start, step = state.map.step_seconds) => `${formats.time.format(start)}–${formats.time.format(start + step * 1000)}`;
const isAhead = () => !state.map.observed_at || state.hour > 0;

async function refreshMap() {
  try {
    state.map = await ask(`/v1/map/${TARGET}`);
    state.mapProblem = null;
  } catch (error) {
    state.mapProblem = error;
    if (error.problem && !state.map) $("map-empty").textContent = "Nothing has been counted yet. The first hours are on their way.";
  }
  $("map-empty").hidden = Boolean(state.map);
  if (!state.map) return;
  if (!state.spot && state.map.spots.length) state.spot = remembered() ?? busiest();
  fillSpots();
  fillHours();
  drawCity();
}

async function refreshHistory() {
  if (!state.spot) return;
  const series = `${state.spot}/${state.side}`;
  try {
    const history = await ask(`/v1/history/${TARGET}/${series}?days=${state.days}`);
    if (series !== `${state.spot}/${state.side}`) return; // the reader has chosen another meanwhile
    state.history = history;
  } catch (error) {
    if (!error.problem) return;
    state.history = null;
    $("summary").textContent = error.problem.detail;
  }
  drawSpot();
}

function choose(spot) {
  state.spot = spot;
  $("spot").value = spot;
  history.replaceState(null, "", `#${spot}`);
  refreshHistory();
  drawCity();
}

function setSide(side) {
  state.side = side;
  document.querySelector(`input[name="side"][value="${side}"]`).checked = true;
}

const remembered = () => state.map.spots.find((spot) => `#${spot.spot}` === location.hash)?.spot;
const busiest = () => {
  const load = (spot) => Math.max(0, ...spot.series.map((series) => (series.busy ?? 0)));
  return state.map.spots.reduce((best, spot) => (load(spot) > load(best) ? spot : best)).spot;
};

// The strip and the banner.

function drawClock() {
  if (state.live) $("now").textContent = dayAndTime(cityNow());
}

function drawStrip() {
  const { live: answer, map: city } = state;
  const target = live();
  drawClock();
  const pace = answer.speed === null ? ", stepped" : answer.speed === 1 ? "" : `, ${whole.format(answer.speed)} × real time`;
  $("speed").textContent = `${formats.year.format(cityNow())}, KST${pace}`;
  const feed = answer.feeds?.find((feed) => feed.feed === TARGET);
  $("rows").textContent = feed ? `${whole.format(feed.rows)} rows landed` : "";
  $("fresh").textContent = city?.observed_at ? dayAndTime(Date.parse(city.observed_at) + city.step_seconds * 1000) : "nothing yet";
  $("champion").textContent = target.champion ? named(target.champion.kind) : "no champion yet";
  $("champion").title = target.champion ? `${target.champion.bundle}: ${target.champion.reason}` : "";
  $("score").textContent = target.champion ? praise() : "";
  $("next").textContent = target.next_at ? formats.time.format(Date.parse(target.next_at)) : "soon";
  $("issued").textContent = target.issued_at ? `newest issued ${formats.time.format(Date.parse(target.issued_at))}` : "the first is on its way";
}

function named(kind) {
  const rules = { last: "last value", day: "same hour yesterday", week: "same hour last week", week_mean: "mean of four weeks", city: "the city's usual day" };
  if (kind === "lightgbm") return "LightGBM model";
  const rule = rules[kind.replace(/^naive_/, "")];
  return rule ? `naive rule: ${rule}` : kind;
}

function praise() {
  if (!state.accuracy) return "";
  const score = state.accuracy.overall;
  if (!score.count) return "not met by what came yet";
  const parts = [];
  const skill = score.skill.naive_week;
  if (skill !== null) parts.push(`${percent.format(Math.abs(skill))} ${skill >= 0 ? "better" : "worse"} than last week's value`);
  if (score.coverage !== null) parts.push(`${percent.format(score.coverage)} inside the 80% band`);
  return parts.join(", ");
}

function drawBanner() {
  const banner = $("banner");
  const words = trouble();
  banner.hidden = !words;
  if (words && banner.textContent !== words) banner.textContent = words;
  document.body.classList.toggle("gone", Boolean(state.goneSince));
}

function trouble() {
  if (state.goneSince) {
    const since = state.goneSince.toLocaleTimeString("en-GB");
    return state.live ? `The server has not answered since ${since}. What you see was so then; this page keeps trying.` : "The server does not answer. This page keeps trying.";
  }
  if (state.live.trouble) return `The lake can't be read at the moment; what was known last is shown. (${state.live.trouble})`;
  const target = live();
  if (!target.issued_at) return target.champion ? "The first forecast is being made; it appears here by itself." : "The city has just begun to be watched. The first forecast appears here by itself, within minutes.";
  if (target.stale) {
    return `The newest forecast was issued ${dayAndTime(Date.parse(target.issued_at))}; a newer one is overdue. What you see is the last good one.`;
  }
  return "";
}

// The city.

function fillSpots() {
  const select = $("spot");
  if (select.options.length === state.map.spots.length) return (select.value = state.spot);
  select.replaceChildren(...state.map.spots.map((spot) => new Option(`${spot.spot} ${spot.name}`, spot.spot)));
  select.value = state.spot;
  select.disabled = false;
}

function fillHours() {
  const { hours } = state.map;
  const input = $("hour");
  state.hour = Math.min(state.hour, hours.length - 1);
  input.max = Math.max(hours.length - 1, 1);
  input.value = state.hour;
  input.disabled = hours.length < 2;
  const marks = hours.length < 2 ? [] : [0, 6, 12, 18, 24].filter((index) => index < hours.length);
  $("ticks").replaceChildren(...marks.map((index) => Object.assign(document.createElement("span"), { textContent: formats.time.format(Date.parse(hours[index])) })));
}

const BUSY = [
  { below: 0.3, fill: "--busy-0", words: "under 30%" },
  { below: 0.55, fill: "--busy-1", words: "30–55%" },
  { below: 0.75, fill: "--busy-2", words: "55–75%" },
  { below: 0.9, fill: "--busy-3", words: "75–90%" },
  { below: Infinity, fill: "--busy-4", words: "90% and more" },
];
const USUAL = [
  { below: 0.7, fill: "--usual-0", shape: "down", size: 1, words: "over 30% fewer" },
  { below: 0.88, fill: "--usual-1", shape: "down", size: 0.55, words: "12–30% fewer" },
  { below: 1.12, fill: "--usual-2", shape: "circle", size: 0.25, words: "as usual, ±12%" },
  { below: 1.3, fill: "--usual-3", shape: "up", size: 0.55, words: "12–30% more" },
  { below: Infinity, fill: "--usual-4", shape: "up", size: 1, words: "over 30% more" },
];

function drawCity() {
  if (!state.map) return;
  const start = Date.parse(state.map.hours[state.hour]);
  const kind = isAhead() ? "forecast" : "counted";
  const when = `${formats.day.format(start)}, ${span(start)} KST`;
  $("hour-title").textContent = `${formats.time.format(start)}–${formats.time.format(start + state.map.step_seconds * 1000)}, ${kind}`;
  const said = kind === "counted" ? "the newest counted hour" : `forecast, ${aheadWords(start)}`;
  $("hour-label").replaceChildren(strong(when), ` · ${said}`);
  $("hour").setAttribute("aria-valuetext", `${when}, ${kind}`);
  map.show(state.map.spots.map((spot) => ({ ...spot, mark: mark(spot) })), state.spot);
  drawLegend();
}

function aheadWords(start) {
  if (!state.live) return "";
  const hours = Math.round((start - cityNow()) / 3600000);
  return hours <= 0 ? "the hour that is passing" : `in about ${hours} h`;
}

function mark(spot) {
  const series = spot.series.filter((one) => state.direction === "both" || one.series.endsWith(`/${state.direction}`));
  const sum = (get) => series.reduce((all, one) => (get(one) === null || get(one) === undefined ? all : (all ?? 0) + get(one)), null);
  // Only series that have a value may speak of how much is usual or busy.
  const there = series.filter((one) => one.values[state.hour] !== null);
  const value = sum((one) => one.values[state.hour]);
  const base = there.reduce((all, one) => {
    const own = state.colour === "busy" ? one.busy : one.usual[state.hour];
    return own === null || all === null ? null : all + own;
  }, 0);
  const title = `${spot.name} (${spot.spot})`;
  if (value === null) return { fill: null, size: 0, shape: "circle", title: `${title}: no value` };
  const count = `${whole.format(value)} ${state.map.unit}`;
  if (!base) return { fill: null, size: 0, shape: "circle", title: `${title}: ${count}, ${state.colour === "busy" ? "no busy hour" : "nothing usual"} known` };
  const ratio = value / base;
  if (state.colour === "busy") {
    const step = BUSY.find((step) => ratio < step.below);
    return { fill: step.fill, size: Math.min(ratio, 1), shape: "circle", title: `${title}: ${count}, ${percent.format(ratio)} of its busy hour` };
  }
  const step = USUAL.find((step) => ratio < step.below);
  const words = `${percent.format(Math.abs(ratio - 1))} ${ratio >= 1 ? "more" : "fewer"} than usual`;
  return { fill: step.fill, size: step.size, shape: step.shape, title: `${title}: ${count}, ${words}` };
}

function drawLegend() {
  const busy = state.colour === "busy";
  const steps = busy ? BUSY.map((step, index) => ({ ...step, shape: "circle", size: (index + 1) / 5 })) : USUAL;
  $("legend").replaceChildren(
    ...steps.map((step) => {
      const item = document.createElement("span");
      item.append(legendMark(step.fill, step.shape, step.size), step.words);
      return item;
    }),
  );
  $("legend-text").textContent = busy
    ? "Vehicles an hour, as a share of the spot's own busy hour: what one hour in twenty of the last 28 days exceeded. Bigger is busier; dashed rings have no value."
    : "Vehicles an hour, against the mean of the last four weeks at that hour of the week. ▲ more, ▼ fewer than usual; dashed rings have no value.";
}

// The spot.

function drawSpot() {
  const spot = state.map?.spots.find((spot) => spot.spot === state.spot);
  if (!spot) return;
  $("spot-title").replaceChildren(Object.assign(document.createElement("span"), { textContent: `${spot.spot} ` }), korean(spot.name));
  if (!state.history || !state.live) return;
  const chosen = isAhead() ? Date.parse(state.map.hours[state.hour]) : null;
  chart.show(state.history, cityNow(), chosen);
  const side = state.side === "1" ? "into town" : "out of town";
  $("chart").setAttribute("aria-label", `Chart of ${spot.name}, ${side}: counted ${state.history.unit} of the last days, and the forecast. Arrow keys read hour by hour.`);
  drawSummary(spot, side, chosen);
  drawTable();
}

const korean = (name) => Object.assign(document.createElement("bdi"), { lang: "ko", textContent: name });
const strong = (words) => Object.assign(document.createElement("b"), { textContent: words });

function drawSummary(spot, side, chosen) {
  const { history } = state;
  const newest = history.forecasts.at(-1);
  const last = history.observed.at(-1);
  const parts = [];
  if (last) parts.push(["Last counted ", whole.format(last.value), ` ${history.unit} ${side} (${span(Date.parse(last.observed_at), history.step_seconds)}${last.whole ? "" : ", some lanes missing"}). `]);
  const point = newest?.points.find((point) => Date.parse(point.valid_at) === chosen) ?? newest?.points.find((point) => Date.parse(point.valid_at) + history.step_seconds * 1000 > cityNow());
  if (point) {
    const usual = usualAt(spot, Date.parse(point.valid_at));
    parts.push([`Forecast ${span(Date.parse(point.valid_at), history.step_seconds)}: `, whole.format(point.p50), `, in 8 of 10 cases ${whole.format(point.p10)}–${whole.format(point.p90)}${usual === null ? "" : `; usual is ${whole.format(usual)}`}.`]);
    if (newest.rule !== "model" && live().champion?.kind === "lightgbm") parts.push([" This series is dead, stuck or new: ", named(newest.rule), " stands in for the model."]);
  } else if (!newest) parts.push(["", "No forecast yet", ": the first is on its way."]);
  $("summary").replaceChildren(...parts.flatMap(([before, figure, after]) => [before, strong(figure), after]));
}

function usualAt(spot, start) {
  const index = state.map.hours.findIndex((hour) => Date.parse(hour) === start);
  return spot.series.find((one) => one.series === `${state.spot}/${state.side}`)?.usual[index] ?? null;
}

function drawTable() {
  const points = state.history.forecasts.at(-1)?.points ?? [];
  const row = (point) => {
    const start = Date.parse(point.valid_at);
    const cells = [`${formats.day.format(start)}, ${span(start, state.history.step_seconds)}`, point.p10, point.p50, point.p90];
    const line = document.createElement("tr");
    line.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: typeof cell === "number" ? whole.format(cell) : cell })));
    return line;
  };
  $("table").replaceChildren(...points.map(row));
}

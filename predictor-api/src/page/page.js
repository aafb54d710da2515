// The page's one loop: ask /v1/live every two seconds, fetch what has changed since, draw. State is what the reader chose
// and what the server answered last; everything shown is computed from that.

import { MapView, legendMark } from "/page/map.js";
import { ChartView } from "/page/chart.js";
import { legend, mark } from "/page/marks.js";
import { drawScores } from "/page/scores.js";
import { day, dayAndTime, daySpan, element, isNaive, named, percent, span, time, whole, year } from "/page/formats.js";

const TARGET = "traffic_volume";
const LIVE_EVERY = 2000; // ms; the city may run 600 times faster, an hour in six seconds
const ACCURACY_EVERY = 20000; // ms; it reads a week of forecasts
const GIVE_UP_AFTER = 8000; // ms without an answer
const PLAY_EVERY = 700; // ms an hour is shown while the day ahead is played
const HOUR = 3600000; // ms

const $ = (id) => document.getElementById(id);

const state = {
  live: null, // the last answer of /v1/live
  liveAt: 0, // when it came, on this machine's steady clock
  goneSince: null, // when the server was last heard, if it is not heard now
  map: null,
  history: null,
  accuracy: null,
  accuracyAt: -Infinity,
  accuracyOf: null, // the bundle that it speaks of
  drawnOf: null, // what of the city the map and the history were fetched for
  hour: 0, // index into map.hours
  playing: null, // the timer
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
  pause();
  show(Number($("hour").value));
});
$("play").addEventListener("click", () => (state.playing ? pause() : play()));
$("spot").addEventListener("change", () => choose($("spot").value));
document.addEventListener("visibilitychange", () => !document.hidden && tick());
setInterval(drawClock, 250);
drawLegend();
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
  drawStrip();
  drawBanner();
  const target = live();
  const of = JSON.stringify([target.issued_at, target.stale, feed()?.rows]);
  if (of !== state.drawnOf && (await refreshMap())) {
    await refreshHistory();
    state.drawnOf = of;
    drawStrip();
  }
  await refreshScores(target.champion);
}

/** The JSON at a path; an error that holds the problem where the server answered with one. */
async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_AFTER), headers: { accept: "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { problem: answer });
  return answer;
}

const live = () => state.live.targets.find((target) => target.target === TARGET);
const feed = () => state.live.feeds?.find((feed) => feed.feed === TARGET);
const cityNow = () => Date.parse(state.live.now) + (performance.now() - state.liveAt) * (state.goneSince ? 0 : (state.live.speed ?? 0));
const shownSpot = () => state.map?.spots.find((spot) => spot.spot === state.spot);
const shownStart = () => Date.parse(state.map.hours[state.hour]);
const isAhead = () => !state.map.observed_at || state.hour > 0;

async function refreshMap() {
  try {
    state.map = await ask(`/v1/map/${TARGET}`);
  } catch (error) {
    if (!state.map && error.problem) $("map-empty").textContent = "Nothing has been counted yet. The first hours are on their way.";
    $("map-empty").hidden = Boolean(state.map) || !error.problem;
    return false;
  }
  $("map-empty").hidden = true;
  if (!state.spot && state.map.spots.length) state.spot = remembered() ?? busiest();
  fillSpots();
  fitSide();
  fillHours();
  drawCity();
  return true;
}

async function refreshHistory() {
  if (!state.spot) return;
  const wanted = () => `${state.spot}/${state.side}?days=${state.days}`;
  const asked = wanted();
  try {
    const history = await ask(`/v1/history/${TARGET}/${asked}`);
    if (asked !== wanted()) return; // the reader has chosen another meanwhile
    state.history = history;
  } catch (error) {
    if (!error.problem) return;
    state.history = null;
    $("summary").textContent = error.problem.detail;
  }
  drawSpot();
}

async function refreshScores(champion) {
  const due = champion?.bundle !== state.accuracyOf || performance.now() - state.accuracyAt > ACCURACY_EVERY;
  if (!champion || !due) return;
  state.accuracyAt = performance.now();
  try {
    state.accuracy = await ask(`/v1/accuracy/${TARGET}?bundle=${encodeURIComponent(champion.bundle)}`);
    state.accuracyOf = champion.bundle;
  } catch {
    return; // asked again in its time; what was shown last was so then
  }
  drawScores($("scores"), $("scores-words"), state.accuracy, champion);
  drawStrip();
}

function choose(spot) {
  state.spot = spot;
  $("spot").value = spot;
  fitSide();
  history.replaceState(null, "", `#${spot}`);
  refreshHistory();
  drawCity();
}

function setSide(side) {
  state.side = side;
  document.querySelector(`input[name="side"][value="${side}"]`).checked = true;
  fitSide();
}

/** Some spots are counted in one direction only: the other can't be chosen. */
function fitSide() {
  const spot = shownSpot();
  if (!spot) return;
  const there = (side) => spot.series.some((one) => isSide(one, side));
  for (const input of document.querySelectorAll('input[name="side"]')) {
    input.disabled = !there(input.value);
    if (input.disabled) continue;
    if (!there(state.side)) state.side = input.value;
    input.checked = input.value === state.side;
  }
}

function show(hour) {
  state.hour = hour;
  $("hour").value = hour;
  drawCity();
  drawSpot();
}

/** Hour by hour to the end, from the beginning where it stands there. */
function play() {
  const last = state.map.hours.length - 1;
  if (state.hour >= last) show(0);
  state.playing = setInterval(() => (state.hour < state.map.hours.length - 1 ? show(state.hour + 1) : pause()), PLAY_EVERY);
  drawPlay();
}

function pause() {
  clearInterval(state.playing);
  state.playing = null;
  drawPlay();
}

function drawPlay() {
  $("play").classList.toggle("playing", Boolean(state.playing));
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play the day ahead");
}

const remembered = () => state.map.spots.find((spot) => `#${spot.spot}` === location.hash)?.spot;
/** The busiest of those that were counted just now: a dead sensor is no good first sight. */
const busiest = () => {
  const load = (spot) => spot.series.reduce((most, one) => (isSide(one) && one.values[0] !== null ? Math.max(most, one.busy ?? 0) : most), -1);
  return state.map.spots.reduce((best, spot) => (load(spot) > load(best) ? spot : best)).spot;
};
const isSide = (series, side = state.side) => series.series.endsWith(`/${side}`);

// The strip and the banner.

function drawClock() {
  if (state.live) $("now").textContent = dayAndTime(cityNow());
}

function drawStrip() {
  const { live: answer, map: city } = state;
  const target = live();
  drawClock();
  const pace = answer.speed === null ? ", stepped" : answer.speed === 1 ? "" : `, ${whole.format(answer.speed)} × real time`;
  $("speed").textContent = `${year.format(cityNow())}${pace}`;
  $("rows").textContent = feed() ? `${whole.format(feed().rows)} rows landed` : "";
  $("fresh").textContent = city?.observed_at ? dayAndTime(Date.parse(city.observed_at) + city.step_seconds * 1000) : "Nothing yet";
  $("champion").textContent = target.champion ? named(target.champion.kind) : "Nobody yet";
  $("champion").title = target.champion ? `${target.champion.bundle}: ${target.champion.reason}` : "";
  $("score").textContent = target.champion ? praise(target.champion) : "the first is being chosen";
  $("next").textContent = target.stale ? "Overdue" : target.next_at ? `From ${time.format(Date.parse(target.next_at))}` : "Soon";
  $("issued").textContent = target.issued_at ? `the newest is from ${time.format(Date.parse(target.issued_at))}` : "the first is on its way";
}

function praise(champion) {
  if (isNaive(champion.kind)) {
    const refused = state.live.status?.targets?.find((target) => target.target === TARGET)?.refused;
    return refused ? "a simple rule; the last model did no better" : "a simple rule, until a model beats it";
  }
  const skill = state.accuracyOf === champion.bundle ? state.accuracy.overall.skill.naive_week : null;
  if (skill === null) return "not met by what came yet";
  return `${percent.format(Math.abs(skill))} ${skill >= 0 ? "less" : "more"} error than last week's value`;
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
    return state.live ? `The server has not answered since ${since} (your time). What you see was so then; this page keeps trying.` : "The server does not answer. This page keeps trying.";
  }
  if (state.live.trouble) return "The lake can't be read at the moment. What you see is what was known last.";
  const target = live();
  if (!target.issued_at) return target.champion ? "The first forecast is being made; it appears here by itself." : "The city has just begun to be watched. The first forecast appears here by itself.";
  if (target.stale) {
    return `The newest forecast is from ${dayAndTime(Date.parse(target.issued_at))}; a newer one is overdue. What you see is the last good one.`;
  }
  const late = state.live.feeds?.find((feed) => feed.overdue_since);
  if (late) {
    return `Nothing newer than ${dayAndTime(Date.parse(late.observed_at))} has come of ${late.feed}; it is overdue since ${dayAndTime(Date.parse(late.overdue_since))}. The forecasts go by what was known then.`;
  }
  return "";
}

// The city.

function fillSpots() {
  const select = $("spot");
  if (select.options.length !== state.map.spots.length) {
    select.replaceChildren(...state.map.spots.map((spot) => new Option(`${spot.spot} ${spot.name}`, spot.spot)));
    select.disabled = false;
  }
  select.value = state.spot;
}

function fillHours() {
  const { hours } = state.map;
  const input = $("hour");
  state.hour = Math.min(state.hour, hours.length - 1);
  input.max = Math.max(hours.length - 1, 1);
  input.value = state.hour;
  input.disabled = $("play").disabled = hours.length < 2;
  const marks = hours.length < 2 ? [] : [0, 6, 12, 18, 24].filter((index) => index < hours.length);
  $("ticks").replaceChildren(...marks.map((index) => element("span", { textContent: time.format(Date.parse(hours[index])) })));
  // Each under the place where the slider stands for it: the thumb's middle goes from one of its halves to the other.
  [...$("ticks").children].forEach((tick, at) => (tick.style.left = `calc(0.5rem + (100% - 1rem) * ${marks[at] / (hours.length - 1)})`));
}

function drawCity() {
  if (!state.map) return;
  const { direction, colour, hour, map: city } = state;
  const hourWords = daySpan(shownStart(), city.step_seconds);
  const kind = isAhead() ? `Forecast, ${aheadWords(shownStart())}` : "Counted, the newest hour";
  $("badge").hidden = false;
  $("badge").classList.toggle("ahead", isAhead());
  $("badge-hour").textContent = hourWords;
  $("badge-kind").textContent = kind;
  $("hour").setAttribute("aria-valuetext", `${hourWords}, ${kind}`);
  map.show(city.spots.map((spot) => ({ ...spot, mark: mark(spot, hour, direction, colour, city.unit) })), state.spot);
  drawLegend();
}

function aheadWords(start) {
  const hours = Math.round((start - cityNow()) / HOUR);
  return hours <= 0 ? "the hour that is passing" : `${hours} h ahead`;
}

function drawLegend() {
  const { steps, words } = legend(state.colour);
  $("legend").replaceChildren(
    ...steps.map((step) => {
      const item = element("span");
      item.append(legendMark(step.fill, step.shape, step.size), step.words);
      return item;
    }),
  );
  $("legend-text").textContent = words;
}

// The spot.

function drawSpot() {
  const spot = shownSpot();
  if (!spot) return;
  $("spot-title").replaceChildren(element("span", { textContent: `${spot.spot} ` }), element("bdi", { lang: "ko", textContent: spot.name }));
  document.querySelector(".detail").classList.toggle("undrawn", !state.history);
  if (!state.history || !state.live) return;
  const chosen = isAhead() ? shownStart() : null;
  chart.show(state.history, cityNow(), chosen);
  const side = state.side === "1" ? "into town" : "out of town";
  $("chart").setAttribute("aria-label", `Chart of ${spot.name}, ${side}: counted ${state.history.unit} of the last days, and the forecast. Arrow keys read hour by hour.`);
  drawSummary(spot, side, chosen);
  drawTable();
}

function drawSummary(spot, side, chosen) {
  const { history } = state;
  const { unit, step_seconds } = history;
  const newest = history.forecasts.at(-1);
  const last = history.observed.at(-1);
  const parts = [];
  if (last) parts.push([`Counted ${span(Date.parse(last.observed_at), step_seconds)}: `, whole.format(last.value), ` ${unit} ${side}${last.whole ? "" : ", some lanes missing"}. `]);
  else parts.push(["", "Nothing counted", ` ${side} in the last ${state.days === "1" ? "day" : `${state.days} days`}. `]);
  const end = (point) => Date.parse(point.valid_at) + step_seconds * 1000;
  const point = newest?.points.find((point) => Date.parse(point.valid_at) === chosen) ?? newest?.points.find((point) => end(point) > cityNow());
  if (point) {
    const start = Date.parse(point.valid_at);
    const usual = usualAt(spot, start);
    const band = `${whole.format(point.p10)}–${whole.format(point.p90)} in 8 of 10 cases`;
    parts.push([`Forecast ${span(start, step_seconds)}: `, whole.format(point.p50), `, ${band}${usual === null ? "" : `; usual is ${whole.format(usual)}`}. `]);
    if (newest.rule !== "model" && !isNaive(live().champion?.kind ?? "last")) {
      parts.push(["The model knows too little of this series, so a simple rule stands in: ", named(newest.rule).toLowerCase(), "."]);
    }
  } else if (newest) parts.push(["", "Nothing ahead", `: the newest forecast is from ${dayAndTime(Date.parse(newest.issued_at))}.`]);
  else parts.push(["", "No forecast yet", ": the first is on its way."]);
  $("summary").replaceChildren(...parts.flatMap(([before, figure, after]) => [before, element("b", { textContent: figure }), after]));
}

function usualAt(spot, start) {
  const index = state.map.hours.findIndex((hour) => Date.parse(hour) === start);
  return spot.series.find((one) => one.series === `${state.spot}/${state.side}`)?.usual[index] ?? null;
}

function drawTable() {
  const points = state.history.forecasts.at(-1)?.points ?? [];
  const row = (point) => {
    const start = Date.parse(point.valid_at);
    const cells = [`${day.format(start)}, ${span(start, state.history.step_seconds)}`, ...[point.p10, point.p50, point.p90].map(whole.format)];
    const line = element("tr");
    line.append(...cells.map((textContent) => element("td", { textContent })));
    return line;
  };
  $("table").replaceChildren(...points.map(row));
  $("table").closest("details").hidden = !points.length;
}

// What a spot's mark on the map says: how busy an hour is, or how it differs from the usual. Pure: it draws and asks nothing.

import { percent, whole } from "/page/formats.js";

const BUSY = [
  { below: 0.3, fill: "--busy-0", words: "under 30%" },
  { below: 0.55, fill: "--busy-1", words: "30–55%" },
  { below: 0.75, fill: "--busy-2", words: "55–75%" },
  { below: 0.9, fill: "--busy-3", words: "75–90%" },
  { below: Infinity, fill: "--busy-4", words: "90% or more" },
];
const USUAL = [
  { below: 0.7, fill: "--usual-0", shape: "down", size: 1, words: "over 30% fewer" },
  { below: 0.88, fill: "--usual-1", shape: "down", size: 0.55, words: "12–30% fewer" },
  { below: 1.12, fill: "--usual-2", shape: "circle", size: 0.25, words: "as usual, ±12%" },
  { below: 1.3, fill: "--usual-3", shape: "up", size: 0.55, words: "12–30% more" },
  { below: Infinity, fill: "--usual-4", shape: "up", size: 1, words: "over 30% more" },
];

/** The steps of a legend, and what they mean. */
export function legend(colour) {
  if (colour === "busy") {
    return {
      steps: BUSY.map((step, index) => ({ ...step, shape: "circle", size: (index + 1) / 5 })),
      words: "Each spot against its own busy hour, the traffic that 1 hour in 20 exceeded in the last 28 days. Dashed rings: no value.",
    };
  }
  return { steps: USUAL, words: "Each spot against its mean of the last four weeks at that hour of the week. ▲ more, ▼ fewer. Dashed rings: no value." };
}

/** `spot` as /v1/map gives it, its hour by index; `direction` "both", "1" or "2"; `colour` "busy" or "usual". */
export function mark(spot, hour, direction, colour, unit) {
  const series = spot.series.filter((one) => direction === "both" || one.series.endsWith(`/${direction}`));
  // Only series that have a value may speak of how much is usual or busy.
  const there = series.filter((one) => one.values[hour] !== null);
  const base = sum(there.map((one) => (colour === "busy" ? one.busy : one.usual[hour])));
  const value = sum(there.map((one) => one.values[hour]));
  const title = `${spot.name} (${spot.spot})`;
  if (value === null) return { fill: null, size: 0, shape: "circle", title: `${title}: no value` };
  const count = `${whole.format(value)} ${unit}`;
  if (!base) return { fill: null, size: 0, shape: "circle", title: `${title}: ${count}, ${colour === "busy" ? "no busy hour" : "nothing usual"} known` };
  const ratio = value / base;
  if (colour === "busy") {
    const step = BUSY.find((step) => ratio < step.below);
    return { fill: step.fill, size: Math.min(ratio, 1), shape: "circle", title: `${title}: ${count}, ${percent.format(ratio)} of its busy hour` };
  }
  const step = USUAL.find((step) => ratio < step.below);
  const words = `${percent.format(Math.abs(ratio - 1))} ${ratio >= 1 ? "more" : "fewer"} than usual`;
  return { fill: step.fill, size: step.size, shape: step.shape, title: `${title}: ${count}, ${words}` };
}

/** None where there is nothing to add, or where a part is not known. */
function sum(values) {
  return values.length && values.every((value) => value !== null) ? values.reduce((all, value) => all + value, 0) : null;
}

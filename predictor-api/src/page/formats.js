// How times, counts and names are written, the same everywhere on the page. Nothing here draws or asks.

const seoul = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Seoul", ...options });
export const time = seoul({ hour: "2-digit", minute: "2-digit" });
export const day = seoul({ weekday: "short", day: "numeric", month: "short" });
export const year = seoul({ year: "numeric" });
const weekday = seoul({ weekday: "short" });
export const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
export const percent = new Intl.NumberFormat("en-GB", { style: "percent", maximumFractionDigits: 0 });

export const dayAndTime = (at) => `${day.format(at)}, ${time.format(at)}`;
export const span = (start, stepSeconds) => `${time.format(start)}–${time.format(start + stepSeconds * 1000)}`;
export const daySpan = (start, stepSeconds) => `${weekday.format(start)} ${span(start, stepSeconds)}`;

/** A champion's kind, or the rule that stands in for it, in words. */
export function named(kind) {
  const names = {
    lightgbm: "LightGBM model",
    last: "Newest value",
    day: "Yesterday's value",
    week: "Last week's value",
    week_mean: "Four-week mean",
    city: "City's usual day",
  };
  return names[kind.replace(/^naive_/, "")] ?? kind;
}

export const isNaive = (kind) => kind !== "lightgbm";
export const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);

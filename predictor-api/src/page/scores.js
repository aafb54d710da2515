// The card that says how good the forecasts have been. It draws what /v1/accuracy answered; it asks the server for nothing.

import { dayAndTime, element, named, percent, whole } from "/page/formats.js";

const AHEAD = [1, 3, 6, 12, 24]; // steps that get a row

/** `body`: the table's; `words`: the paragraph above it; `champion`: whose forecasts these are. */
export function drawScores(body, words, accuracy, champion) {
  const { count } = accuracy.overall;
  body.closest("table").hidden = !count;
  if (!count) {
    words.textContent = `Nothing that the ${named(champion.kind)} forecast has come yet.`;
    return;
  }
  const until = dayAndTime(Date.parse(accuracy.until));
  words.textContent = `${named(champion.kind)}: ${whole.format(count)} forecasts of the week until ${until}, as they were issued, against what came.`;
  const ahead = accuracy.horizons.filter((score) => AHEAD.includes(score.horizon));
  body.replaceChildren(...ahead.map((score) => row(`${score.horizon} h`, score)), row("All", accuracy.overall));
}

function row(name, score) {
  const line = element("tr");
  const head = element("th", { scope: "row", textContent: name });
  const cells = [
    score.mae === null ? "–" : whole.format(score.mae),
    share(score.wape),
    gain(score.skill.naive_week),
    gain(score.skill.naive_week_mean),
    share(score.coverage),
  ];
  line.append(head, ...cells.map((words) => element("td", { textContent: words })));
  return line;
}

const share = (value) => (value === null ? "–" : percent.format(value));

/** Skill, as the error that a forecast spares: minus is worse than the rule. */
function gain(skill) {
  if (skill === null) return "–";
  const points = Math.round(skill * 100);
  return `${points < 0 ? "+" : points > 0 ? "−" : "±"}${Math.abs(points)}%`;
}

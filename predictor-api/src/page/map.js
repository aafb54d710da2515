// The map: the city's spots where they stand, coloured by one hour. It draws what it is given and says which spot was
// chosen; it asks the server for nothing.

const SVG = "http://www.w3.org/2000/svg";

// What the frame shows, in degrees (WGS84): Seoul with a margin.
const FRAME = { south: 37.42, north: 37.705, west: 126.757, east: 127.195 };
const COS = Math.cos((37.56 * Math.PI) / 180);
const WIDTH = 1000; // units of the drawing, as wide as the frame
const SCALE = WIDTH / ((FRAME.east - FRAME.west) * COS);
const HEIGHT = (FRAME.north - FRAME.south) * SCALE;

// Seoul's limits, generalised to some 400 m from Statistics Korea's census boundaries of 2013.
const LIMITS = [
  [37.558, 127.115], [37.578, 127.179], [37.543, 127.185], [37.542, 127.165], [37.519, 127.148], [37.503, 127.143], [37.497, 127.164],
  [37.476, 127.152], [37.473, 127.133], [37.466, 127.138], [37.467, 127.127], [37.456, 127.119], [37.459, 127.098], [37.443, 127.09],
  [37.439, 127.074], [37.426, 127.068], [37.426, 127.054], [37.436, 127.038], [37.461, 127.037], [37.453, 127.013], [37.464, 127.006],
  [37.437, 126.961], [37.433, 126.942], [37.447, 126.931], [37.431, 126.905], [37.454, 126.888], [37.485, 126.879], [37.491, 126.87],
  [37.479, 126.849], [37.471, 126.848], [37.475, 126.822], [37.487, 126.825], [37.493, 126.815], [37.505, 126.827], [37.524, 126.831],
  [37.532, 126.824], [37.538, 126.824], [37.54, 126.811], [37.533, 126.797], [37.541, 126.794], [37.553, 126.767], [37.575, 126.795],
  [37.601, 126.803], [37.573, 126.853], [37.577, 126.878], [37.591, 126.887], [37.586, 126.889], [37.587, 126.902], [37.645, 126.91],
  [37.643, 126.923], [37.656, 126.949], [37.629, 126.977], [37.637, 126.988], [37.652, 126.982], [37.662, 126.995], [37.677, 126.994],
  [37.682, 127.01], [37.692, 127.011], [37.699, 127.021], [37.698, 127.03], [37.689, 127.035], [37.691, 127.051], [37.684, 127.053],
  [37.694, 127.079], [37.686, 127.097], [37.659, 127.098], [37.653, 127.088], [37.637, 127.114], [37.62, 127.106], [37.615, 127.119],
  [37.592, 127.12], [37.581, 127.104], [37.571, 127.103], [37.557, 127.103],
];
// A sketch of the Han's middle line, from east to west, and of the streams that help to find one's way. From general
// knowledge, for orientation only.
const HAN = [
  [37.56, 127.24], [37.577, 127.2], [37.571, 127.16], [37.556, 127.13], [37.5435, 127.11], [37.534, 127.103], [37.5245, 127.09],
  [37.5215, 127.078], [37.526, 127.064], [37.531, 127.056], [37.5372, 127.035], [37.537, 127.02], [37.5275, 127.012],
  [37.516, 126.997], [37.5105, 126.982], [37.5165, 126.962], [37.526, 126.944], [37.534, 126.936], [37.5385, 126.925],
  [37.5435, 126.905], [37.553, 126.891], [37.571, 126.863], [37.586, 126.835], [37.599, 126.808], [37.615, 126.77], [37.625, 126.74],
];
const STREAMS = [
  [[37.69, 127.046], [37.66, 127.055], [37.63, 127.065], [37.6, 127.07], [37.57, 127.075], [37.55, 127.05], [37.542, 127.035], [37.537, 127.026]],
  [[37.437, 126.9], [37.465, 126.886], [37.495, 126.877], [37.52, 126.88], [37.545, 126.882], [37.556, 126.886]],
  [[37.46, 127.125], [37.49, 127.115], [37.505, 127.075], [37.518, 127.073]],
  [[37.569, 126.978], [37.5695, 127.005], [37.57, 127.03], [37.556, 127.047]],
];
const LABELS = [
  [37.5759, 126.9769, "Gwanghwamun"], [37.4979, 127.0276, "Gangnam"], [37.524, 126.926, "Yeouido"], [37.5133, 127.1001, "Jamsil"],
  [37.5795, 126.8895, "Sangam"], [37.5635, 126.802, "Gimpo Airport"], [37.655, 127.0615, "Nowon"], [37.478, 126.9515, "Gwanak"],
  [37.569, 127.2, "Han river"], [37.6365, 127.0245, "Suyu"], [37.5385, 127.0705, "Konkuk Univ."], [37.485, 126.895, "Guro"],
];
const PEAKS = [[37.6585, 126.978, "Bukhansan"], [37.4445, 126.9635, "Gwanaksan"]];
// Where a label may go, in widths and heights of itself from its place; the first where it hides no spot.
const LABEL_OFFSETS = [[0, 0], [0, -1.3], [0, 1.3], [-0.65, 0], [0.65, 0], [-0.6, -1.3], [0.6, -1.3], [-0.6, 1.3], [0.6, 1.3]];

const x = (longitude) => (longitude - FRAME.west) * COS * SCALE;
const y = (latitude) => (FRAME.north - latitude) * SCALE;

export class MapView {
  /** `onChoose` is told the id of the spot that was chosen. */
  constructor(svg, onChoose) {
    this.svg = svg;
    this.onChoose = onChoose;
    this.spots = [];
    this.chosen = null;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT.toFixed(0)}`);
    this.back = svg.appendChild(make("g"));
    this.marks = svg.appendChild(make("g"));
    this.front = svg.appendChild(make("g"));
    svg.addEventListener("click", (event) => this.pick(event));
    svg.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  /** `spots`: [{spot, name, latitude, longitude, mark: {fill, size 0…1, shape, title}}]. */
  show(spots, chosen) {
    this.spots = spots;
    this.chosen = chosen;
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth;
    if (!width) return;
    const unit = WIDTH / width; // one pixel, in units of the drawing
    const small = width < 500;
    const radius = small ? [2.5, 5.5] : [4, 9];
    this.drawBack(unit, small);
    // The big ones first, so that none hides a small one.
    const order = [...this.spots].sort((a, b) => b.mark.size - a.mark.size);
    const marks = order.map((spot) => {
      const r = (radius[0] + (radius[1] - radius[0]) * spot.mark.size) * unit;
      const mark = shape(spot.mark.shape, x(spot.longitude), y(spot.latitude), r);
      mark.setAttribute("class", spot.mark.fill ? "spot" : "spot none");
      if (spot.mark.fill) mark.style.fill = `var(${spot.mark.fill})`;
      mark.style.strokeWidth = unit;
      const title = make("title");
      title.textContent = spot.mark.title;
      mark.append(title);
      return mark;
    });
    this.marks.replaceChildren(...marks);
    this.drawChosen(unit, radius);
  }

  drawBack(unit, small) {
    const river = make("path", { class: "river", d: curve(HAN) });
    river.style.strokeWidth = 30;
    const streams = STREAMS.map((points) => {
      const stream = make("path", { class: "stream", d: curve(points) });
      stream.style.strokeWidth = 5;
      return stream;
    });
    const limits = make("path", { class: "limits", d: `M${LIMITS.map(([latitude, longitude]) => `${x(longitude).toFixed(1)} ${y(latitude).toFixed(1)}`).join("L")}Z` });
    limits.style.strokeWidth = 1.25 * unit;
    const peaks = small ? [] : PEAKS.map(([latitude, longitude, words]) => label(`▲ ${words}`, x(longitude), y(latitude), unit, "peak"));
    this.back.replaceChildren(limits, ...streams, river, ...peaks, ...this.placeLabels(unit, small ? 5 : LABELS.length));
  }

  /** Labels, each where it hides no spot and leaves the frame nowhere; one that fits nowhere is left out. */
  placeLabels(unit, most) {
    const room = 8 * unit; // about a spot's radius
    const taken = this.spots.map((spot) => [x(spot.longitude), y(spot.latitude)]);
    const placed = [];
    for (const [latitude, longitude, words] of LABELS) {
      const [width, height] = [6.8 * words.length * unit, 13 * unit];
      for (const [dx, dy] of LABEL_OFFSETS) {
        const [cx, cy] = [x(longitude) + dx * width, y(latitude) + dy * height];
        const hides = ([px, py]) => Math.abs(px - cx) < width / 2 + room && Math.abs(py - cy) < height / 2 + room;
        if (cx < width / 2 || cx > WIDTH - width / 2 || taken.some(hides)) continue;
        placed.push(label(words, cx, cy + 4 * unit, unit, words.startsWith("Han ") ? "water" : ""));
        taken.push([cx - width / 4, cy], [cx + width / 4, cy]);
        break;
      }
      if (placed.length === most) break;
    }
    return placed;
  }

  drawChosen(unit, radius) {
    const spot = this.spots.find((spot) => spot.spot === this.chosen);
    if (!spot) return this.front.replaceChildren();
    const [cx, cy] = [x(spot.longitude), y(spot.latitude)];
    const r = (radius[1] + 4) * unit;
    const ring = make("circle", { class: "ring", cx, cy, r });
    ring.style.strokeWidth = 2 * unit;
    const name = label(spot.name, Math.min(Math.max(cx, 90 * unit), WIDTH - 90 * unit), cy - r - 5 * unit > 14 * unit ? cy - r - 5 * unit : cy + r + 14 * unit, unit, "chosen");
    name.setAttribute("lang", "ko");
    this.front.replaceChildren(ring, name);
  }

  /** The nearest spot to where the reader pointed; a finger needs no aim. */
  pick(event) {
    const box = this.svg.getBoundingClientRect();
    const unit = WIDTH / box.width;
    const [px, py] = [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
    const distance = (spot) => Math.hypot(x(spot.longitude) - px, y(spot.latitude) - py);
    const nearest = this.spots.reduce((best, spot) => (!best || distance(spot) < distance(best) ? spot : best), null);
    if (nearest && distance(nearest) < 32 * unit) this.onChoose(nearest.spot);
  }

  /** Arrow keys: the nearest spot within 45° of that direction. */
  walk(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction || !this.spots.length) return;
    event.preventDefault();
    const from = this.spots.find((spot) => spot.spot === this.chosen);
    if (!from) return this.onChoose(this.spots[0].spot);
    let [best, least] = [null, Infinity];
    for (const spot of this.spots) {
      const [dx, dy] = [x(spot.longitude) - x(from.longitude), y(spot.latitude) - y(from.latitude)];
      const along = dx * direction[0] + dy * direction[1];
      const across = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
      if (along > 0 && across <= along && along + across < least) [best, least] = [spot, along + across];
    }
    if (best) this.onChoose(best.spot);
  }
}

/** A mark for a legend, in the map's own shapes. */
export function legendMark(fill, shapeName, size) {
  const svg = make("svg", { viewBox: "-10 -10 20 20" });
  const mark = shape(shapeName, 0, 0, 3.5 + 5 * size);
  mark.style.fill = `var(${fill})`;
  svg.append(mark);
  return svg;
}

function shape(name, cx, cy, r) {
  if (name === "up") return make("path", { d: `M${cx} ${cy - 1.25 * r}L${cx + 1.15 * r} ${cy + 0.8 * r}H${cx - 1.15 * r}Z` });
  if (name === "down") return make("path", { d: `M${cx} ${cy + 1.25 * r}L${cx + 1.15 * r} ${cy - 0.8 * r}H${cx - 1.15 * r}Z` });
  return make("circle", { cx, cy, r });
}

function label(text, cx, cy, unit, kind = "") {
  const element = make("text", { x: cx, y: cy, class: kind });
  element.style.fontSize = `${(kind === "chosen" ? 12.5 : 11) * unit}px`;
  element.style.strokeWidth = `${3 * unit}px`;
  element.textContent = text;
  return element;
}

/** A smooth line through the points (Catmull-Rom, as cubic Béziers). */
function curve(points) {
  const at = points.map(([latitude, longitude]) => [x(longitude), y(latitude)]);
  const near = (index) => at[Math.min(Math.max(index, 0), at.length - 1)];
  let path = `M${at[0].map((v) => v.toFixed(1)).join(" ")}`;
  for (let i = 0; i < at.length - 1; i++) {
    const [a, b, c, d] = [near(i - 1), near(i), near(i + 1), near(i + 2)];
    const first = [b[0] + (c[0] - a[0]) / 6, b[1] + (c[1] - a[1]) / 6];
    const second = [c[0] - (d[0] - b[0]) / 6, c[1] - (d[1] - b[1]) / 6];
    path += `C${[...first, ...second, ...c].map((v) => v.toFixed(1)).join(" ")}`;
  }
  return path;
}

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

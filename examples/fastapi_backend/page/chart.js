// A chart of one series: the latest readings, evenly spaced, as plain SVG.
//
// Devices send at their own pace and may be silent for days. On a time axis a long pause
// would leave no room for the readings. So they are drawn side by side, and a pause ten
// times longer than usual is a band that breaks the line and says how long it was.

const NS = "http://www.w3.org/2000/svg";
const LEFT = 46;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 24;
const BAND = 48; // pixels for a pause, at most

export function node(name, attributes = {}, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

export function readable(value) {
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}

export function clock(time, other = null) {
  const sameDay = other !== null && time.toDateString() === other.toDateString();
  const options = sameDay
    ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
    : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return time.toLocaleString(undefined, options);
}

// Round values for the grid lines: the largest step that gives three lines.
function steps(low, high) {
  const power = 10 ** Math.floor(Math.log10(high - low));
  const sizes = [5, 2, 1, 0.5, 0.2, 0.1].map((factor) => factor * power);
  for (const size of sizes) {
    const first = Math.ceil(low / size);
    const lines = Math.floor(high / size) - first + 1;
    if (lines >= 3) {
      return Array.from({ length: lines }, (_, at) => Number(((first + at) * size).toPrecision(12)));
    }
  }
  return [low, high];
}

// Where the axis is cut: for each reading, whether a pause lies before it.
function pausesOf(points) {
  const gaps = points.slice(1).map((point, at) => point.time - points[at].time);
  const usual = [...gaps].sort((a, b) => a - b)[Math.floor(gaps.length / 2)] || 0;
  const least = Math.max(10 * usual, 60_000);
  return [false, ...gaps.map((gap) => gap > least)];
}

// The places of the readings on the axis, in pixels.
function placesOf(pauses, left, right) {
  const cuts = pauses.filter(Boolean).length;
  const steps = pauses.length - 1;
  if (!steps) return [right];
  const band = cuts ? Math.min(BAND, (right - left) / 2 / cuts) : 0;
  const step = cuts < steps ? (right - left - cuts * band) / (steps - cuts) : 0;
  let place = left;
  return pauses.map((pause, at) => (place += at === 0 ? 0 : pause ? band : step));
}

function lengthOf(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000);
  if (minutes < 100) return `${minutes} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} d`;
}

export class Chart {
  constructor(svg, tip) {
    this.svg = svg;
    this.tip = tip;
    this.points = [];
    this.pointer = null; // its last position; needed when the chart is redrawn
    new ResizeObserver(() => this.draw()).observe(svg);
    svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    svg.addEventListener("pointerleave", () => this.point(null));
    svg.addEventListener("keydown", (event) => this.step(event));
    svg.addEventListener("blur", () => this.point(null));
  }

  show(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    const { svg, points } = this;
    const width = svg.clientWidth;
    const height = svg.clientHeight;
    svg.replaceChildren();
    if (!points.length || !width) {
      this.tip.hidden = true;
      return;
    }
    let low = Math.min(...points.map((point) => point.value));
    let high = Math.max(...points.map((point) => point.value));
    const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    low -= room;
    high += room;
    this.pauses = pausesOf(points);
    const places = placesOf(this.pauses, LEFT, width - RIGHT);
    this.x = (at) => places[at];
    this.y = (value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
    for (const value of steps(low, high)) {
      const y = Math.round(this.y(value));
      svg.append(node("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
      const label = { x: LEFT - 8, y: y + 4, "text-anchor": "end" };
      svg.append(node("text", label, readable(value)));
    }
    this.drawTimes(width, height);
    this.drawCurve(height - BOTTOM);
    const last = points.length - 1;
    const at = { cx: this.x(last), cy: this.y(points[last].value) };
    svg.append(node("circle", { class: "point", r: 4.5, ...at }));
    this.point(this.pointer);
  }

  drawTimes(width, height) {
    const { points } = this;
    const last = points.length - 1;
    const middle = this.nearest(width / 2);
    const room = Math.min(this.x(middle) - this.x(0), this.x(last) - this.x(middle));
    const places = last < 1 ? [last] : room < 150 ? [0, last] : [0, middle, last];
    for (const at of places) {
      const anchor = at === last ? "end" : at === 0 ? "start" : "middle";
      const other = points[at === last ? 0 : last].time;
      const label = { x: this.x(at), y: height - 6, "text-anchor": anchor };
      this.svg.append(node("text", label, clock(points[at].time, last < 1 ? null : other)));
    }
  }

  drawCurve(floor) {
    const { points, pauses } = this;
    const runs = [];
    points.forEach((point, at) => {
      if (!runs.length || pauses[at]) runs.push([]);
      runs.at(-1).push(`${this.x(at).toFixed(1)},${this.y(point.value).toFixed(1)}`);
      if (!pauses[at]) return;
      const x = (this.x(at) + this.x(at - 1)) / 2;
      this.svg.append(node("line", { class: "pause", x1: x, x2: x, y1: TOP + 16, y2: floor }));
      if (this.x(at) - this.x(at - 1) < BAND) return; // no room for words
      const label = { class: "length", x, y: TOP + 8, "text-anchor": "middle" };
      this.svg.append(node("text", label, lengthOf(point.time - points[at - 1].time)));
    });
    for (const run of runs) {
      this.svg.append(node("path", { class: "curve", d: `M${run.join("L")}` }));
      if (run.length === 1) {
        const [cx, cy] = run[0].split(",");
        this.svg.append(node("circle", { class: "point", r: 3.5, cx, cy }));
      }
    }
  }

  // The arrow keys move from reading to reading, starting at the latest.
  step(event) {
    const last = this.points.length - 1;
    const at = this.pointer === null ? last + 1 : this.nearest(this.pointer);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.point(this.x(Math.min(Math.max(to, 0), last)));
  }

  nearest(offset) {
    const distances = this.points.map((_, at) => Math.abs(this.x(at) - offset));
    return distances.indexOf(Math.min(...distances));
  }

  // The reading under the pointer; null if there is none.
  point(offset) {
    this.pointer = offset;
    for (const old of this.svg.querySelectorAll(".cross, .under")) old.remove();
    this.tip.hidden = offset === null || !this.points.length;
    if (this.tip.hidden) return;
    const at = this.nearest(offset);
    const { value, time } = this.points[at];
    const [x, y] = [this.x(at), this.y(value)];
    const floor = this.svg.clientHeight - BOTTOM;
    this.svg.append(node("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: floor }));
    this.svg.append(node("circle", { class: "point under", r: 4.5, cx: x, cy: y }));
    const number = document.createElement("b");
    number.textContent = readable(value);
    const when = document.createElement("span");
    when.textContent = time.toLocaleString();
    this.tip.replaceChildren(number, when);
    const side = x > this.svg.clientWidth / 2 ? -this.tip.offsetWidth - 12 : 12;
    this.tip.style.transform = `translate(${x + side}px, ${Math.max(0, y - 46)}px)`;
  }
}

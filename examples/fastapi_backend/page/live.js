// The live page: shows events as figures. Payloads are shown as text, never as markup.

import { Chart, clock, node, readable } from "./chart.js";

const MOST_POINTS = 100;
const MOST_LINES = 12;
const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  byId(id).textContent = text;
};

const chart = new Chart(byId("chart"), byId("tip"));
const devices = new Map(); // id -> device
const lastMessageAt = new Map(); // id -> time of its last message
let chosen = decodeURIComponent(location.hash.slice(1)) || null;
let messages = []; // of the chosen device, oldest first
let loaded = null; // the device whose messages were requested
let series = null;
let status = null;
let last = null;

// -- readings of a message -----------------------------------------------------------------

function numbers(value, path = "") {
  if (typeof value === "number") return [[path, value]];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    numbers(inner, path ? `${path}.${name}` : name),
  );
}

function points() {
  return messages.flatMap((message) => {
    const found = numbers(message.payload).find(([path]) => path === series);
    return found ? [{ time: new Date(message.timestamp), value: found[1] }] : [];
  });
}

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - time) / 1000));
  if (seconds < 2) return "now";
  if (seconds < 100) return `${seconds} s ago`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

const nameOf = (id) => devices.get(id)?.name || id;
const isOn = (device) => device.operating_status === "connected";

// -- the fleet -----------------------------------------------------------------------------

function showFleet() {
  const all = [...devices.values()];
  const on = all.filter(isOn).length;
  put("connected", on);
  put("devices-total", ` of ${all.length}`);
  byId("connected-meter").style.width = `${all.length ? (100 * on) / all.length : 0}%`;
  const off = all.length - on;
  put("devices-note", off ? `${off} disconnected` : all.length ? "All of them" : "None yet");
  showList();
}

function showList() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const rows = [...devices.values()]
    .filter((device) => `${device.name} ${device.id}`.toLowerCase().includes(wanted))
    .sort((a, b) => isOn(b) - isOn(a) || nameOf(a.id).localeCompare(nameOf(b.id)))
    .map((device) => {
      const row = document.createElement("button");
      row.type = "button";
      row.className = isOn(device) ? "on" : "off";
      row.dataset.device = device.id;
      row.setAttribute("aria-current", String(device.id === chosen));
      const dot = document.createElement("span");
      dot.className = "dot";
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = nameOf(device.id);
      const when = document.createElement("span");
      when.className = "when";
      row.append(dot, name, when);
      row.addEventListener("click", () => choose(device.id));
      const item = document.createElement("li");
      item.append(row);
      return item;
    });
  const focused = document.activeElement?.dataset.device;
  byId("list").replaceChildren(...rows);
  setStop(focused);
  if (focused) byId("list").querySelector(`[data-device="${CSS.escape(focused)}"]`)?.focus();
  byId("list-empty").hidden = rows.length > 0;
  put("list-empty", wanted ? "No device of that name" : "The project has no devices");
  showAges();
}

// The list is one stop of the tab key, however many devices it has; the arrow keys move in it.
function setStop(device) {
  const rows = [...byId("list").querySelectorAll("button")];
  const of = (id) => rows.find((row) => row.dataset.device === id);
  const stop = of(device) ?? of(chosen) ?? rows[0];
  for (const row of rows) row.tabIndex = row === stop ? 0 : -1;
}

function moveInList(event) {
  const rows = [...byId("list").querySelectorAll("button")];
  const at = rows.indexOf(document.activeElement);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: rows.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  rows[Math.min(Math.max(to, 0), rows.length - 1)].focus();
}

function showAges() {
  for (const row of byId("list").querySelectorAll("button")) {
    const { device } = row.dataset;
    const state = isOn(devices.get(device)) ? "connected" : "disconnected";
    const when = lastMessageAt.has(device) ? ago(lastMessageAt.get(device)) : state;
    row.querySelector(".when").textContent = when;
    row.title = `${device}, ${state}`;
  }
  if (last) put("last-age", ago(last.came));
}

// -- one device ----------------------------------------------------------------------------

async function choose(id) {
  const other = id !== loaded;
  chosen = loaded = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  if (other) {
    messages = [];
    series = null;
  }
  for (const row of byId("list").querySelectorAll("button")) {
    row.setAttribute("aria-current", String(row.dataset.device === id));
  }
  showDevice("Loading");
  let found;
  try {
    found = await recent(id);
  } catch (error) {
    if (id === chosen) showDevice(error.message);
    return;
  }
  if (id !== chosen) return;
  // Messages that came by the stream in between are kept, and none is listed twice.
  const keys = new Set(found.map((message) => message.key));
  messages = [...found.reverse(), ...messages.filter((message) => !keys.has(message.key))];
  messages.sort((a, b) => new Date(a.timestamp) - new Date(b.timestamp));
  messages = messages.slice(-MOST_POINTS);
  showDevice("This device has sent no numbers");
}

async function recent(id) {
  let answer, found;
  try {
    answer = await fetch(`/api/devices/${encodeURIComponent(id)}/recent?limit=${MOST_POINTS}`);
    found = await answer.json();
  } catch {
    throw Error("The readings could not be loaded");
  }
  if (!answer.ok) throw Error(found.detail || "The readings could not be loaded");
  return found;
}

function showDevice(otherwise) {
  put("device-name", nameOf(chosen));
  const device = devices.get(chosen);
  put("device-note", device ? `${device.operating_status} · ${device.id}` : chosen);
  const names = [...new Set(messages.flatMap((m) => numbers(m.payload).map(([path]) => path)))];
  if (!names.includes(series)) series = names[0] ?? null;
  const select = byId("series");
  select.hidden = names.length < 2;
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === series)));
  const shown = points();
  chart.show(shown);
  byId("empty").hidden = shown.length > 0;
  put("empty", otherwise);
  const latest = shown.at(-1);
  put("value", latest ? readable(latest.value) : "–");
  put("value-at", latest ? `${series.split(".").at(-1)}, ${clock(latest.time, new Date())}` : "");
  byId("chart").setAttribute("aria-label", `Latest ${shown.length} readings of ${series}`);
}

// -- events --------------------------------------------------------------------------------

function onMessage(message) {
  last = { came: Date.now(), device: message.device_id };
  lastMessageAt.set(message.device_id, last.came);
  put("last-from", nameOf(message.device_id));
  put("last-payload", JSON.stringify(message.payload));
  if (status) {
    status.counts[status.counts.length - 1] += 1;
    showCounts();
  }
  if (message.device_id === chosen && !messages.some(({ key }) => key === message.key)) {
    messages = [...messages, message].slice(-MOST_POINTS);
    showDevice("This device has sent no numbers");
  }
  showLine(message);
  showAges();
}

function showLine(message) {
  byId("log-empty").hidden = true;
  const line = document.createElement("li");
  line.dataset.key = message.key;
  const when = document.createElement("time");
  when.textContent = new Date(message.timestamp).toLocaleTimeString();
  const device = document.createElement("span");
  device.className = "device";
  device.textContent = nameOf(message.device_id);
  const payload = document.createElement("code");
  payload.textContent = JSON.stringify(message.payload);
  line.append(when, device, payload);
  byId("log").prepend(line);
  while (byId("log").children.length > MOST_LINES) byId("log").lastChild.remove();
}

function showStatus() {
  const { quota } = status;
  setState(status.live ? "live" : "waiting");
  byId("problem").hidden = !status.problem;
  put("problem", status.problem ?? "");
  // Between two windows the limit is known, but not what remains.
  const limited = quota.limit !== null;
  const left = quota.remaining ?? quota.limit;
  put("quota", limited ? left : "–");
  put("quota-limit", limited ? ` of ${quota.limit}` : "");
  const share = limited ? left / quota.limit : 0;
  byId("quota-meter").style.width = `${100 * share}%`;
  byId("quota-meter").classList.toggle("low", share < 0.15);
  const seconds = quota.resets_at && Math.round((new Date(quota.resets_at) - Date.now()) / 1000);
  const window = seconds > 0 ? `Resets in ${seconds} s` : "Full again";
  const waiting = quota.waiting ? ` · ${quota.waiting} waiting` : "";
  put("quota-note", limited ? window + waiting : "No limit known");
  showCounts();
}

function showCounts() {
  const { counts } = status;
  const minute = Math.round(60 / status.bin_seconds);
  put("rate", counts.slice(-minute).reduce((sum, count) => sum + count, 0));
  const bars = byId("bars");
  const [width, height] = [bars.clientWidth, bars.clientHeight];
  const most = Math.max(...counts, 1);
  const each = width / counts.length;
  bars.replaceChildren(
    ...counts.map((count, at) => {
      const tall = count ? Math.max(3, (count / most) * height) : 1;
      const box = { x: at * each, y: height - tall, width: Math.max(1, each - 1.5), height: tall };
      return node("rect", { ...box, rx: count ? 1 : 0, class: count ? "some" : "none" });
    }),
  );
}

function setState(state) {
  const texts = {
    connecting: "Connecting",
    live: "Live",
    waiting: "Waiting for the stream",
    lost: "Connection lost, trying again",
  };
  byId("live").dataset.state = state;
  byId("live").querySelector(".text").textContent = texts[state];
}

function listen() {
  const source = new EventSource("/api/live");
  const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  let before = false;
  source.addEventListener("open", () => {
    // After a gap the shown device may lack readings.
    if (before && chosen) choose(chosen);
    before = true;
  });
  source.addEventListener("error", () => setState("lost"));
  on("message", onMessage);
  on("gap", () => chosen && choose(chosen));
  on("status", (found) => {
    status = found;
    showStatus();
  });
  on("fleet", (found) => {
    devices.clear();
    for (const device of found) devices.set(device.id, device);
    showFleet();
    if (!devices.size) return;
    chosen ??= (found.find(isOn) || found[0]).id;
    if (loaded !== chosen) choose(chosen);
  });
}

byId("list").addEventListener("keydown", moveInList);
byId("list").addEventListener("focusin", (event) => setStop(event.target.dataset.device));
byId("filter").addEventListener("input", showList);
byId("series").addEventListener("change", (event) => {
  series = event.target.value;
  showDevice("");
});
new ResizeObserver(() => status && showCounts()).observe(byId("bars"));
setInterval(showAges, 1000);
listen();

"use strict";
// What all parts of the page use: the data, elements, selections, decoded arrays.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SCALE = 8192; // as packing.py
const COLOURS = ["#1f77b4", "#e4572e", "#2a9d5c", "#8e44ad", "#c98a00", "#17a2b8", "#d63384", "#6c757d", "#7a5c3e", "#264653"];
const PLOT = { displaylogo: false, responsive: true, displayModeBar: false };
const more = new Set(DATA.more);
const decoded = new Map();

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function select(label, options, onchange, chosen = 0) {
  const list = make("select", { "aria-label": label }, ...options.map(([value, text]) => make("option", { value, textContent: text })));
  list.selectedIndex = Math.max(0, chosen);
  list.addEventListener("change", () => onchange(list.value));
  return { list, node: make("label", {}, `${label} `, list) };
}

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
}

// A pool entry as 16-bit integers; `Kind` is Int16Array for coordinates, Uint16Array for triangles.
function pooled(place, Kind) {
  if (!decoded.has(place)) decoded.set(place, new Kind(bytes(DATA.pool[place])));
  return decoded.get(place);
}

// Coordinates of a pool entry as one list a dimension.
function coordinates(place, dimensions = 3) {
  const flat = pooled(place, Int16Array);
  const lists = Array.from({ length: dimensions }, () => new Float32Array(flat.length / dimensions));
  for (let i = 0; i < flat.length; i++) lists[i % dimensions][(i / dimensions) | 0] = flat[i] / SCALE;
  return lists;
}

// Scores of a run on the images of a split: Float32Array with NaN where there is none.
function scoresOf(split, run, metric) {
  const text = split.scores[run]?.[metric];
  if (!text) return null;
  const key = text; // the text itself: equal texts are equal arrays
  if (!decoded.has(key)) decoded.set(key, new Float32Array(bytes(text)));
  return decoded.get(key);
}

// The mean over the runs of a setting, image by image.
function settingScores(block, split, setting, metric) {
  const parts = block.runs.filter((i) => DATA.runs[i].setting === setting)
    .map((i) => scoresOf(split, i, metric)).filter(Boolean);
  if (!parts.length) return null;
  return parts[0].map((_, k) => parts.reduce((sum, p) => sum + p[k], 0) / parts.length);
}

function runName(i) {
  const { setting, seed } = DATA.runs[i];
  const same = DATA.runs.filter((r) => r.setting === setting && r.seed === seed);
  const name = DATA.runs.filter((r) => r.setting === setting).length > 1 ? `${setting}, seed ${seed}` : setting;
  return same.length > 1 ? `${name} (${DATA.runs[i].name})` : name;
}

const colourOf = (setting) => COLOURS[DATA.settings.indexOf(setting) % COLOURS.length];
const head = (metric) => DATA.heads[metric] ?? metric;
const shown = (value) => (value === null || Number.isNaN(value) ? "–" : Math.abs(value) < 0.1 ? value.toFixed(4) : value.toFixed(3));
const fill = (name) => document.querySelector(`#${name} .fill`);
const layout = (extra) => ({
  margin: { l: 60, r: 20, t: 20, b: 50 }, font: { family: "system-ui, sans-serif", size: 12 }, hovermode: "closest",
  legend: { font: { size: 11 } }, ...extra,
});

// Blocks and splits that have scores by image, as one list of choices.
const scored = DATA.blocks.flatMap((block) => block.splits.filter((s) => Object.keys(s.scores).length)
  .map((split) => ({ block, split, title: `${block.title}: ${split.name}` })));

// What is drawn for a printer may hold parts of its own, which are drawn at once: an event skips listeners added meanwhile.
let printing = false;
addEventListener("beforeprint", () => { printing = true; });
addEventListener("afterprint", () => { printing = false; });

// Runs `draw` once the part comes near the window, so that a long page opens at once, or when the page is printed.
function whenSeen(node, draw) {
  if (printing) { draw(); return; }
  const once = () => { watch.disconnect(); removeEventListener("beforeprint", once); draw(); };
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting)) once();
  }, { rootMargin: "500px" });
  watch.observe(node);
  addEventListener("beforeprint", once);
}

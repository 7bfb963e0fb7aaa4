"use strict";
// Two settings image by image: a scatter, and a table of the images on which they differ.

const LISTED = 500; // rows of the table, at most

function drawImages(root) {
  const plot = make("div", { className: "plot" }), holder = make("div", { className: "wide" });
  const state = { part: scored[0] };
  const metric = select("score", [], (v) => { state.metric = v; draw(); });
  const a = select("A", [], (v) => { state.a = v; draw(); }), b = select("B", [], (v) => { state.b = v; draw(); });
  const choose = (at) => {
    state.part = scored[at];
    const { block, split } = state.part;
    metric.list.replaceChildren(...split.metrics.map((m) => make("option", { value: m, textContent: head(m) })));
    for (const s of [a, b]) s.list.replaceChildren(...block.settings.map((n) => make("option", { value: n, textContent: n })));
    metric.list.value = state.metric = split.main;
    a.list.value = state.a = block.baseline;
    b.list.value = state.b = block.settings.find((s) => s !== block.baseline) ?? block.baseline;
    draw();
  };
  const draw = () => {
    const { block, split } = state.part;
    const x = settingScores(block, split, state.a, state.metric), y = settingScores(block, split, state.b, state.metric);
    const rows = !x || !y ? [] : [...x.keys()].filter((k) => !Number.isNaN(x[k]) && !Number.isNaN(y[k]));
    const categories = [...new Set(rows.map((k) => split.categories[k]))];
    const low = Math.min(...rows.map((k) => Math.min(x[k], y[k]))), high = Math.max(...rows.map((k) => Math.max(x[k], y[k])));
    const traces = categories.map((category, i) => {
      const mine = rows.filter((k) => split.categories[k] === category);
      return {
        type: "scatter", mode: "markers", name: category, x: mine.map((k) => x[k]), y: mine.map((k) => y[k]), marker: { size: 5, opacity: 0.7, color: COLOURS[i % COLOURS.length] },
        text: mine.map((k) => `${split.objects[k]}, view ${split.views[k]}`), hovertemplate: "%{text}<br>A %{x:.4f}, B %{y:.4f}<extra></extra>",
      };
    });
    const better = more.has(state.metric) ? "above the line B is better" : "below the line B is better";
    Plotly.react(plot, traces, layout({
      xaxis: { title: { text: `A: ${state.a}` } }, yaxis: { title: { text: `B: ${state.b}` } },
      shapes: rows.length ? [{ type: "line", x0: low, y0: low, x1: high, y1: high, line: { color: "#999", width: 1, dash: "dot" } }] : [],
      title: { text: rows.length ? `${head(state.metric)}: ${better}` : "no image was scored by both", font: { size: 12 } }, margin: { l: 60, r: 20, t: 40, b: 50 },
    }), PLOT);
    holder.replaceChildren(imageTable(split, rows, x, y, more.has(state.metric) ? 1 : -1));
  };
  const part = select("scored on", scored.map((s, i) => [i, s.title]), choose);
  root.append(make("div", { className: "controls" }, part.node, metric.node, a.node, b.node), plot, holder);
  choose(0);
}

function imageTable(split, rows, x, y, sign) {
  const sorted = [...rows].sort((i, j) => Math.abs(y[j] - x[j]) - Math.abs(y[i] - x[i])).slice(0, LISTED);
  const heads = ["object", "category", "view", "A", "B", "gain of B"];
  const table = make("table", { className: "sortable" },
    make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col", tabIndex: 0, textContent: h })))),
    make("tbody", {}, ...sorted.map((k) => {
      const gain = sign * (y[k] - x[k]);
      const cells = [split.objects[k], split.categories[k], split.views[k], shown(x[k]), shown(y[k]), (gain > 0 ? "+" : "") + shown(gain)];
      return make("tr", {}, ...cells.map((text) => make("td", { textContent: text, className: typeof text === "number" || /^[-+–\d]/.test(text) ? "" : "words" })));
    })));
  for (const th of table.tHead.rows[0].cells) th.addEventListener("click", () => sortBy(table, th));
  return table;
}

if (fill("images")) whenSeen(fill("images"), () => drawImages(fill("images")));

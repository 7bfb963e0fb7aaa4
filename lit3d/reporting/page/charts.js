"use strict";
// Learning curves, and distributions of scores over images.

function drawCurves(root) {
  const names = Object.keys(DATA.curves).sort((a, b) => (b === "val/fscore_5pct") - (a === "val/fscore_5pct") || a.localeCompare(b));
  const plot = make("div", { className: "plot" });
  const note = make("p", { className: "hint" });
  const state = { name: names[0], by: "steps" };
  const draw = () => {
    const seen = new Set();
    const runs = Object.entries(DATA.curves[state.name]);
    const traces = runs.map(([i, c]) => {
      const { setting } = DATA.runs[i], first = !seen.has(setting);
      seen.add(setting);
      return {
        x: c[state.by], y: c.values, name: setting, legendgroup: setting, showlegend: first, mode: c.values.length < 12 ? "lines+markers" : "lines",
        line: { color: colourOf(setting), width: 1.6 }, text: runName(i), hovertemplate: "%{text}<br>%{x}: %{y}<extra></extra>",
      };
    });
    const log = state.name.includes("loss") && runs.every(([, c]) => c.values.every((v) => v > 0));
    note.textContent = state.by === "seconds" && runs.some(([, c]) => c.estimated)
      ? "Some runs kept no times: theirs are estimated from an even pace over the training." : "";
    Plotly.react(plot, traces, layout({
      xaxis: { title: { text: state.by === "steps" ? "optimiser steps" : "seconds since the start of the run" } },
      yaxis: { title: { text: state.name }, type: log ? "log" : "linear" },
    }), PLOT);
  };
  const curve = select("curve", names.map((n) => [n, n]), (v) => { state.name = v; draw(); });
  const by = select("by", [["steps", "step"], ["seconds", "wall time"]], (v) => { state.by = v; draw(); });
  root.append(make("div", { className: "controls" }, curve.node, by.node), plot, note);
  draw();
}

function drawDistributions(root) {
  const plot = make("div", { className: "plot" });
  const state = { part: scored[0], metric: null };
  const metric = select("score", [], (v) => { state.metric = v; draw(); });
  const choose = (at) => {
    state.part = scored[at];
    const { split } = state.part;
    metric.list.replaceChildren(...split.metrics.map((m) => make("option", { value: m, textContent: head(m) })));
    metric.list.value = state.metric = split.main;
    draw();
  };
  const draw = () => {
    const { block, split } = state.part;
    const traces = block.settings.map((setting) => {
      const values = settingScores(block, split, setting, state.metric);
      if (!values) return null;
      const chosen = [...values.keys()].filter((k) => !Number.isNaN(values[k]));
      return {
        type: "violin", y: chosen.map((k) => values[k]), name: setting, text: chosen.map((k) => `${split.objects[k]}, view ${split.views[k]}`),
        box: { visible: true }, meanline: { visible: true, color: "#fff", width: 2 }, points: "outliers", marker: { size: 3 }, spanmode: "hard",
        line: { color: colourOf(setting), width: 1 }, hoveron: "points",
      };
    }).filter(Boolean);
    Plotly.react(plot, traces, layout({ yaxis: { title: { text: head(state.metric) } }, showlegend: false, xaxis: { automargin: true, tickangle: block.settings.length > 5 ? 25 : 0 } }), PLOT);
  };
  const part = select("scored on", scored.map((s, i) => [i, s.title]), choose);
  root.append(make("div", { className: "controls" }, part.node, metric.node),
    make("p", { className: "hint", textContent: "One value an image: the mean over a setting's runs. Box: quartiles and median; white: mean." }), plot);
  choose(0);
}

if (fill("curves")) whenSeen(fill("curves"), () => drawCurves(fill("curves")));
if (fill("distributions")) whenSeen(fill("distributions"), () => drawDistributions(fill("distributions")));

"use strict";
// Free point sets beside some members of their family: flat ones as one figure, spatial ones in linked scenes.

function drawFamily(root, family) {
  const bySetting = DATA.settings.map((s) => family.runs.find((i) => DATA.runs[i].setting === s && family.sets[i] !== undefined)).filter((i) => i !== undefined);
  const last = family.members.length - 1, few = [...new Set([0, Math.floor(last / 2), last])].filter((k) => k >= 0);
  const items = [
    ...few.map((k) => ({ place: family.members[k], caption: `a member (${k + 1} of ${last + 1})`, colour: "#8a94a3" })),
    ...bySetting.map((i) => ({ place: family.sets[i], caption: runName(i), colour: colourOf(DATA.runs[i].setting) })),
  ];
  if (!items.length) return;
  if (family.dimension === 3) {
    const scenes = make("div", { className: "viewer" });
    root.append(make("p", { className: "hint", textContent: "Drag to turn all." }), scenes);
    const viewer = new Viewer(scenes);
    viewer.camera = { ...START, eye: { x: 1.35, y: 0.75, z: 1.45 } };
    const kept = items.filter((i) => i.colour === "#8a94a3").slice(0, 2);
    viewer.show([...kept, ...items.filter((i) => i.colour !== "#8a94a3")].slice(0, SCENES).map((i) => ({ shape: [i.place], caption: i.caption })));
    return;
  }
  const columns = Math.min(items.length, 6), rows = Math.ceil(items.length / columns);
  const plot = make("div", { className: "plot" });
  plot.style.height = `${rows * 235}px`;
  root.append(plot);
  const all = items.map((i) => coordinates(i.place, 2));
  const reach = 1.08 * Math.max(...all.map((xy) => Math.max(...xy.map((c) => c.reduce((m, v) => Math.max(m, Math.abs(v)), 0)))));
  const grid = { rows, columns, pattern: "independent", ygap: 0.18, xgap: 0.06 };
  const axes = {}, notes = [];
  const traces = items.map((item, n) => {
    const suffix = n ? n + 1 : "";
    axes[`xaxis${suffix}`] = { range: [-reach, reach], visible: false, constrain: "domain" };
    axes[`yaxis${suffix}`] = { range: [-reach, reach], visible: false, scaleanchor: `x${suffix}`, constrain: "domain" };
    notes.push({ text: item.caption, xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0.5, y: 1.13, showarrow: false, font: { size: 11 } });
    const [x, y] = all[n];
    return { type: "scatter", mode: "markers", x, y, xaxis: `x${suffix}`, yaxis: `y${suffix}`, marker: { size: 3.2, color: item.colour }, hoverinfo: "skip" };
  });
  Plotly.newPlot(plot, traces, layout({ grid, ...axes, annotations: notes, showlegend: false, margin: { l: 10, r: 10, t: 25, b: 5 } }), { ...PLOT, staticPlot: true });
}

for (const node of document.querySelectorAll(".family")) {
  whenSeen(node, () => drawFamily(node, DATA.families[Number(node.dataset.family)]));
}

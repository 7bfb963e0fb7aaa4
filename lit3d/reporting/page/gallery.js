"use strict";
// The same test views across runs: a row a view, sorted by where two runs differ; a click shows the row in 3D.

const SCENES = 8; // interactive shapes at a time, truth included: browsers allow about 16

class Gallery {
  constructor(root) {
    this.root = root;
    this.blocks = DATA.blocks.filter((b) => b.views.length);
    this.controls = make("div", { className: "controls" });
    this.choice = make("fieldset", { title: "runs in the gallery" });
    this.scenes = make("div", { className: "viewer" });
    this.table = make("table", { className: "views" });
    const turns = make("div", { className: "controls" }, ...Object.entries(EYES).map(([name, eye]) =>
      make("button", { type: "button", textContent: name, onclick: () => this.viewer.look(eye) })),
      make("span", { className: "hint", textContent: "Drag to turn all, scroll to zoom. A click on a row below shows it here." }));
    root.append(this.controls, this.choice, turns, this.scenes, make("div", { className: "wide views-holder" }, this.table));
    this.viewer = new Viewer(this.scenes);
    this.choose(0);
  }

  choose(at) {
    this.block = this.blocks[at];
    const all = this.block.runs.filter((i) => this.block.views.some((v) => v.shapes[i]));
    this.all = all;
    this.chosen = this.block.settings.map((s) => all.find((i) => DATA.runs[i].setting === s)).filter((i) => i !== undefined).slice(0, SCENES - 1);
    const base = all.find((i) => DATA.runs[i].setting === this.block.baseline) ?? all[0];
    this.a = base;
    this.b = this.chosen.find((i) => i !== base) ?? all.find((i) => i !== base) ?? base;
    const metrics = [...new Set(this.block.splits.flatMap((s) => s.metrics))];
    this.metric = this.block.splits[0].main;
    const names = all.map((i) => [i, runName(i)]);
    const sorts = [["differ", "where A and B differ most"], ["b", "where B is better"], ["a", "where A is better"], ["worst", "where A is worst"], ["name", "name"]];
    this.sort = "differ";
    this.controls.replaceChildren(
      select("scored on", this.blocks.map((b, i) => [i, b.title]), (v) => this.choose(v), at).node,
      select("A", names, (v) => { this.a = Number(v); this.draw(); }, all.indexOf(this.a)).node,
      select("B", names, (v) => { this.b = Number(v); this.draw(); }, all.indexOf(this.b)).node,
      select("score", metrics.map((m) => [m, head(m)]), (v) => { this.metric = v; this.draw(); }, metrics.indexOf(this.metric)).node,
      select("sort by", sorts, (v) => { this.sort = v; this.draw(); }).node);
    this.choice.replaceChildren(...all.map((i) => make("label", {}, make("input", {
      type: "checkbox", checked: this.chosen.includes(i), onchange: (event) => this.toggle(i, event.target.checked),
    }), ` ${runName(i)}`)));
    this.draw();
  }

  toggle(run, on) {
    this.chosen = this.all.filter((i) => (i === run ? on : this.chosen.includes(i)));
    this.draw();
  }

  score(view, run) {
    const split = this.block.splits.find((s) => s.name === view.split);
    const at = split.objects.findIndex((o, k) => o === view.object && split.views[k] === view.view);
    return at < 0 ? NaN : scoresOf(split, run, this.metric)?.[at] ?? NaN;
  }

  // Positive where B is better.
  gain(view) {
    return (more.has(this.metric) ? 1 : -1) * (this.score(view, this.b) - this.score(view, this.a));
  }

  sorted() {
    const sign = more.has(this.metric) ? 1 : -1;
    const keys = {
      differ: (v) => -Math.abs(this.gain(v)), b: (v) => -this.gain(v), a: (v) => this.gain(v), worst: (v) => sign * this.score(v, this.a),
    };
    const views = [...this.block.views];
    if (this.sort === "name") return views.sort((x, y) => `${x.category} ${x.object}`.localeCompare(`${y.category} ${y.object}`));
    const key = (v) => { const k = keys[this.sort](v); return Number.isNaN(k) ? Infinity : k; };
    const lacking = (v) => Number(!v.shapes[this.a]) + Number(!v.shapes[this.b]); // what cannot be looked at comes last
    return views.map((v) => [lacking(v), key(v), v])
      .sort((x, y) => x[0] - y[0] || (x[1] === y[1] ? 0 : x[1] - y[1])).map(([, , v]) => v);
  }

  draw() {
    const views = this.sorted();
    const heads = ["view", "input", "truth", ...this.chosen.map(runName)];
    this.table.replaceChildren(
      make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { textContent: h })))),
      make("tbody", {}, ...views.map((v) => this.row(v))));
    this.open(views[0], this.table.tBodies[0].rows[0]);
  }

  row(view) {
    const gain = this.gain(view), text = Number.isNaN(gain) ? "" : `B over A ${gain > 0 ? "+" : ""}${shown(gain)}`;
    const first = make("td", {}, make("b", { textContent: view.category }), make("br"), `${view.object}, view ${view.view}`, make("br"), text);
    first.style.maxWidth = "13rem";
    first.style.whiteSpace = "normal";
    const row = make("tr", { tabIndex: 0 }, first, make("td", {}, view.image ? make("img", { src: view.image, alt: "" }) : "–"), this.dots(view.truth, ""),
      ...this.chosen.map((i) => this.dots(view.shapes[i], shown(this.score(view, i)))));
    row.dataset.object = view.object;
    row.dataset.gain = gain;
    row.addEventListener("click", () => this.open(view, row));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") this.open(view, row); });
    return row;
  }

  dots(shape, text) {
    if (!shape) return make("td", { textContent: "–" });
    const canvas = make("canvas", { width: 176, height: 176 });
    whenSeen(canvas, () => thumbnail(canvas, shape));
    return make("td", {}, canvas, text);
  }

  open(view, row) {
    for (const other of this.table.tBodies[0].rows) other.classList.toggle("open", other === row);
    const items = [
      { image: view.image, caption: `input: ${view.category}, ${view.object}, view ${view.view}` }, { shape: view.truth, caption: "truth", truth: true },
      ...this.chosen.map((i) => ({ shape: view.shapes[i], caption: `${runName(i)}: ${head(this.metric)} ${shown(this.score(view, i))}` })),
    ].filter((item) => item.image || item.shape);
    const images = items.filter((item) => item.image).length;
    this.viewer.show(items.slice(0, SCENES + images));
  }
}

if (fill("gallery")) whenSeen(fill("gallery"), () => { fill("gallery").gallery = new Gallery(fill("gallery")); });

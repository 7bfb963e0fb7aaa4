"use strict";
// Interactive shapes side by side; turning one turns all.

const START = { eye: { x: 0, y: 0, z: 1.75 }, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } }; // as the input sees it
const EYES = { "input's view": [0, 0, 1.75], "from the side": [1.75, 0, 0], "obliquely": [1.1, 0.6, 1.25], "from above": [0, 1.7, 0.4] };

// The traces of one shape: points, or triangles, coloured from near (yellow) to far (violet) as the pictures of a run.
function traces([points, triangles]) {
  const [x, y, z] = coordinates(points);
  if (triangles === undefined) {
    return [{ type: "scatter3d", mode: "markers", x, y, z, hoverinfo: "skip", marker: { size: 3, color: z, colorscale: "Viridis", opacity: 1 } }];
  }
  const flat = pooled(triangles, Uint16Array), count = flat.length / 3;
  const [i, j, k] = [0, 1, 2].map((c) => Array.from({ length: count }, (_, f) => flat[3 * f + c]));
  return [{
    type: "mesh3d", x, y, z, i, j, k, intensity: z, colorscale: "Viridis", showscale: false, hoverinfo: "skip", flatshading: true,
    lighting: { ambient: 0.55, diffuse: 0.7, specular: 0.1, facenormalsepsilon: 0, vertexnormalsepsilon: 0 }, // else small triangles are dark
    lightposition: { x: 1000, y: 2000, z: 3000 },
  }];
}

class Viewer {
  // Scenes inside `root`; all show the same cube, and one camera.
  constructor(root) {
    this.root = root;
    this.scenes = [];
    this.camera = START;
    this.busy = false;
  }

  show(items) {
    for (const { gl } of this.scenes) Plotly.purge(gl); // a browser has about 16 WebGL contexts for a page
    this.root.replaceChildren();
    const reaches = items.filter((i) => i.shape).map((i) => extent(i.shape));
    const truth = items.find((i) => i.truth);
    const most = truth ? 1.6 * extent(truth.shape) : 1.5; // one prediction far off must not make all others tiny
    const reach = 1.05 * Math.min(most, Math.max(0.3, ...reaches));
    this.scenes = [];
    for (const item of items) this.add(item, reach);
  }

  add(item, reach) {
    const caption = make("div", { className: "caption", textContent: item.caption });
    if (item.image) {
      this.root.append(make("div", { className: "scene" }, make("img", { src: item.image, alt: "input image" }), caption));
      return;
    }
    if (extent(item.shape) === 0) caption.textContent += ": nothing was predicted"; // else an empty frame looks like a fault of the page
    const gl = make("div", { className: "gl" });
    this.root.append(make("div", { className: "scene" }, gl, caption));
    const axis = { range: [-reach, reach], visible: false, showspikes: false };
    const scene = { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", camera: this.camera, dragmode: "orbit" };
    Plotly.newPlot(gl, traces(item.shape), { scene, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false }, { ...PLOT, responsive: false });
    gl.on("plotly_relayouting", (event) => this.follow(gl, event));
    gl.on("plotly_relayout", (event) => this.follow(gl, event));
    this.scenes.push({ gl });
  }

  follow(source, event) {
    const camera = event["scene.camera"];
    if (!camera || this.busy) return;
    this.camera = camera;
    this.turn(this.scenes.filter((s) => s.gl !== source));
  }

  look([x, y, z]) {
    this.camera = { ...START, eye: { x, y, z } };
    this.turn(this.scenes);
  }

  turn(scenes) {
    this.busy = true; // our own relayouts are no turns of the mouse
    Promise.all(scenes.map((s) => Plotly.relayout(s.gl, { "scene.camera": this.camera }))).finally(() => { this.busy = false; });
  }
}

// How far a shape reaches from the origin along an axis, without its farthest hundredth.
function extent([points]) {
  const reach = Float32Array.from(pooled(points, Int16Array), Math.abs).sort();
  return (reach[Math.floor(reach.length * 0.99)] ?? 0) / SCALE;
}

// A shape as dots in the input's view: small, at once, without WebGL.
function thumbnail(canvas, [points]) {
  const [x, y, z] = coordinates(points), pen = canvas.getContext("2d"), { width } = canvas;
  const order = [...z.keys()].sort((i, j) => z[i] - z[j]);
  const low = z[order[0]], high = z[order[order.length - 1]];
  for (const i of order) {
    const share = (z[i] - low) / Math.max(high - low, 1e-6);
    pen.fillStyle = `hsl(${270 - 215 * share} 65% ${34 + 18 * share}%)`;
    pen.fillRect(width * (0.5 + x[i] / 1.5) - 1, width * (0.5 - y[i] / 1.5) - 1, 2.2, 2.2);
  }
}

// The drawing: from times to places, and from places to shapes. Only what is in
// the window is drawn.
const $ = id => document.getElementById(id);
const chart = $("chart"), map = $("map");
const top_ = 40, band = 22;
const gutter = Math.min(210, Math.max(118, ...lanes.flatMap(l => (l.notes || []).map(n => 34 + 6 * n.length))));
const filter = { low: 0, high: Infinity, view: "" };
let axis, span, win = { a: 0, b: 1 }, size = { w: 800, h: 400, step: 80 }, held = null, drawn = [];

const aboutSeq = new Set(["pre-prepare", "prepare", "commit", "checkpoint"]);
const aboutView = new Set(["pre-prepare", "prepare", "commit", "view-change", "new-view"]);
function passes(x) {
  const group = x.group || groupOf[x.what];
  if (group && !shown[group]) return false;
  if (filter.high < Infinity && (aboutSeq.has(group) || x.seq) && (x.seq < filter.low || x.seq > filter.high)) return false;
  if (filter.high < Infinity && x.group && !x.seq) return false;
  return filter.view === "" || !(aboutView.has(group) || group === "prepared" || group === "committed") || x.view === +filter.view;
}

// The axis squeezes times in which nothing that is shown happens, or keeps all to
// scale.
function layTime() {
  const times = new Set([0, end]);
  for (const m of messages) if (passes(m)) { times.add(m.t); m.arrivals.forEach(t => times.add(t)); }
  for (const m of marks) if (passes(m)) times.add(m.t);
  const t = [...times].sort((a, b) => a - b), x = [0], gaps = [];
  for (let i = 1; i < t.length; i++) gaps.push(t[i] - t[i - 1]);
  const knee = 3 * Math.max(1, [...gaps].sort((a, b) => a - b)[gaps.length * .6 | 0] || 1);
  const breaks = [];
  gaps.forEach((g, i) => {
    const long = $("scale").value === "even" && g > knee;
    if (long && g > 20 * knee) breaks.push(i);
    x.push(x[i] + (long ? knee * (1 + Math.log(g / knee)) : g));
  });
  axis = { t, x, breaks };
  span = x[x.length - 1] || 1;
}
function between(from, to, v) {
  let low = 0, high = from.length - 1;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (from[mid] <= v) low = mid; else high = mid;
  }
  const width = from[high] - from[low] || 1;
  return to[low] + (v - from[low]) / width * (to[high] - to[low]);
}
const place = t => between(axis.t, axis.x, t);
const timeAt = x => between(axis.x, axis.t, Math.min(span, Math.max(0, x)));
const px = t => gutter + (place(t) - win.a) / (win.b - win.a) * (size.w - gutter - 16);
const unpx = p => win.a + (p - gutter) / (size.w - gutter - 16) * (win.b - win.a);
// Clients take half the height of a replica.
const clients = lanes.filter(l => l.client).length;
const lay = lane => top_ + size.step * (lane < clients ? .3 + lane * .5 : clients * .5 + lane - clients + .5);

function el(name, attributes, parent, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

// The shape of each mark, around a point.
const shapes = {
  prepared: { d: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", hollow: true, color: "prepare", dy: -6 },
  committed: { d: "M0,-4.5L4.5,0L0,4.5L-4.5,0Z", color: "commit", dy: 0 },
  executed: { d: "M-3.4,0a3.4,3.4 0 1,0 6.8,0a3.4,3.4 0 1,0 -6.8,0", color: "ink", dy: 6 },
  answered: { d: "M-5,0L-1.5,4L5,-4.5", hollow: true, color: "good", dy: 0, width: 2.4 },
  stable: { d: "M-1,-13V13M-1,-13H7L4.5,-9L7,-5H-1", color: "checkpoint", dy: 0, width: 1.6 },
  crashed: { d: "M-6,-6L6,6M-6,6L6,-6", hollow: true, color: "bad", dy: 0, width: 2.8 },
  started: { d: "M-4,-6L6,0L-4,6Z", color: "good", dy: 0 },
  fault: { d: "M1,-8L-5,1H0L-1,8L5,-1H0Z", color: "warn", dy: 0 },
  noted: { d: "M-7,-6H7V3H0L-4,8V3H-7Z", color: "lie", dy: -16 },
  accused: { d: "M0,-8L7,-5V1Q6,6 0,8Q-6,6 -7,1V-5Z", color: "evidence", dy: -16, hollow: true, width: 2 },
};
function shape(what, x, y, parent, extra) {
  const s = shapes[what], color = `var(--${s.color})`;
  return el("path", {
    d: s.d, transform: `translate(${x.toFixed(1)},${(y + s.dy).toFixed(1)})`, fill: s.hollow ? "var(--paper)" : color,
    stroke: color, "stroke-width": s.width || 1.6, "stroke-linejoin": "round", ...(what === "answered" || what === "crashed" ? { fill: "none" } : {}), ...extra,
  }, parent);
}

function defs() {
  const d = el("defs", {}, chart);
  for (const [g] of groups) {
    const m = el("marker", { id: "head-" + g, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6.5, markerHeight: 6.5, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, d);
    el("path", { d: "M0,.6L8,4L0,7.4Z", fill: `var(--${g})` }, m);
  }
  const p = el("pattern", { id: "between", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, d);
  el("rect", { width: 7, height: 7, fill: "var(--panel)" }, p);
  el("rect", { width: 2.4, height: 7, fill: "var(--view-change)", opacity: .38 }, p);
  el("rect", { x: gutter, y: 0, width: Math.max(0, size.w - gutter), height: size.h }, el("clipPath", { id: "inside" }, d));
}

function draw() {
  size.w = chart.clientWidth || 1000;
  const rows = lanes.length - clients / 2;
  size.step = Math.max(62, Math.min(118, (innerHeight - 350) / rows));
  size.h = top_ + size.step * rows + 8;
  chart.setAttribute("viewBox", `0 0 ${size.w} ${size.h}`);
  chart.style.height = size.h + "px";
  chart.replaceChildren();
  drawn = [];
  defs();
  const inside = el("g", { "clip-path": "url(#inside)" }, chart);
  const from = timeAt(win.a), to = timeAt(win.b);
  drawAxis(inside);
  drawCuts(inside, from, to);
  const labels = drawLives(inside, from, to);
  drawMessages(inside, from, to);
  for (const [place, text] of labels) el("text", place, inside, text);
  drawMarks(inside, from, to);
  drawNames();
  drawMap();
  highlight();
}

function drawAxis(g) {
  const low = timeAt(win.a), high = timeAt(win.b);
  for (let p = gutter + 4, n = 0; p < size.w - 50 && n < 60; n++) {
    const t = timeAt(unpx(p)), local = Math.max(1, timeAt(unpx(p + 92)) - t), unit = 10 ** Math.floor(Math.log10(local));
    const step = [1, 2, 5, 10].map(k => k * unit).find(s => s >= local * .6) || unit;
    const at = Math.ceil(t / step) * step, x = px(at);
    if (at > high) break;
    el("line", { x1: x, x2: x, y1: 24, y2: size.h, stroke: "var(--grid)" }, g);
    el("text", { class: "soft", x, y: 16, "text-anchor": "middle" }, g, clock(at));
    p = Math.max(p + 40, x + 78);
  }
  for (const i of axis.breaks) {
    if (axis.t[i + 1] < low || axis.t[i] > high) continue;
    const x = (px(axis.t[i]) + px(axis.t[i + 1])) / 2;
    el("path", { d: `M${x - 7},24l3.5,5l3.5,-5l3.5,5l3.5,-5`, fill: "none", stroke: "var(--soft)" }, g);
    if (px(axis.t[i + 1]) - px(axis.t[i]) > 46) {
      el("text", { class: "num", x, y: 39, "text-anchor": "middle" }, g, clock(axis.t[i + 1] - axis.t[i]));
    }
  }
}

// Where moments are left out, the picture says how many.
function drawCuts(g, from, to) {
  for (const [a, b, count] of data.cuts || []) {
    if (b < from || a > to || count < 2) continue;
    const x = px(a), w = Math.max(10, px(b) - x);
    el("rect", { x, y: 24, width: w, height: size.h - 24, fill: "var(--panel)", opacity: .85 }, g);
    el("text", { class: "num", transform: `translate(${x + w / 2 + 4},${size.h / 2}) rotate(-90)`, "text-anchor": "middle" }, g, count + " moments left out");
  }
}

// drawLives returns the labels, which go on top of the messages.
function drawLives(g, from, to) {
  const labels = [];
  lanes.forEach((l, i) => el("line", { x1: gutter, x2: size.w, y1: lay(i), y2: lay(i), stroke: "var(--line)", "stroke-dasharray": l.client ? "none" : "3 4" }, g));
  for (const s of stretches) {
    if (s.to < from || s.from > to) continue;
    const x = px(s.from), w = Math.max(1, px(s.to) - x), y = lay(s.lane) - band / 2;
    const leads = s.view % data.replicas === lanes[s.lane].replica;
    if (s.up === null) continue; // it has not started yet
    if (!s.up) {
      el("rect", { x, y: y + band / 2 - 1, width: w, height: 2, fill: "var(--bad)", opacity: .55 }, g);
      if (w > 50) labels.push([{ class: "bad", x: Math.max(x, gutter) + 12, y: y + 5 }, "down"]);
      continue;
    }
    el("rect", { x, y, width: w, height: band, rx: 3, fill: s.active ? `var(--v${s.view % 6})` : "url(#between)", stroke: leads && s.active ? "var(--accent)" : "var(--line)", "stroke-width": leads && s.active ? 1.6 : .8 }, g);
    const label = s.active ? "view " + s.view + (leads ? " · primary" : "") : "asks for view " + s.view;
    const at = Math.max(x, gutter) + 5;
    if (x + w - at > label.length * 5.6) labels.push([{ class: s.active ? "num" : "bad", x: at, y: y + band + 11 }, label]);
  }
  return labels;
}

function drawMessages(g, from, to) {
  const list = messages.filter(m => passes(m) && m.from !== m.to && m.from >= 0 && m.to >= 0 && m.t <= to && Math.max(m.t, ...m.arrivals) >= from);
  const faint = Math.max(.16, Math.min(.92, 900 / Math.max(1, list.length)));
  for (const m of list) {
    const down = m.to > m.from ? 1 : -1, edge = lane => lanes[lane].client ? 0 : down * band / 2;
    const y0 = lay(m.from) + edge(m.from), y1 = lay(m.to) - edge(m.to);
    const x0 = px(m.t) - (m.operation ? 10 : 0), color = `var(--${m.group})`;
    const line = (x1, y, extra) => {
      const e = el("line", { x1: x0, y1: y0, x2: x1, y2: y, stroke: color, "stroke-width": 1.4, opacity: faint, ...extra }, g);
      drawn.push({ e, about: m, x0, y0, x1, y1: y, faint });
    };
    m.arrivals.forEach((t, i) => line(px(t), y1, { "marker-end": `url(#head-${m.group})`, ...(i ? { "stroke-dasharray": "6 3" } : {}) }));
    if (m.arrivals.length === 0) {
      const x1 = x0 + (m.dropped === undefined ? 14 : 20), y = y0 + (y1 - y0) * .42;
      line(x1, y, { "stroke-dasharray": "4 3" });
      if (m.dropped !== undefined) el("path", { d: `M${x1 - 4},${y - 4}l8,8m0,-8l-8,8`, stroke: "var(--bad)", "stroke-width": 1.8, opacity: Math.max(.5, faint) }, g);
    }
    const which = story(m);
    if (which >= 0) {
      const x1 = m.arrivals.length ? px(m.arrivals[0]) : x0 + 20, y = m.arrivals.length ? y1 : y0 + (y1 - y0) * .42;
      const cx = x0 + (x1 - x0) * .3, cy = y0 + (y - y0) * .3;
      const dot = el("circle", { cx, cy, r: 3.6, fill: ["var(--accent)", "var(--bad)", "var(--warn)", "var(--good)"][which % 4], stroke: "var(--paper)" }, g);
      drawn.push({ e: dot, about: m, x0: cx, y0: cy, x1: cx, y1: cy, faint: 1, mark: true });
    }
  }
}

function drawMarks(g, from, to) {
  const last = {};
  let said = NaN;
  for (const m of marks) {
    if (m.t < from || m.t > to || !passes(m)) continue;
    const x = px(m.t);
    if (m.what === "calm" || m.lane < 0) {
      const color = { calm: "good", violation: "bad" }[m.what] || "warn";
      el("line", { x1: x, x2: x, y1: 24, y2: size.h, stroke: `var(--${color})`, "stroke-dasharray": "5 4" }, g);
      if (!(x - said < 40)) el("text", { class: "num", x: x + 4, y: size.h - 3 }, g, m.what === "calm" ? "from here on the network is timely" : m.text);
      said = x;
      continue;
    }
    if (!shapes[m.what]) continue;
    const y = lay(m.lane), e = shape(m.what, x, y, g);
    drawn.push({ e, about: m, x0: x, y0: y + shapes[m.what].dy, x1: x, y1: y + shapes[m.what].dy, faint: 1, mark: true });
    if (m.what === "executed" && !(x - last[m.lane] < 30)) {
      el("text", { class: "num", x: x + 5, y: y + band / 2 - 1 }, g, m.seq);
      last[m.lane] = x;
    }
  }
}

function drawNames() {
  lanes.forEach((l, i) => {
    const y = lay(i);
    el("text", { class: "name", x: 22, y: y + 1 }, chart, l.name);
    (l.notes || []).forEach((note, k) => el("text", { class: l.bad ? "bad" : "soft", x: 22, y: y + 15 + 13 * k }, chart, note));
  });
}

function drawMap() {
  const w = map.clientWidth || 1000, h = 46, at = x => gutter + x / span * (w - gutter - 16);
  map.setAttribute("viewBox", `0 0 ${w} ${h}`);
  map.replaceChildren();
  const bins = new Map();
  for (const m of messages) {
    if (!passes(m)) continue;
    const bin = Math.round(at(place(m.t)) / 3);
    if (!bins.has(bin)) bins.set(bin, {});
    bins.get(bin)[m.group] = (bins.get(bin)[m.group] || 0) + 1;
  }
  const sum = b => Object.values(b).reduce((a, n) => a + n, 0), most = Math.max(1, ...[...bins.values()].map(sum));
  for (const [bin, counts] of bins) {
    let y = h - 4;
    for (const [group] of groups) {
      if (!counts[group]) continue;
      const tall = Math.sqrt(sum(counts) / most) * (h - 14) * counts[group] / sum(counts);
      y -= tall;
      el("rect", { x: bin * 3, y, width: 2.4, height: tall, fill: `var(--${group})`, opacity: .8 }, map);
    }
  }
  for (const m of marks) {
    const color = { crashed: "bad", fault: "warn", noted: "lie", violation: "bad", accused: "evidence", "entered view": "new-view" }[m.what];
    if (color && passes(m)) el("rect", { x: at(place(m.t)) - 1, y: 2, width: 2, height: 6, fill: `var(--${color})` }, map);
  }
  el("text", { class: "soft", x: 22, y: 27 }, map, clock(end) + " in all");
  el("rect", { x: at(win.a), y: .5, width: Math.max(4, at(win.b) - at(win.a)), height: h - 1, rx: 3, fill: "var(--accent)", "fill-opacity": .12, stroke: "var(--accent)" }, map);
}

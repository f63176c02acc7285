"use strict";
const report = JSON.parse(document.getElementById("report").textContent);
const { load, included, runs } = report;

// Figures as people read them.
const digits = (x, n) => x.toLocaleString("en", { maximumFractionDigits: n, minimumFractionDigits: n });
const count = (x) => digits(x, x < 10 && x % 1 ? 2 : 0);
const percent = (x) => digits(100 * x, x > 0 && x < 0.1 ? 1 : 0) + " %";
function time(ns) {
  if (ns === 0) return "0";
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (ns >= size) {
      const x = ns / size;
      return String(Number(x.toPrecision(3))) + " " + unit;
    }
  }
  return Number(ns.toPrecision(3)) + " ns";
}

function make(name, attributes, ...children) {
  const svg = /^(svg|g|line|path|rect|text|polyline|title)$/.test(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}
const at = (id) => document.getElementById(id);
const plotOf = (id) => at(id).querySelector(".plot");

// The run in the middle, by throughput, is highlighted.
const median = (of) => {
  const all = runs.map(of).sort((a, b) => a - b);
  return (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2;
};
const chosen = runs.map((r, i) => i)
  .sort((a, b) => runs[a].operations_per_second - runs[b].operations_per_second)[(runs.length - 1) >> 1];
const run = runs[chosen];

// Scales map values to [0, 1].
const linear = (from, to) => (x) => (x - from) / (to - from || 1);
const log = (from, to) => (x) => Math.log(Math.max(x, from) / from) / (Math.log(to / from) || 1);

// steps returns round values from 0 to at least the greatest.
function steps(most, about) {
  const raw = (most || 1) / about, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw);
  const all = [];
  for (let i = 0; i < 2 || all[i - 1] < most; i++) all.push(Number((i * step).toPrecision(9)));
  return all;
}

// decades returns 1, 2 and 5 times powers of ten that enclose two values.
function decades(least, most) {
  const all = [];
  for (let e = Math.floor(Math.log10(least)) - 1; 10 ** e <= most * 10; e++) {
    for (const m of [1, 2, 5]) all.push(m * 10 ** e);
  }
  const first = all.findLastIndex((x) => x <= least), last = all.findIndex((x) => x >= most);
  const kept = all.slice(first, Math.max(last, first + 1) + 1);
  return kept.length > 9 ? kept.filter((x, i) => i === 0 || i === kept.length - 1 || /^1(e|0*$)/.test(String(x))) : kept;
}

const width = 600, height = 250, padLeft = 62, padRight = 26, padTop = 12, padBottom = 34;
const px = (u) => padLeft + u * (width - padLeft - padRight);
const py = (v) => height - padBottom - v * (height - padTop - padBottom);

// frame draws axes: x and y are {scale, ticks, show, name}.
function frame(name, x, y) {
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  for (const tick of y.ticks) {
    const h = py(y.scale(tick));
    svg.append(make("line", { class: "grid", x1: padLeft, x2: width - padRight, y1: h, y2: h }),
      make("text", { x: padLeft - 7, y: h + 4, "text-anchor": "end" }, y.show(tick)));
  }
  for (const tick of x.ticks) {
    const w = px(x.scale(tick));
    svg.append(make("line", { class: "grid", x1: w, x2: w, y1: padTop, y2: height - padBottom }),
      make("text", { x: w, y: height - padBottom + 15, "text-anchor": "middle" }, x.show(tick)));
  }
  svg.append(make("line", { class: "axis", x1: padLeft, x2: width - padRight, y1: py(0), y2: py(0) }),
    make("text", { x: width - padRight, y: height - 4, "text-anchor": "end" }, x.name));
  return svg;
}

const path = (points) => points.map(([u, v], i) => (i ? "L" : "M") + px(u).toFixed(1) + " " + py(v).toFixed(1)).join("") + (points.length === 1 ? "h.1" : "");
const line = (points, kind) => make("path", { class: kind, d: path(points) });

// hover shows what is at a place, for [position, text] in order of position.
function hover(plot, svg, places) {
  const cursor = make("line", { class: "cursor", y1: padTop, y2: height - padBottom });
  const tip = make("div", { class: "tip" });
  svg.append(cursor);
  plot.append(svg, tip);
  svg.addEventListener("pointermove", (e) => {
    const box = svg.getBoundingClientRect();
    const u = ((e.clientX - box.left) / box.width * width - padLeft) / (width - padLeft - padRight);
    if (places.length === 0) return;
    const [near, text] = places.reduce((a, b) => (Math.abs(b[0] - u) < Math.abs(a[0] - u) ? b : a));
    cursor.setAttribute("x1", px(near));
    cursor.setAttribute("x2", px(near));
    tip.textContent = text;
    const x = px(near) / width * box.width;
    tip.style.left = (near < 0.5 ? x + 8 : x - tip.offsetWidth - 8) + "px";
    cursor.style.visibility = tip.style.visibility = "visible";
  });
  svg.addEventListener("pointerleave", () => { cursor.style.visibility = tip.style.visibility = "hidden"; });
}

// Runs in the background first, the chosen one on top.
const inOrder = () => runs.map((r, i) => i).sort((a, b) => (a === chosen) - (b === chosen));
const kindOf = (i) => (i === chosen ? "chosen" : "other");

function drawCurve() {
  const most = Math.max(...runs.map((r) => (r.curve || []).length && r.operations), 10);
  const nines = Math.max(1, Math.floor(Math.log10(most)));
  const all = runs.flatMap((r) => r.curve || []).filter((p) => p.quantile < 1 || nines < 2).map((p) => p.latency_ns);
  if (all.length === 0) return;
  const ticks = decades(Math.min(...all), Math.max(...all));
  const y = { scale: log(ticks[0], ticks.at(-1)), ticks, show: time };
  const place = (q) => Math.min(1, -Math.log10(Math.max(1 - q, 1e-12)) / nines);
  const xs = [0, 0.5, ...Array.from({ length: nines }, (_, i) => 1 - 10 ** -(i + 1))];
  const x = { scale: place, ticks: xs, show: (q) => "p" + Number((100 * q).toPrecision(8)), name: "" };
  const svg = frame("Latency by percentile", x, y);
  const shown = (r) => (r.curve || []).filter((p) => p.quantile < 1 && -Math.log10(1 - p.quantile) <= nines);
  for (const i of inOrder()) {
    svg.append(line(shown(runs[i]).map((p) => [place(p.quantile), y.scale(p.latency_ns)]), kindOf(i)));
  }
  hover(plotOf("curve"), svg, shown(run).map((p) =>
    [place(p.quantile), "p" + Number((100 * p.quantile).toFixed(4)) + "  " + time(p.latency_ns)]));
}

function drawHistogram() {
  const bars = run.histogram || [];
  if (bars.length === 0) return;
  const total = bars.reduce((sum, b) => sum + b.operations, 0);
  const xs = decades(bars[0].from_ns, bars.at(-1).to_ns);
  const x = { scale: log(xs[0], xs.at(-1)), ticks: xs, show: time, name: "latency" };
  const ys = steps(Math.max(...bars.map((b) => b.operations)) / total, 4);
  const y = { scale: linear(0, ys.at(-1)), ticks: ys, show: (v) => Number((100 * v).toPrecision(3)) + " %" };
  const svg = frame("Histogram of latencies", x, y);
  for (const b of bars) {
    const from = px(x.scale(b.from_ns)), to = px(x.scale(b.to_ns)), h = py(y.scale(b.operations / total));
    svg.append(make("rect", { class: "bar", x: from + 0.5, width: Math.max(0.5, to - from - 1), y: h, height: py(0) - h }));
  }
  hover(plotOf("histogram"), svg, bars.map((b) => [(x.scale(b.from_ns) + x.scale(b.to_ns)) / 2,
    `${time(b.from_ns)} to ${time(b.to_ns)}\n${count(b.operations)} operations, ${percent(b.operations / total)}`]));
}

// over draws seconds: series are [class, value of a second] of one run.
function over(id, name, series, show) {
  const seconds = load.duration_ns / 1e9;
  const values = series.flatMap(([, r, of]) => r.seconds.map(of));
  const ys = steps(Math.max(...values, load.rate_offered && id === "throughput" ? load.rate_offered : 0), 4);
  const y = { scale: linear(0, ys.at(-1)), ticks: ys, show };
  const xs = steps(seconds, 6).filter((s) => s <= seconds);
  const x = { scale: linear(0, seconds), ticks: xs, show: String, name: "seconds" };
  const svg = frame(name, x, y);
  const middle = (s) => (s.second + Math.min(s.second + 1, seconds)) / 2 / seconds;
  for (const [kind, r, of] of series) {
    svg.append(line(r.seconds.map((s) => [middle(s), y.scale(of(s))]), kind));
  }
  for (const s of run.seconds.filter((s) => s.errors > 0)) {
    svg.append(make("rect", { class: "error", x: px(middle(s)) - 2, y: py(0) + 1, width: 4, height: 5 }));
  }
  hover(plotOf(id), svg, run.seconds.map((s) => [middle(s),
    `second ${s.second}\n${count(perSecond(s))} operations/s` + (s.errors ? `, ${s.errors} errors` : "") + (s.refused ? `, ${s.refused} refused` : "") +
    `\np50 ${time(s.p50_ns)}  p99 ${time(s.p99_ns)}  max ${time(s.max_ns)}`]));
}

// The last second may be a part of one.
const perSecond = (s) => s.operations / Math.min(1, load.duration_ns / 1e9 - s.second);

function drawLimit() {
  if (!run.limit) return;
  at("limit").hidden = false;
  const terms = run.limit.terms, needed = run.limit.ns_per_operation;
  const took = run.cpu.known ? run.cpu.replicas_per_operation_ns + run.cpu.load_per_operation_ns : 0;
  const most = Math.max(needed, took), tall = took ? 64 : 32;
  const svg = make("svg", { viewBox: `0 0 1200 ${tall}`, role: "img", "aria-label": "Time of one operation by part" });
  const stack = (parts, y) => {
    let from = 0;
    for (const [size, color, name] of parts) {
      svg.append(make("rect", { x: from * 1200, y, width: Math.max(0, size / most * 1200 - 1), height: 26, rx: 2, style: `fill:var(${color})` },
        make("title", {}, `${name}: ${time(size)}`)));
      from += size / most;
    }
  };
  stack(terms.map((t, i) => [t.ns_per_operation, "--c" + i % 10, t.name]), 0);
  const key = at("limit").querySelector(".key");
  terms.forEach((t, i) => key.append(make("li", {}, make("i", { style: `background:var(--c${i % 10})` }), t.name + " ",
    make("b", {}, time(t.ns_per_operation)))));
  key.append(make("li", {}, "limit ", make("b", {}, time(needed))));
  if (took) {
    stack([[run.cpu.replicas_per_operation_ns, "--soft", "replicas"], [run.cpu.load_per_operation_ns, "--line", "clients"]], 34);
    key.append(make("li", {}, make("i", { style: "background:var(--soft)" }), "took: replicas ", make("b", {}, time(run.cpu.replicas_per_operation_ns))),
      make("li", {}, make("i", { style: "background:var(--line)" }), "clients ", make("b", {}, time(run.cpu.load_per_operation_ns))));
  }
  plotOf("limit").append(svg);
}

function figure(value, name, bad) {
  const e = make("div", { class: bad ? "figure bad" : "figure" }, make("b", {}, value), make("span", {}, name));
  at("figures").append(e);
  return e;
}

function facts(id, rows) {
  for (const [name, value] of rows) at(id).append(make("tr", {}, make("th", {}, name), make("td", {}, value)));
}

function fillLevels() {
  const levels = run.levels || [];
  if (levels.length < 2) return;
  at("levels").hidden = false;
  if (runs.length > 1) at("whose").textContent = ", in the highlighted run";
  const mib = (bytes) => `${count(bytes / 2 ** 20)} MiB`;
  const held = (name, key, show) => {
    const of = levels.map((l) => l[key] || 0);
    return [name, `${show(of[0])} → ${show(Math.max(...of))} → ${show(of[of.length - 1])}`];
  };
  facts("held", [
    held("memory", "memory_bytes", mib), held("disk", "disk_bytes", mib), held("open files", "open_files", count),
    held("threads", "threads", count), held("goroutines", "goroutines", count),
  ]);
}

const portionOf = (whose) => (r) => (r.clients && r.clients[whose]
  ? `${count(r.clients[whose].operations_per_second)}/s, p99 ${time(r.clients[whose].p99_ns)}, ${count(r.clients[whose].refused)} refused` : "–");

function fill() {
  const loop = load.loop === "open"
    ? `Open loop, ${count(load.rate_offered)} operations/s offered, ${count(load.clients)} clients${load.no_wait ? " that do not wait" : ""}` +
      (load.greedy_share ? `, one of them with ${percent(load.greedy_share)} of the operations` : "")
    : `Closed loop, ${count(load.clients)} clients × ${load.outstanding_per_client} outstanding`;
  at("load").textContent = `${loop}, values of ${load.payload_bytes} B, ${percent(load.read_share)} reads; ` +
    `${time(load.duration_ns)} after ${time(load.warm_up_ns)} of warm-up, ${runs.length} ${runs.length > 1 ? "runs: medians" : "run"}; ` +
    `${included.replicas} replicas; ${report.begun}`;
  const of = runs.length > 1 ? ", median" : "";
  figure(count(median((r) => r.operations_per_second)), "operations/s" + of);
  if (report.constants) {
    const share = median((r) => r.share_of_limit);
    figure(percent(share), "of the machine's limit" + of)
      .append(make("div", { class: "share" }, make("i", { style: `width:${Math.min(100, 100 * share)}%` })));
  }
  figure(time(median((r) => r.p50_ns)), "p50" + of);
  figure(time(median((r) => r.p99_ns)), "p99" + of);
  const errors = runs.reduce((sum, r) => sum + r.errors, 0);
  figure(count(errors), "errors", errors > 0);
  const first = runs.find((r) => r.first_error);
  if (first) at("first").textContent = "The first error: " + first.first_error;
  figure(count(median((r) => r.reached.operations_per_batch)), "operations per batch" + of);
  figure(digits(median((r) => r.reached.operations_per_signature), 2), "operations per client signature" + of);

  at("which").textContent = runs.length > 1 ? "Highlighted here and in the plots: the run in the middle, by throughput." : "";
  const columns = [
    ["run", (r, i) => i + 1], ["operations/s", (r) => count(r.operations_per_second)],
    ["of limit", (r) => (r.limit ? percent(r.share_of_limit) : "–")],
    ["p50", (r) => time(r.p50_ns)], ["p90", (r) => time(r.p90_ns)], ["p99", (r) => time(r.p99_ns)],
    ["p99.9", (r) => time(r.p999_ns)], ["max", (r) => time(r.max_ns)], ["errors", (r) => count(r.errors)], ...(load.no_wait ? [["refused", (r) => count(r.refused)]] : []),
    ...(runs.some((r) => r.clients) ? [["of a client", (r) => (r.clients ? `${count(r.clients.fewest_operations)} – ${count(r.clients.most_operations)}` : "–")]] : []),
    ...(load.greedy_share ? [["greedy", portionOf("greedy")], ["the others", portionOf("others")]] : []),
    ["per batch", (r) => digits(r.reached.operations_per_batch, 1)],
    ["per signature", (r) => digits(r.reached.operations_per_signature, 2)],
    ["batches/s", (r) => count(r.reached.batches_per_second)],
    ["idle", (r) => (r.cpu.known ? percent(r.cpu.machine_idle_share) : "–")],
    ["others", (r) => (r.cpu.known ? percent(r.cpu.machine_others_share) : "–")],
    ["view", (r) => r.view],
  ];
  at("runs").append(make("tr", {}, ...columns.map(([name]) => make("th", {}, name))));
  runs.forEach((r, i) => at("runs").append(make("tr", i === chosen && runs.length > 1 ? { class: "chosen" } : {},
    ...columns.map(([, show]) => make("td", {}, String(show(r, i)))))));

  facts("included", [
    ["replicas", `${included.replicas}, tolerate ${included.tolerates}; ` +
      (included.own_processes ? "processes of their own on this machine" : "running elsewhere")],
    ["signatures", included.signatures], ["flush", `${included.flush}; file system: ${included.filesystem}`],
    ["transport", included.transport],
    ["settings", `request timeout ${time(included.request_timeout_ns)}, checkpoint every ${included.checkpoint_interval} batches, ` +
      `batches of at most ${included.batch_requests_max} requests`],
    ["machine", `${included.machine.cpu}, ${included.machine.cores} cores, ${included.machine.kernel}`],
    ["version", `${included.version} ${included.commit} ${included.go}`],
  ]);
  fillLevels();
  const c = report.constants;
  if (!c) return;
  at("machine").hidden = false;
  facts("constants", [
    ["sign", `${time(c.sign_ns)}; standard library ${time(c.sign_stdlib_ns)}`],
    ["all cores at once", `${digits(c.all_cores_slowdown, 2)} × that`],
    ["verify one", `${time(c.verify_ns)}; unknown key ${time(c.verify_unknown_key_ns)}; standard library ${time(c.verify_stdlib_ns)}`],
    ...c.verify_together.filter((b) => b.signatures > 1)
      .map((b) => [`verify ${b.signatures} by ${b.keys} keys`, `${time(b.each_ns)} each, of ${b.bytes} B`]),
    ["SHA-256", `${time(c.hash_ns)} for 64 B, ${digits(1 / c.hash_byte_ns, 2)} GB/s`],
    ["flush", `${time(c.flush_ns)} of processor, ${time(c.flush_elapsed_ns)} elapsed`],
    ["frame", `${time(c.frame_ns)} and ${time(c.frame_byte_ns)} a byte, in a stream of them`],
    ["round trip", `${time(c.round_trip_elapsed_ns)} elapsed`],
    ...(report.unloaded ? [["one write", `${time(report.unloaded.elapsed_ns)} elapsed, the sum of its parts`]] : []),
  ]);
}

fill();
drawLimit();
drawCurve();
drawHistogram();
over("throughput", "Throughput over time", inOrder().map((i) => [kindOf(i), runs[i], perSecond]), count);
over("latency", "Latency over time", [
  ["chosen worst", run, (s) => s.max_ns], ["chosen slow", run, (s) => s.p99_ns], ["chosen", run, (s) => s.p50_ns],
], time);

// What a person does: toggles, filters, zoom, hover.
function name(lane) { return lane >= 0 && lanes[lane] ? lanes[lane].name : "?"; }

function words(x) {
  if (x.what !== "message") {
    const parts = made(x).length ? ["made of " + made(x).length + " messages that arrived here before" + (x.what === "entered view" ? "" : ", and its own")] : [];
    const about = [x.seq ? "number " + x.seq : "", x.digest, x.what === "prepared" || x.what === "committed" || x.what === "stable" ? "" : x.text].filter(Boolean).join("  ");
    return [name(x.lane) + ": " + x.what + (/view$/.test(x.what) || x.what === "prepared" || x.what === "committed" ? ", view " + x.view : ""), "at " + clock(x.t), about, ...parts];
  }
  if (x.operation) return ["request  " + name(x.from) + " → " + name(x.to), "from operation " + x.operation + " of its session on", "arrived " + clock(x.t)];
  const ways = x.arrivals.map(t => "arrived " + clock(t) + " (after " + clock(t - x.t) + ")");
  if (x.dropped !== undefined) ways.push("lost");
  if (!ways.length) ways.push("still under way where the picture ends, or of no use to its receiver");
  const about = [x.seq ? "number " + x.seq : "", aboutView.has(x.group) ? "view " + x.view : "", x.digest].filter(Boolean).join(", ");
  return [x.kind + "  " + name(x.from) + " → " + name(x.to), about, x.text, "sent " + clock(x.t), ...ways];
}

let hover = null;
function highlight() {
  const about = hover || held, parts = about ? new Set([about, ...made(about)]) : null;
  for (const d of drawn) {
    const on = !parts || parts.has(d.about);
    d.e.setAttribute("opacity", parts ? (on ? 1 : Math.min(.1, d.faint)) : d.faint);
    if (!d.mark) d.e.setAttribute("stroke-width", parts && on ? 2.6 : 1.4);
  }
}
function tip(about, x, y) {
  const t = $("tip");
  t.hidden = !about;
  if (!about) return;
  const [head, ...rest] = words(about);
  const b = document.createElement("b");
  b.textContent = head;
  t.replaceChildren(b, rest.filter(Boolean).join("\n"));
  t.classList.toggle("kept", about === held);
  t.style.left = Math.max(4, Math.min(x + 14, size.w - t.offsetWidth - 8)) + "px";
  t.style.top = Math.max(0, y + 16 + t.offsetHeight > size.h ? y - t.offsetHeight - 10 : y + 16) + "px";
}
function nearest(x, y) {
  let best = null, least = 7;
  for (const d of drawn) {
    const dx = d.x1 - d.x0, dy = d.y1 - d.y0, length = dx * dx + dy * dy || 1;
    const k = Math.max(0, Math.min(1, ((x - d.x0) * dx + (y - d.y0) * dy) / length));
    const far = Math.hypot(x - d.x0 - k * dx, y - d.y0 - k * dy) - (d.mark ? 4 : 0);
    if (far < least) { least = far; best = d.about; }
  }
  return best;
}

let frame = 0;
function redraw() {
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
}
function look(a, b) {
  const width = Math.min(span, Math.max(span / 4000, b - a));
  win.a = Math.max(0, Math.min(span - width, a + (b - a - width) / 2));
  win.b = win.a + width;
  redraw();
}
function zoom(factor, x) {
  look(x - (x - win.a) * factor, x + (win.b - x) * factor);
}
// again lays the time anew, after a change of what is shown, around the same time.
function again() {
  const middle = timeAt((win.a + win.b) / 2), part = (win.b - win.a) / span;
  layTime();
  const x = place(middle);
  look(x - part * span / 2, x + part * span / 2);
}
function go(t) {
  const x = place(t), width = Math.min(win.b - win.a, span / 6 + 1);
  look(x - width * .3, x + width * .7);
}

function toggle(parent, group, count, icon) {
  const b = document.createElement("button");
  b.className = "toggle";
  b.style.setProperty("--c", `var(--${group})`);
  b.append(icon, group);
  const small = document.createElement("small");
  small.textContent = count;
  b.append(small);
  const show = () => b.setAttribute("aria-pressed", shown[group]);
  b.onclick = () => { shown[group] = !shown[group]; show(); again(); };
  show();
  $(parent).append(b);
}
function legend() {
  for (const [group] of groups) {
    const count = messages.filter(m => m.group === group).length;
    if (count) toggle("kinds", group, count, document.createElement("i"));
  }
  for (const [group] of markGroups) {
    const list = marks.filter(m => groupOf[m.what] === group);
    if (!list.length) continue;
    const s = el("svg", { viewBox: "-9 -9 18 18" });
    shape({ faults: "fault", lies: "noted" }[group] || group, 0, -shapes[{ faults: "fault", lies: "noted" }[group] || group].dy, s);
    toggle("marks", group, list.length, s);
  }
  const views = [...new Set(marks.filter(m => m.what === "entered view").map(m => m.view).concat(0))].sort((a, b) => a - b);
  for (const v of views) $("view").append(new Option(v, v));
}
function facts() {
  for (const [k, v] of data.facts || []) {
    const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = k;
    dd.textContent = v;
    row.append(dt, dd);
    $("facts").append(row);
  }
  for (const v of data.verdicts || []) {
    const s = document.createElement("span");
    s.className = "verdict" + (v.error ? " bad" : v.checks ? "" : " none");
    s.textContent = v.name + (v.error ? ": " + v.error : "");
    s.title = v.checks + " checks";
    $("verdicts").append(s);
  }
  $("cut").hidden = !data.cut;
  $("cut").textContent = data.cut || "";
}
function tell() {
  const tones = { noted: "lie", violation: "bad", accused: "bad", observed: "plain", crashed: "bad", fault: "warn", started: "good", calm: "good", "entered view": "good" };
  const list = marks.filter(m => tones[m.what] || m.what === "left view").slice(0, 400);
  for (const m of list) {
    const li = document.createElement("li"), time = document.createElement("time"), span_ = document.createElement("span");
    time.textContent = clock(m.t);
    const what = /^(noted|fault|accused|observed|violation)$/.test(m.what) ? m.text || m.what
      : m.what === "calm" ? "from here on the network is timely"
      : m.what + (/view$/.test(m.what) ? " " + m.view : "") + (m.text ? ": " + m.text : "");
    span_.textContent = (m.lane >= 0 ? name(m.lane) + "  " : "") + what;
    span_.className = tones[m.what] || "";
    li.tabIndex = 0;
    li.onclick = () => { held = m; go(m.t); scrollTo({ top: 0, behavior: "smooth" }); };
    li.onkeydown = e => { if (e.key === "Enter") li.onclick(); };
    li.append(time, span_);
    $("notes").append(li);
  }
  $("story").hidden = !list.length;
}

function listen() {
  let drag = null, moved = 0;
  const at = e => { const r = chart.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
  chart.addEventListener("wheel", e => {
    e.preventDefault();
    const [x] = at(e);
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      const d = (e.deltaX || e.deltaY) / size.w * (win.b - win.a);
      look(win.a + d, win.b + d);
      return;
    }
    zoom(Math.exp(e.deltaY * .0016), unpx(x));
  }, { passive: false });
  chart.onpointerdown = e => { drag = { x: e.clientX, a: win.a, b: win.b }; moved = 0; chart.setPointerCapture(e.pointerId); };
  chart.onpointermove = e => {
    if (drag) {
      const d = (drag.x - e.clientX) / (size.w - gutter) * (drag.b - drag.a);
      moved = Math.max(moved, Math.abs(drag.x - e.clientX));
      if (moved > 3) { chart.classList.add("dragging"); look(drag.a + d, drag.b + d); }
      return;
    }
    const [x, y] = at(e), found = nearest(x, y);
    if (found !== hover) { hover = found; highlight(); }
    if (found || !held) tip(found, x, y);
  };
  chart.onpointerup = e => {
    if (moved <= 3) { const [x, y] = at(e); held = nearest(x, y); hover = null; tip(held, x, y); highlight(); }
    drag = null;
    chart.classList.remove("dragging");
  };
  chart.onpointerleave = () => { hover = null; if (!held) tip(null); highlight(); };
  const jump = e => {
    const r = map.getBoundingClientRect(), x = (e.clientX - r.left - gutter) / (r.width - gutter - 16) * span, half = (win.b - win.a) / 2;
    look(x - half, x + half);
  };
  map.onpointerdown = e => { map.setPointerCapture(e.pointerId); jump(e); };
  map.onpointermove = e => { if (e.buttons) jump(e); };
  const middle = () => (win.a + win.b) / 2, by = k => look(win.a + k * (win.b - win.a), win.b + k * (win.b - win.a));
  const dark = on => { document.documentElement.dataset.theme = on ? "dark" : "light"; };
  dark(/dark/.test(location.hash) || !/light/.test(location.hash) && matchMedia("(prefers-color-scheme: dark)").matches);
  const acts = { "+": () => zoom(.7, middle()), "=": () => zoom(.7, middle()), "-": () => zoom(1.4, middle()), "0": () => look(0, span), ArrowLeft: () => by(-.2), ArrowRight: () => by(.2), Escape: () => { held = hover = null; tip(null); highlight(); } };
  addEventListener("keydown", e => { if (!/INPUT|SELECT/.test(e.target.tagName) && acts[e.key]) { e.preventDefault(); acts[e.key](); } });
  $("in").onclick = acts["+"];
  $("out").onclick = acts["-"];
  $("fit").onclick = acts["0"];
  $("theme").onclick = () => dark(document.documentElement.dataset.theme !== "dark");
  $("scale").onchange = again;
  $("view").onchange = () => { filter.view = $("view").value; again(); };
  $("seq").oninput = () => {
    const m = $("seq").value.match(/^\s*(\d+)\s*(?:[-–]\s*(\d+))?\s*$/);
    [filter.low, filter.high] = m ? [+m[1], +(m[2] || m[1])] : [0, Infinity];
    again();
  };
  addEventListener("resize", redraw);
}

// start shows the moment that the address names (#t=2.6, and dark or light), or
// the beginning, or, if nothing of note happens there, the first thing of note.
function start() {
  facts();
  legend();
  tell();
  listen();
  layTime();
  const visible = messages.filter(passes).map(m => place(m.t)).sort((a, b) => a - b);
  const width = visible.length > 240 ? visible[200] : span;
  const note = marks.find(m => /^(noted|fault|crashed|accused|left view|violation)$/.test(m.what) && passes(m));
  const from = note && place(note.t) > width ? place(note.t) - width * .25 : 0;
  look(from, from + width);
  const t = location.hash.match(/t=([\d.]+)/); // seconds: a link to a moment
  if (t) go(t[1] * 1e6);
}
start();

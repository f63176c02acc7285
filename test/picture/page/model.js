"use strict";
// What the file holds, as objects: lanes, messages, marks, and the stretches of
// a lane's life.
const data = JSON.parse(document.getElementById("data").textContent);
const lanes = data.lanes;
const end = data.moments.reduce((t, m) => Math.max(t, m[0]), 1);

// The groups of kinds, in the order of the legend; false: not shown at first.
const groups = [
  ["request", true], ["pre-prepare", true], ["prepare", true], ["commit", true], ["reply", true], ["checkpoint", true],
  ["view-change", true], ["new-view", true], ["evidence", true], ["transfer", false], ["status", false],
];
const markGroups = [["prepared", true], ["committed", true], ["executed", true], ["stable", true], ["faults", true], ["lies", true]];
const groupOf = {
  prepared: "prepared", committed: "committed", executed: "executed", stable: "stable",
  crashed: "faults", started: "faults", fault: "faults", violation: "faults", calm: "faults", noted: "lies", accused: "lies",
};
const shown = Object.fromEntries([...groups, ...markGroups]);

const messages = [], marks = [];
const byID = new Map();
for (const [t, what, lane, peer, id, kind, view, seq, digest, text] of data.moments) {
  const about = { t, what, lane, view, seq, digest: data.digests[digest] || "", text };
  if (what === "submitted") { // a client's request is known when it arrives
    messages.push({ ...about, what: "message", kind: "request", group: "request", from: peer, to: lane, seq: 0, operation: seq, sent: true, arrivals: [t] });
    continue;
  }
  if (what !== "sent" && what !== "received" && what !== "dropped") {
    marks.push(about);
    continue;
  }
  const arrives = what === "received";
  let m = id ? byID.get(id) : undefined;
  if (!m) {
    const [name, group] = data.kinds[kind] || ["message", "transfer"];
    m = { ...about, what: "message", id, kind: name, group, from: arrives ? peer : lane, to: arrives ? lane : peer, t, sent: !arrives, arrivals: [] };
    messages.push(m);
    if (id) byID.set(id, m);
  }
  if (arrives) m.arrivals.push(t);
  if (what === "dropped") m.dropped = t;
  m.text = m.text || text;
}
// Where one number has several batches, somebody told two stories: colours tell
// them apart.
const stories = new Map();
for (const m of messages) {
  if (m.group !== "pre-prepare" && m.group !== "prepare" && m.group !== "commit" || !m.digest) continue;
  const key = m.view + "/" + m.seq;
  if (!stories.has(key)) stories.set(key, []);
  const list = stories.get(key);
  if (!list.includes(m.digest)) list.push(m.digest);
}
function story(m) {
  const list = stories.get(m.view + "/" + m.seq);
  return list && list.length > 1 && m.digest ? list.indexOf(m.digest) : -1;
}

// The lives of the replicas: up or down, in which view, active or between views.
const stretches = [];
lanes.forEach((l, lane) => {
  if (l.client) return;
  let now = { lane, from: 0, view: 0, up: null, active: true };
  const turn = (t, change) => {
    if (t > now.from) stretches.push({ ...now, to: t });
    now = { ...now, ...change, from: t };
  };
  for (const m of marks) {
    if (m.lane !== lane) continue;
    if (m.what === "crashed") turn(m.t, { up: false });
    if (m.what === "started") turn(m.t, { up: true });
    if (m.what === "left view") turn(m.t, { view: m.view, active: false });
    if (m.what === "entered view") turn(m.t, { view: m.view, active: true });
  }
  stretches.push({ ...now, to: end });
});

// made returns the messages that a certificate, or a view, is made of.
function made(mark) {
  const same = m => m.view === mark.view && m.seq === mark.seq && (!mark.digest || m.digest === mark.digest);
  const here = m => m.to === mark.lane && m.arrivals.some(t => t <= mark.t);
  const among = {
    prepared: m => here(m) && same(m) && (m.group === "prepare" || m.group === "pre-prepare"),
    committed: m => here(m) && same(m) && m.group === "commit",
    executed: m => here(m) && m.seq === mark.seq && m.group === "commit" && (!mark.digest || m.digest === mark.digest),
    stable: m => here(m) && m.group === "checkpoint" && m.seq === mark.seq,
    "entered view": m => m.view === mark.view && here(m) && (m.group === "new-view" || m.group === "view-change"),
  }[mark.what];
  return among ? messages.filter(among) : [];
}

function clock(t) {
  if (t >= 1e6) return (t / 1e6).toFixed(t % 1e6 ? 3 : 0).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") + " s";
  if (t >= 1000) return +(t / 1000).toFixed(2) + " ms";
  return t + " µs";
}

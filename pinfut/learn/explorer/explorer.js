// @ts-check
// The explorer: a recorded run, stepped forward and backward. `mount` puts it into an element;
// docs/trace.md has the format of what it shows. An ES module without dependencies.

import { States } from "./fold.js";
import { Lanes } from "./lanes.js";
import { hue, modelOf, placeOf } from "./model.js";
import { PANELS, Panels, Source } from "./panels.js";
import { errorSentence, esc, kindOf, seconds, Words } from "./words.js";

const HELP = [
  ["→ ←", "the next step, and the one before"],
  ["Shift → ←", "to where the next task parks, yields or ends"],
  ["w Shift w", "the next wake, and the one before"],
  ["n Shift n", "the next event of the chosen task, and the one before"],
  ["c Shift c", "the next event of the same call, and the one before"],
  ["b Shift b", "the next payment of a bank, and the one before"],
  ["↓ ↑", "choose another task"],
  ["Home End", "the beginning; the error, and then the end"],
  ["Space", "play and stop"],
  ["+ −", "nearer and farther"],
  ["f", "fold idle tasks, or show them"],
];

const ENDS = new Set(["park", "yield", "finish", "timer"]);

const FRAME = `
<div class="px-bar" role="toolbar" aria-label="steps">
  <button type="button" data-do="first" aria-label="to the beginning" title="to the beginning (Home)">|◀</button>
  <button type="button" data-do="back" title="one step back (←)">◀ Back</button>
  <button type="button" data-do="step" class="px-main" title="one step (→)">Step ▶</button>
  <button type="button" data-do="last" aria-label="to the error, or to the end" title="to the error, or to the end (End)">▶|</button>
  <button type="button" data-do="play" title="step by itself (Space)">Play</button>
  <input type="range" class="px-slider" min="0" value="0" aria-label="step">
  <output class="px-position"></output>
  <button type="button" data-do="out" aria-label="farther" title="farther (−)">−</button>
  <button type="button" data-do="in" aria-label="nearer" title="nearer (+)">+</button>
  <button type="button" data-do="fold" aria-pressed="false" title="fold tasks that do nothing here (f)">Fold idle</button>
  <button type="button" data-do="help" aria-label="keys" aria-expanded="false" title="the keys">?</button>
</div>
<dl class="px-help" hidden>${HELP.map(([keys, what]) => `<div><dt>${keys.split(" ").map((key) => `<kbd>${key}</kbd>`).join(" ")}</dt><dd>${what}</dd></div>`).join("")}</dl>
<div class="px-say"><span class="px-badge" aria-hidden="true"></span><p role="status" aria-live="polite"></p></div>
<div class="px-body">
  <div class="px-source px-card"></div>
  <div class="px-right">
    <div class="px-lanes px-card"></div>
    <canvas class="px-map" height="36" aria-hidden="true"></canvas>
    <div class="px-legend" aria-label="legend">
      <span><i class="px-l-running"></i>runs</span><span><i class="px-l-ready"></i>ready, waits for its turn</span>
      <span><i class="px-l-parked"></i>parked</span><span class="px-l-polls"><b>○</b> poll: PENDING</span><span class="px-l-polls"><b>●</b> poll: ready</span>
      <span class="px-l-polls"><b>⊗</b> poll: error</span><span><i class="px-l-wake"></i>wake</span><span><i class="px-l-merged"></i>wake, merged</span>
      <span><b>■</b> ends <b>✗</b> fails <b>⊘</b> cancelled</span>
      <span class="px-l-calls"><i class="px-l-call"></i>call, until its answer is there</span>
      <span class="px-l-calls"><b>▸</b> its handler begins</span>
      <span class="px-l-calls"><i class="px-l-answer"></i>until that is taken</span>
      <span class="px-l-calls"><b>›</b> pipelined on another</span>
      <span class="px-l-calls"><b>⇉</b> flush: what has gathered crosses</span>
      <span class="px-l-banks"><i class="px-l-bank"></i>pages that a bank has left</span>
    </div>
    <div class="px-panels">${PANELS}</div>
  </div>
</div>
<details class="px-failure px-card" hidden open><summary></summary><pre></pre></details>`;

/** Show `trace`, `{header, events}`, in `root`.
 *
 * Options: `at`, the step it begins with; `source: false` for a page that shows the source itself,
 * and then `onLine(place, waits, bad)` is called at each step with the place that runs, ["file",
 * line] or null, with who waits where, [place, text, hue] each, and with whether the law broke
 * there; `focus: false` leaves the focus where it is.
 *
 * Gives `{go(i), position, count, broke, stop(), destroy()}`. */
export function mount(root, trace, options = {}) {
  const model = modelOf(trace);
  const words = new Words(model);
  const states = new States(model);
  let position = 0;
  let chosen = 0; // the task that the reader has chosen, 0 for the one that an event is about
  let timer = 0;

  root.innerHTML = `<div class="px${options.source === false ? " px-compact" : ""}" tabindex="0" role="group" aria-label="explorer of a recorded run">${FRAME}</div>`;
  const px = root.querySelector(".px");
  const part = (name) => px.querySelector(name);
  const button = (name) => part(`[data-do=${name}]`);
  const slider = part(".px-slider");
  slider.max = String(model.count);
  const lanes = new Lanes(part(".px-lanes"), model, words, {
    seek: (i) => walk(i, false),
    select: (number) => {
      chosen = chosen === number ? 0 : number;
      go(position, false);
    },
  });
  const panels = new Panels(part(".px-panels"), model, words);
  const source = options.source === false || !model.sources.size ? null : new Source(part(".px-source"), model, words);
  if (!source) part(".px-source").remove();
  const overview = mapOf(part(".px-map"), model, lanes);
  const crowd = model.tasks.length > 1;
  button("fold").hidden = !crowd;
  const there = { polls: !words.asyncio, calls: model.sessions.size, banks: model.banks.size };
  for (const [what, some] of Object.entries(there))
    for (const sign of px.querySelectorAll(`.px-l-${what}`)) sign.hidden = !some;

  function go(to, follow = true) {
    position = Math.max(0, Math.min(model.count, to));
    const state = states.at(position);
    const event = model.events[position - 1];
    const failed = model.broke > 0 && position === model.broke;
    slider.value = String(position);
    slider.setAttribute("aria-valuetext", `step ${position} of ${model.count}`);
    part(".px-position").textContent = `${position} / ${model.count} · ${seconds(state.t)}`;
    say(event, failed);
    const who = chosen || event?.a || state.running || model.tasks[0] || 0;
    lanes.show(position, who, state, follow);
    panels.show(state, position, who);
    where(state, failed, state.tasks[who]?.at);
    overview();
    button("fold").setAttribute("aria-pressed", String(lanes.folded));
    px.dataset.position = String(position);
    px.dataset.kind = event?.k ?? "";
  }

  function say(event, failed) {
    const badge = part(".px-badge");
    const text = part(".px-say p");
    part(".px-say").classList.toggle("px-alarm", failed);
    const { error } = model.header;
    if (failed && error) {
      badge.textContent = "‼ error";
      text.innerHTML = event?.k === "law" ? words.sentence(position - 1) : errorSentence(error);
    } else if (event) {
      badge.textContent = kindOf(event).join(" ");
      const after = model.broke && position > model.broke ? "<small>After the error: </small>" : "";
      text.innerHTML = after + words.sentence(position - 1);
    } else {
      badge.textContent = "● start";
      const lost = model.header.lost ? ` ${model.header.lost} older events were dropped, so this is not the beginning of the run.` : "";
      text.innerHTML = `Press <kbd>→</kbd> for the first step, and <kbd>←</kbd> to go back.${lost}`;
    }
    const box = part(".px-failure");
    box.hidden = !(failed && error);
    if (failed && error) {
      box.querySelector("summary").textContent = `${error.type}${error.law ? ` breaks law ${error.law}` : ""}`;
      box.querySelector("pre").textContent = error.text;
    }
  }

  /** Which line runs, and who waits where. `other`: where the task is that the step is about. */
  function where(state, failed, other) {
    const waits = [];
    for (const [number, task] of Object.entries(state.tasks)) {
      const place = task.st === "done" || +number === state.running ? null : placeOf(task.at);
      if (place) waits.push([place, `${esc(task.n)} ${task.st === "parked" ? "‖ parked" : "ready"}`, hue(+number)]);
    }
    const shown = crowded(waits);
    // Nobody runs when everybody is parked for ever: then it is where the first one waits.
    const error = model.header.error;
    const parked = Object.values(state.tasks).filter((task) => task.st === "parked" && model.sources.has(placeOf(task.at)?.[0]));
    const lost = failed ? (state.at ?? error?.at ?? parked[0]?.at) : null;
    const at = lost ?? state.at;
    source?.show(at, failed, shown, other);
    options.onLine?.(placeOf(at), shown, failed);
  }

  /** Go somewhere on the reader's behalf: what plays stops. */
  function walk(to, follow = true) {
    stop();
    go(to, follow);
  }

  function find(by, wanted) {
    let to = position + by;
    while (to > 0 && to < model.count && !wanted(model.events[to - 1])) to += by;
    walk(to);
  }

  function choose(by) {
    const state = states.at(position);
    const tasks = model.tasks.filter((number) => state.tasks[number]);
    if (!tasks.length) return;
    const now = tasks.indexOf(chosen || model.events[position - 1]?.a || 0);
    chosen = tasks[(now + by + tasks.length) % tasks.length];
    go(position, false);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    button("play").textContent = "Play";
  }

  const actions = {
    first: () => walk(0),
    back: () => walk(position - 1),
    step: () => walk(position + 1),
    last: () => walk(position < model.broke ? model.broke : model.count),
    play() {
      if (timer) return stop();
      if (position >= model.count) go(0);
      button("play").textContent = "Stop";
      timer = setInterval(() => (position < model.count ? go(position + 1) : stop()), 500);
    },
    in: () => lanes.setZoom(lanes.zoom * 1.4),
    out: () => lanes.setZoom(lanes.zoom / 1.4),
    fold() {
      lanes.fold(!lanes.folded);
      go(position, false);
    },
    help() {
      const help = part(".px-help");
      help.hidden = !help.hidden;
      button("help").setAttribute("aria-expanded", String(!help.hidden));
    },
  };

  /** Whether an event is of the call that the present one is about; of any, if that is of none. */
  function sameCall() {
    const event = model.events[position - 1];
    const call = event && model.callOf(event);
    return (other) => (call === undefined ? model.callOf(other) !== undefined : model.callOf(other) === call);
  }

  const mine = (event) => event.a === chosen || event.b === chosen;
  const keys = {
    ArrowRight: (shift) => (shift ? find(1, (event) => ENDS.has(event.k)) : actions.step()),
    ArrowLeft: (shift) => (shift ? find(-1, (event) => ENDS.has(event.k)) : actions.back()),
    ArrowDown: () => choose(1),
    ArrowUp: () => choose(-1),
    Home: actions.first,
    End: actions.last,
    w: (shift) => find(shift ? -1 : 1, (event) => event.k === "wake"),
    b: (shift) => find(shift ? -1 : 1, (event) => event.k === "bank"),
    c: (shift) => find(shift ? -1 : 1, sameCall()),
    n: (shift) => find(shift ? -1 : 1, chosen ? mine : () => true),
    f: actions.fold,
    "+": actions.in,
    "=": actions.in,
    "-": actions.out,
    "?": actions.help,
    " ": actions.play,
  };

  px.addEventListener("click", (event) => {
    const wanted = event.target.closest("[data-do]");
    if (wanted && px.contains(wanted)) actions[wanted.dataset.do]();
    const step = event.target.closest("[data-step]");
    if (step) walk(+step.dataset.step);
  });
  px.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const onButton = event.target.closest?.("button, summary");
    if (!Object.hasOwn(keys, key) || (key === " " && onButton)) return;
    event.preventDefault();
    keys[key](event.shiftKey);
  });
  slider.addEventListener("input", () => walk(+slider.value));
  part(".px-map").addEventListener("click", (event) => {
    walk(model.eventAt((event.offsetX / event.target.clientWidth) * model.width));
  });
  const resized = new ResizeObserver(() => {
    lanes.resize();
    source?.resize();
    overview(true);
  });
  resized.observe(part(".px-lanes"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recoloured = () => overview(true);
  dark.addEventListener("change", recoloured);

  lanes.resize();
  lanes.setZoom(1);
  go(options.at ?? 0);
  if (options.focus !== false) px.focus({ preventScroll: true });
  return {
    go: walk,
    get position() {
      return position;
    },
    count: model.count,
    broke: model.broke,
    stop,
    destroy() {
      stop();
      resized.disconnect();
      dark.removeEventListener("change", recoloured);
      root.replaceChildren();
    },
  };
}

/** More than two who wait at one line are told by their number. */
function crowded(waits) {
  const lines = new Map();
  for (const wait of waits) {
    const key = wait[0].join(":");
    lines.set(key, [...(lines.get(key) ?? []), wait]);
  }
  return [...lines.values()].flatMap((group) => {
    if (group.length > 2) return [[group[0][0], `${group.length} tasks wait`, 215]];
    const [one, other] = group;
    return other && one[1] === other[1] ? [[one[0], `2 × ${one[1]}`, one[2]]] : group;
  });
}

/** Draws the whole run in a strip, with the part that is seen and the position. */
function mapOf(canvas, model, lanes) {
  let base = null;
  const rows = Math.max(1, model.tasks.length);
  const height = canvas.height;

  function paint() {
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    base = document.createElement("canvas");
    base.width = canvas.width = canvas.clientWidth || 800;
    base.height = height;
    const pen = base.getContext("2d");
    const scale = base.width / (model.width || 1);
    const step = Math.min(9, (height - 4) / rows);
    for (const span of model.spans) {
      if (span.st === "parked") continue;
      pen.fillStyle = span.st === "running" ? `hsl(${hue(span.a)} 45% ${colour("--ink") || "45%"})` : colour("--ready-line");
      const row = model.tasks.indexOf(span.a);
      const low = span.st === "running" ? 0 : step / 3;
      pen.fillRect(model.x[span.from] * scale, 2 + row * step + low, Math.max(0.7, (model.x[span.to] - model.x[span.from]) * scale), Math.max(0.8, step - 1 - 2 * low));
    }
    if (model.broke) {
      pen.fillStyle = colour("--bad");
      pen.fillRect(model.x[model.broke] * scale - 1, 0, 2, height);
    }
    return { seen: colour("--seen"), text: colour("--text") };
  }

  let colours = paint();
  return (anew = false) => {
    if (anew) colours = paint();
    const pen = canvas.getContext("2d");
    const scale = canvas.width / (model.width || 1);
    pen.clearRect(0, 0, canvas.width, height);
    pen.drawImage(base, 0, 0);
    pen.fillStyle = colours.seen;
    pen.fillRect((lanes.left / lanes.zoom) * scale, 0, Math.max(4, (lanes.seen / lanes.zoom) * scale), height);
    pen.fillStyle = colours.text;
    pen.fillRect(model.x[lanes.position] * scale - 1, 0, 2, height);
  };
}

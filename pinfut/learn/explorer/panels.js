// @ts-check
// What stands around the lanes: the source, the queue, timers, the tree of futures, slots, banks,
// what was printed, and the steps before and after this one as text.

import { hue, placeOf, sessionName } from "./model.js";
import { esc, futureName, kindOf, many, seconds } from "./words.js";

const MOST = 12; // entries of one list
const LINE = 20; // the height of a line of the source: as in the style sheet

/** The panels that are always there, and those that need something to show. */
export const PANELS = `
<section class="px-card px-queue"><h3>Ready queue</h3><div></div></section>
<section class="px-card px-timers"><h3>Timers</h3><div></div></section>
<section class="px-card px-tree"><h3>Waits for</h3><div></div></section>
<section class="px-card px-slots" hidden><h3>Calls in their slots</h3><div></div></section>
<section class="px-card px-banks" hidden><h3>Banks</h3><div></div></section>
<section class="px-card px-printed" hidden><h3>Printed</h3><pre></pre></section>
<section class="px-card px-steps"><h3>Step by step</h3><ol></ol></section>`;

const chip = (words, number, sign = "") =>
  `<span class="px-chip${sign && " px-solid"}" style="--h:${hue(number)}">${sign}${words.named(number)}</span>`;
const none = (text) => `<p class="px-none">${text}</p>`;

export class Panels {
  constructor(root, model, words) {
    this.root = root;
    this.model = model;
    this.words = words;
  }

  part(name) {
    return this.root.querySelector(name);
  }

  /** `who`: the task whose tree of futures is shown. */
  show(state, position, who) {
    this.part(".px-queue div").innerHTML = this.queue(state);
    this.part(".px-timers div").innerHTML = this.timers(state);
    this.tree(state, who);
    this.slots(state);
    this.banks(state, this.model.events[position - 1]);
    const printed = this.part(".px-printed");
    printed.hidden = !state.out;
    printed.querySelector("pre").textContent = state.out;
    this.part(".px-steps ol").innerHTML = this.steps(position);
  }

  queue(state) {
    const { words } = this;
    const running = state.running
      ? `<div class="px-runs">${chip(words, state.running, "▶ ")} runs</div>`
      : "";
    const shown = state.ready.slice(0, MOST).map((number) => `<li>${chip(words, number)}</li>`);
    if (state.ready.length > MOST) shown.push(`<li>… ${state.ready.length - MOST} more</li>`);
    const empty = state.running ? "" : none(`Empty: the ${words.runner} sleeps until something wakes a task.`);
    return running + (shown.length ? `<ol class="px-line" aria-label="ready, in order">${shown.join("")}</ol>` : empty);
  }

  timers(state) {
    const timers = Object.entries(state.timers).sort(([, one], [, other]) => (one.d ?? Infinity) - (other.d ?? Infinity) || 0);
    const items = timers.slice(0, MOST).map(([x, timer]) =>
      `<li><b>${timer.d === null ? "never" : seconds(timer.d)}</b> timer ${esc(x)}${timer.a ? ` of ${chip(this.words, timer.a)}` : ""}</li>`);
    for (const [key, number] of Object.entries(state.io).slice(0, MOST))
      items.push(`<li><b>fd ${esc(key)}</b>${number ? ` for ${chip(this.words, number)}` : ""}</li>`);
    if (timers.length > MOST) items.push(`<li>… ${timers.length - MOST} more</li>`);
    return items.length ? `<ul>${items.join("")}</ul>` : none("None is set.");
  }

  tree(state, who) {
    const task = state.tasks[who];
    const head = this.part(".px-tree h3");
    const body = this.part(".px-tree div");
    if (!task) {
      head.textContent = "Waits for";
      body.innerHTML = none("No task yet.");
      return;
    }
    const name = this.words.task(who);
    const what = {
      running: task.tr ? "runs; it was last parked on" : "runs",
      ready: task.tr ? "is ready; it was parked on" : "is ready",
      parked: task.since === null ? "is parked" : `is parked since ${seconds(task.since)} on`,
      done: task.how === "value" ? `has ended${task.v ? ` with ${esc(task.v)}` : ""}` : task.how === "error" ? `has failed with ${esc(task.v ?? "an error")}` : "was cancelled",
    }[task.st];
    head.innerHTML = `${name} ${what}`;
    const counts = [many(task.polls, "poll"), many(task.steps, "step"), many(task.wakes, "wake")];
    if (task.merged) counts.push(`${task.merged} merged`);
    if (task.own) counts.push(`${task.own} of itself`);
    const tree = task.tr ? `<ul class="px-nodes">${this.node(task.tr, state)}</ul>` : "";
    body.innerHTML = `${tree}<p class="px-counts">${counts.join(" · ")}</p>`;
  }

  node(node, state) {
    if (node.done) return `<li class="px-node px-over"><span class="px-dot">●</span> <s>done</s></li>`;
    const future = state.futs[node.f];
    const task = node.a ? state.tasks[node.a] : null;
    const last = future?.last;
    const dot = last === "ready" ? "●" : last === "error" ? "✗" : "○";
    const polling = node.f && state.polling.includes(node.f) ? ` <span class="px-tag">being polled</span>` : "";
    const notes = [];
    if (task) notes.push(`task ${node.a}, ${task.st}`);
    else if (future) notes.push(`${last ?? "not polled"}${future.v ? ` ${future.v}` : ""}`, many(future.polls, "poll"));
    if (node.at) notes.push(`line ${node.at.replace(/^.*:/, "")}`);
    const below = [...(node.c ?? []).map((child) => this.node(child, state))];
    if (node.more) below.push(`<li class="px-node">… ${node.more} more</li>`);
    return `<li class="px-node"><span class="px-dot">${dot}</span> ${node.a ? this.words.task(node.a) : `<b>${esc(futureName(node.n))}</b>`} <small>${esc(notes.join(", "))}</small>${polling}${
      below.length ? `<ul>${below.join("")}</ul>` : ""}</li>`;
  }

  slots(state) {
    const panel = this.part(".px-slots");
    const sessions = Object.entries(state.slots);
    panel.hidden = !sessions.length;
    panel.querySelector("div").innerHTML = sessions.map(([name, session]) => this.session(name, session, state)).join("");
  }

  session(name, session, state) {
    const slots = Math.max(session.N || 0, ...Object.keys(session.c).map((slot) => +slot + 1));
    // Free slots behind the last one that was ever used say nothing.
    const last = Math.max(7, ...Object.keys(session.c).map(Number));
    const shown = Math.min(slots, 32, last + 1);
    const serving = state.serving[name] ?? {};
    const cells = Array.from({ length: shown }, (_, slot) => {
      const call = session.c[slot];
      const free = !call || call.s === "free";
      const sign = free ? "" : { sent: "→", returned: "✓", cancelled: "⊘" }[call.s] ?? "";
      const text = free ? `slot ${slot}: free${call ? `, last had call ${call.x}` : ""}` : `slot ${slot}: call ${call.x} ${call.m ?? ""} ${call.s}`;
      return `<li class="px-slot px-${free ? "free" : call.s}" title="${esc(text)}" aria-label="${esc(text)}"><small>${slot}</small><b>${call ? call.x : ""}</b>${sign}</li>`;
    });
    const calls = Object.entries(session.c).filter(([, call]) => call.s !== "free").map(([slot, call]) => {
      const handler = serving[call.x];
      const at = handler?.a ? `, served by ${chip(this.words, handler.a)}` : handler ? ", its handler has begun" : "";
      const on = call.on === null ? "" : ` <span class="px-tag">pipelined on ${call.on}</span>`;
      return `<li>call <b>${call.x}</b>${call.m ? ` <code>${esc(call.m)}</code>` : ""} in slot ${slot}: ${call.s}${at}${on}</li>`;
    });
    const rest = slots > shown ? `<li class="px-none">… up to ${slots - 1}</li>` : "";
    return `<h4>${esc(name)}${session.N ? ` <small>call x has slot x mod ${session.N}</small>` : ""}</h4>
      <ol class="px-grid" aria-label="slots">${cells.join("")}${rest}</ol>${calls.length ? `<ul>${calls.slice(0, MOST).join("")}</ul>` : none("No call is under way.")}`;
  }

  banks(state, event) {
    const panel = this.part(".px-banks");
    const banks = Object.entries(state.banks);
    panel.hidden = !banks.length;
    panel.querySelector("div").innerHTML = banks.map(([name, bank]) => {
      const spent = Object.entries(bank.spent).filter(([why, pages]) => why && pages);
      const back = -(bank.spent[""] ?? 0);
      const paid = spent.slice(0, 8).map(([what, pages]) => `<li>${many(pages, "page")} for ${esc(what)}</li>`);
      if (paid.length && back > 0) paid.push(`<li>${many(back, "page")} came back</li>`);
      const list = (what, items) => (items.length ? `<h5>${what}</h5><ul>${items.join("")}</ul>` : "");
      const why = list("Paid so far", paid) + list("For calls that are under way", this.underWay(name, state));
      const now = event?.k === "bank" && event.n === name ? ` <span class="px-tag">${event.dp > 0 ? "−" : "+"}${Math.abs(event.dp)} now</span>` : "";
      const total = Object.values(bank.spent).reduce((one, other) => one + other, 0);
      if (bank.p === null) return `<h4>${esc(name)}${now}</h4><p>${many(total, "page")} spent</p>${why}`;
      const most = bank.L ?? bank.p + total;
      const part = most ? Math.round((100 * bank.p) / most) : 0;
      return `<h4>${esc(name)}${now}</h4><div class="px-meter" role="meter" aria-valuemin="0" aria-valuemax="${most}" aria-valuenow="${bank.p}"
        aria-label="pages left in ${esc(name)}"><i style="width:${part}%"></i></div>
        <p>${bank.p} of ${many(most, "page")} left${bank.c === null ? "" : `, ${many(bank.c, "capability", "capabilities")}`}</p>${why}`;
    }).join("");
  }

  /** What a bank pays for each call that is under way, of those whose room or frame is known. */
  underWay(bank, state) {
    const items = [];
    for (const [name, session] of Object.entries(state.slots)) {
      if (state.slots[sessionName(name)]?.pays !== bank) continue;
      for (const call of Object.values(session.c)) {
        const handler = state.serving[name]?.[call.x];
        const parts = [];
        if (call.z && call.s !== "free") parts.push(`${many(call.z, "byte")} for its answer`);
        if (handler?.z && handler.a) parts.push(`${many(handler.z, "byte")} for its handler ${chip(this.words, handler.a)}`);
        if (parts.length) items.push(`<li>call <b>${call.x}</b>: ${parts.join(", ")}</li>`);
      }
    }
    return items.slice(0, MOST);
  }

  steps(position) {
    const { model, words } = this;
    const from = Math.max(0, position - 4);
    const to = Math.min(model.count, position + 4);
    const items = [];
    for (let i = from; i < to; i++) {
      const [sign, word] = kindOf(model.events[i]);
      const now = i === position - 1;
      items.push(`<li value="${i + 1}" data-step="${i + 1}" class="${now ? "px-here" : i >= position ? "px-later" : ""}"${now ? ' aria-current="step"' : ""}>
        <span class="px-sign" title="${esc(word)}">${sign}</span><span>${words.sentence(i)}</span></li>`);
    }
    return items.join("") || none("Nothing was recorded.");
  }
}

/** The source: the file that runs, with the line and who waits where. */
export class Source {
  constructor(root, model, words) {
    this.root = root;
    this.model = model;
    this.words = words;
    this.file = null;
    this.top = 0;
    this.height = 400;
    this.open([...model.sources.keys()][0]);
  }

  open(file) {
    if (file === this.file) return;
    this.file = file;
    const text = (this.model.sources.get(file) ?? "").replace(/\n$/, "");
    const lines = text.split("\n").map((line, i) =>
      `<li data-line="${i + 1}"><span class="px-number">${i + 1}</span><code>${line ? painted(line) : " "}</code><span class="px-tags"></span></li>`);
    this.root.innerHTML = `<h3>${esc(file ?? "")}</h3><ol class="px-code" tabindex="0" aria-label="source of ${esc(file ?? "")}">${lines.join("")}</ol>`;
    this.top = 0;
    const code = this.root.querySelector(".px-code");
    code.addEventListener("scroll", () => {
      this.top = code.scrollTop;
    });
  }

  /** `at`: the place that runs; `bad`: it is where the law broke; `waits`: [line, text, hue];
   * `other`: what is brought into sight when nothing runs. */
  show(at, bad, waits, other) {
    const place = placeOf(at);
    if (place && this.model.sources.has(place[0])) this.open(place[0]);
    for (const old of this.root.querySelectorAll(".px-at, .px-wrong")) {
      old.removeAttribute("class");
      old.removeAttribute("aria-current");
    }
    for (const old of this.root.querySelectorAll(".px-tags")) if (old.firstChild) old.innerHTML = "";
    for (const [[file, line], text, h] of waits) {
      const tags = file === this.file && this.root.querySelector(`[data-line="${line}"] .px-tags`);
      if (tags) tags.innerHTML += `<span class="px-tag" style="--h:${h}">${text}</span>`;
    }
    const [file, number] = place ?? placeOf(other) ?? [];
    const line = file === this.file && this.root.querySelector(`[data-line="${number}"]`);
    if (!line) return;
    if (place) {
      line.classList.add(bad ? "px-wrong" : "px-at");
      line.setAttribute("aria-current", "true");
    }
    const top = (number - 1) * LINE;
    if (top < this.top + LINE || top > this.top + this.height - 3 * LINE) {
      this.top = Math.max(0, top - this.height / 2);
      this.root.querySelector(".px-code").scrollTop = this.top;
    }
  }

  /** The place for the source has another size. */
  resize() {
    this.height = this.root.querySelector(".px-code").clientHeight;
  }
}

const TOKEN = /(#.*$)|("""|'''|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\b(async|await|def|class|return|raise|if|elif|else|for|while|with|as|try|except|finally|import|from|in|is|not|and|or|None|True|False|pass|yield|lambda|break|continue|assert|del|match|case|global|nonlocal)\b|(@\w[\w.]*)|\b(\d[\d_.]*)\b/g;

/** One line of Python with its words told apart, as far as one line can tell. */
function painted(line) {
  let out = "";
  let last = 0;
  for (const found of line.matchAll(TOKEN)) {
    const kind = ["", "comment", "string", "word", "mark", "digit"][found.slice(1).findIndex(Boolean) + 1];
    out += `${esc(line.slice(last, found.index))}<span class="px-${kind}">${esc(found[0])}</span>`;
    last = found.index + found[0].length;
  }
  return out + esc(line.slice(last));
}

// @ts-check
// The lanes: what each task does, step by step, who wakes whom, and below it the calls of each
// session and what each bank has left. Form tells everything apart; colour only helps.

import { hue, OUTSIDE, tasksOf } from "./model.js";
import { esc, seconds } from "./words.js";

const RULER = 24;
const TASK = 34;
const CALL = 15;
const BANK = 38;
const HEAD = 20; // above the calls of a session: its name
const MOST_CALLS = 6; // rows of one session
const TALLEST = 430; // what is higher is scrolled: as in the style sheet
const NARROWEST = 132; // of the labels
const WIDEST = 236;
const CLEAN_UP = 18; // below the lanes: the line that says so
const MARGIN = 320; // pixels that are drawn beside what is seen

export class Lanes {
  /** `seek(i)`: go to event i; `select(a)`: choose a task. */
  constructor(root, model, words, { seek, select }) {
    this.model = model;
    this.words = words;
    this.zoom = 1;
    this.position = 0;
    this.selected = 0;
    this.drawn = "";
    this.rows = [];
    this.y = new Map();
    root.innerHTML = `<div class="px-labels"></div><div class="px-scroll"><svg class="px-svg" role="img"></svg></div>`;
    this.root = root;
    this.labels = root.querySelector(".px-labels");
    this.scroll = root.querySelector(".px-scroll");
    this.svg = root.querySelector(".px-svg");
    // Nothing has to be scrolled to in the beginning: rather idle tasks are folded.
    this.folded = false;
    this.layOut(0, 0);
    this.folded = this.height > TALLEST;
    const longest = Math.max(...model.tasks.map((a) => words.name(a).length * 8.8 + String(a).length * 8 + 42),
      ...[...model.sessions.keys(), ...model.banks.keys()].map((name) => name.length * 6.8 + 76), NARROWEST);
    this.labels.style.width = `min(${Math.min(longest, WIDEST)}px, 36%)`;
    // Where the window is, as far as it was last looked at: to ask the page in the middle of a
    // step makes it lay everything out.
    this.left = 0;
    this.top = 0;
    root.addEventListener("scroll", () => {
      this.top = root.scrollTop;
    });
    this.seen = 800;
    this.scroll.addEventListener("scroll", () => {
      this.left = this.scroll.scrollLeft;
      this.draw();
    });
    this.svg.addEventListener("click", (event) => {
      const left = this.svg.getBoundingClientRect().left;
      seek(Math.min(model.count, model.eventAt((event.clientX - left) / this.zoom)));
    });
    this.labels.addEventListener("click", (event) => {
      const label = event.target.closest("[data-task]");
      if (label) select(+label.dataset.task);
      if (event.target.closest("[data-unfold]")) {
        this.fold(false);
        root.closest("[tabindex]")?.focus({ preventScroll: true }); // what had it is gone
      }
    });
  }

  /** Of the picture, in pixels: it fills the window, and has room for words behind the last event. */
  get width() {
    return Math.max(this.seen, this.model.width * this.zoom + 120);
  }

  /** The place for the lanes has another size. */
  resize() {
    this.seen = this.scroll.clientWidth;
    this.left = this.scroll.scrollLeft;
    this.svg.setAttribute("width", String(this.width));
    this.draw(true);
  }

  scrollTo(left) {
    this.left = Math.max(0, Math.min(this.width - this.seen, left));
    this.scroll.scrollLeft = this.left;
  }

  fold(folded) {
    this.folded = folded;
    this.draw(true);
  }

  setZoom(zoom) {
    const middle = this.model.x[this.position];
    const offset = middle * this.zoom - this.left;
    this.zoom = Math.max(0.04, Math.min(3, zoom));
    this.svg.setAttribute("width", String(this.width));
    this.scrollTo(middle * this.zoom - offset);
    this.draw(true);
  }

  /** Show the position, and scroll to where it can be seen. */
  show(position, selected, state, follow = true) {
    const chosen = this.selected !== selected;
    this.position = position;
    this.selected = selected;
    const x = this.model.x[position] * this.zoom;
    if (follow && (x < this.left + 40 || x > this.left + this.seen - 90)) this.scrollTo(x - this.seen * 0.5);
    this.draw(chosen);
    if (follow) this.scrollToRow(position);
    this.svg.setAttribute("aria-label", this.description(state));
  }

  scrollToRow(position) {
    const event = this.model.events[position - 1];
    const y = event && this.y.get(event.a ?? OUTSIDE);
    if (y === undefined || this.height <= TALLEST) return;
    if (y >= this.top + RULER && y + TASK <= this.top + TALLEST) return;
    this.top = Math.max(0, y - TALLEST / 2);
    this.root.scrollTop = this.top;
  }

  description(state) {
    const told = Object.entries(state.tasks).filter(([, task]) => task.st !== "done");
    const shown = told.slice(0, 12).map(([number, task]) => `${this.words.name(+number)} is ${task.st}`);
    const more = told.length > 12 ? `, and ${told.length - 12} more tasks` : "";
    return `Lanes of ${this.model.tasks.length} tasks at ${seconds(state.t)}. ${shown.join(", ") || "No task lives"}${more}.`;
  }

  window() {
    const from = Math.max(0, this.model.eventAt((this.left - MARGIN) / this.zoom) - 1);
    const to = Math.min(this.model.count, this.model.eventAt((this.left + this.seen + MARGIN) / this.zoom) + 1);
    // In steps, so that a few events further nothing has to be drawn again.
    return [from - (from % 16), Math.min(this.model.count, to + 16 - (to % 16))];
  }

  draw(anew = false) {
    const [from, to] = this.window();
    const key = `${from} ${to} ${this.zoom} ${this.folded}`;
    if (anew || key !== this.drawn) {
      this.drawn = key;
      this.layOut(from, to);
      this.svg.innerHTML = this.picture(from, to);
    }
    const at = this.model.x[this.position] * this.zoom;
    this.svg.querySelector(".px-now").setAttribute("transform", `translate(${at} 0)`);
    const future = this.svg.querySelector(".px-future");
    future.setAttribute("x", String(at));
    future.setAttribute("width", String(Math.max(0, this.width - at)));
    this.svg.querySelector(".px-names").innerHTML = this.callNames();
    const halo = this.svg.querySelector(".px-halo");
    const [y, height] = (this.position && this.placeOf(this.position - 1)) || [];
    halo.style.display = y === undefined ? "none" : "";
    if (y !== undefined) {
      const width = (this.model.x[this.position] - this.model.x[this.position - 1]) * this.zoom;
      const box = { x: at - width, y, width: Math.max(6, width), height };
      for (const [name, value] of Object.entries(box)) halo.setAttribute(name, String(value));
    }
  }

  /** [top, height] of what an event happens to: a lane, or the slot of a call. */
  placeOf(i) {
    const event = this.model.events[i];
    const id = this.rowOf(i);
    const y = this.y.get(id);
    if (y === undefined) return undefined;
    const row = this.rows.find((row) => row.id === id);
    if (row?.kind !== "session") return [y + 3, TASK - 6];
    const slot = row.slots.indexOf(event.x % (row.session.N || Infinity));
    return slot < 0 ? [y + 2, HEAD - 4] : [y + HEAD + CALL * (slot % MOST_CALLS) - 2, CALL + 1];
  }

  /** Which rows there are, and where: tasks that do nothing in the window are folded into one. */
  layOut(from, to) {
    const { model } = this;
    let tasks = model.tasks;
    let idle = 0;
    if (this.folded) {
      const busy = new Set([this.selected]);
      for (let i = from; i < to; i++) for (const number of tasksOf(model.events[i])) busy.add(number);
      for (const span of model.spans)
        if (span.st !== "parked" && span.from <= to && span.to >= from) busy.add(span.a);
      const lives = tasks.filter((a) => model.born.get(a) <= to && (model.died.get(a) ?? to) >= from);
      tasks = lives.filter((a) => busy.has(a));
      idle = lives.length - tasks.length;
    }
    const rows = [{ id: OUTSIDE, kind: "outside", height: TASK }];
    for (const a of tasks) rows.push({ id: a, kind: "task", height: TASK });
    if (idle) rows.push({ id: "idle", kind: "idle", count: idle, height: 26 });
    for (const session of model.sessions.values()) {
      const slots = [...new Set(session.calls.map((call) => call.slot))];
      const height = HEAD + CALL * Math.min(MOST_CALLS, Math.max(1, slots.length)) + 6;
      rows.push({ id: `s ${session.name}`, kind: "session", session, slots, height });
    }
    for (const bank of model.banks.values()) rows.push({ id: `b ${bank.name}`, kind: "bank", bank, height: BANK });
    let y = RULER;
    this.y = new Map();
    for (const row of rows) {
      row.y = y;
      this.y.set(row.id, y);
      y += row.height;
    }
    if (idle) for (const a of model.tasks) if (!this.y.has(a)) this.y.set(a, this.y.get("idle") - 4);
    this.rows = rows;
    this.height = y + 6 + (this.model.broke && this.model.broke < this.model.count ? CLEAN_UP : 0);
    // A label that has the focus keeps it.
    const focused = this.labels.contains(document.activeElement) ? document.activeElement.dataset.task : undefined;
    this.labels.innerHTML = rows.map((row) => this.label(row)).join("");
    if (focused !== undefined) this.labels.querySelector(`[data-task="${focused}"]`)?.focus({ preventScroll: true });
    this.labels.style.height = `${this.height}px`;
    this.svg.setAttribute("height", String(this.height));
  }

  label(row) {
    const style = `top:${row.y}px;height:${row.height}px`;
    if (row.kind === "task") {
      const chosen = row.id === this.selected;
      return `<button type="button" class="px-label${chosen ? " px-chosen" : ""}" data-task="${row.id}" aria-pressed="${chosen}"
        title="${esc(this.words.name(row.id))}" style="${style};--h:${hue(row.id)}"><b class="px-task">${esc(this.words.name(row.id))}</b> <small>#${row.id}</small></button>`;
    }
    if (row.kind === "idle")
      return `<button type="button" class="px-label px-quiet" data-unfold style="${style}" title="Show all tasks">+ ${row.count} idle</button>`;
    const names = { outside: "outside", session: row.session?.name, bank: row.bank?.name };
    const what = row.kind === "outside" ? "" : `<small>${row.kind}</small> `;
    const slots = (row.slots ?? []).slice(0, MOST_CALLS).map((slot, i) =>
      `<span class="px-slot-name" style="top:${HEAD + CALL * i}px">slot ${slot}${row.slots.length > MOST_CALLS ? "…" : ""}</span>`);
    return `<div class="px-label px-quiet px-${row.kind}" style="${style}" title="${esc(names[row.kind])}">${what}<span>${esc(names[row.kind])}</span>${slots.join("")}</div>`;
  }

  picture(from, to) {
    const out = [DEFS];
    this.ruler(out, from, to);
    for (const row of this.rows) {
      const y = row.y + row.height;
      out.push(`<line class="px-rule" x1="${this.at(from)}" x2="${Math.max(this.at(to) + 120, this.left + this.seen)}" y1="${y}" y2="${y}"/>`);
      if (row.kind === "session") this.calls(out, row, from, to);
      if (row.kind === "bank") this.balance(out, row, from, to);
    }
    for (const span of this.model.spans) if (span.to >= from && span.from <= to) this.span(out, span, from, to);
    for (let i = from; i < to; i++) this.mark(out, i);
    const { broke, count } = this.model;
    if (broke && broke < count)
      out.push(`<rect class="px-after" x="${this.at(broke)}" y="${RULER}" width="${this.at(count) - this.at(broke)}" height="${this.height}"/>`);
    out.push(`<rect class="px-halo" rx="5"/><rect class="px-future" y="${RULER}" height="${this.height}"/>`);
    if (broke) this.broken(out);
    out.push(`<g class="px-names"></g><g class="px-now"><line y1="${RULER - 10}" y2="${this.height}"/><path d="M-6 ${RULER - 12}h12l-6 9z"/></g>`);
    return out.join("");
  }

  /** Where an event is shown: in the lane of a task, of a session, of a bank, or outside. */
  rowOf(i) {
    const event = this.model.events[i];
    if (event.k === "bank") return `b ${event.n}`;
    if (["slot", "serve", "flush", "session"].includes(event.k)) return `s ${event.n}`;
    if (event.k === "timer" && event.s !== "set") return OUTSIDE;
    // A line of the first step of a handler runs inside of the step of a task.
    return event.a ?? (event.k === "line" ? this.model.runs[i] : OUTSIDE);
  }

  at(i) {
    return this.model.x[i] * this.zoom;
  }

  middle(i) {
    return (this.at(i) + this.at(Math.min(i + 1, this.model.count))) / 2;
  }

  ruler(out, from, to) {
    let last = null;
    let free = -1;
    for (let i = from; i < to; i++) {
      const { t } = this.model.events[i];
      if (t === last) continue;
      last = t;
      const x = this.at(i);
      out.push(`<line class="px-tick" x1="${x}" x2="${x}" y1="${x < free ? RULER - 6 : 4}" y2="${this.height}"/>`);
      if (x < free) continue;
      const text = seconds(+t.toFixed(4));
      free = x + 14 + text.length * 7;
      out.push(`<text class="px-time" x="${x + 4}" y="14">${text}</text>`);
    }
  }

  span(out, span, from, to) {
    const y = this.y.get(span.a);
    if (y === undefined || (this.folded && this.y.get("idle") === y + 4)) return;
    const left = this.at(Math.max(span.from, from));
    const width = Math.max(2, this.at(Math.min(span.to, to)) - left);
    const style = `style="--h:${hue(span.a)}"`;
    if (span.st === "running") {
      out.push(`<rect class="px-running" ${style} x="${left}" y="${y + 6}" width="${width}" height="${TASK - 12}" rx="5"/>`);
    } else if (span.st === "ready") {
      out.push(`<rect class="px-waiting" x="${left}" y="${y + TASK / 2 - 4}" width="${width}" height="8" rx="2"/>`);
    } else {
      out.push(`<line class="px-parked" x1="${left + 3}" x2="${left + width}" y1="${y + TASK / 2}" y2="${y + TASK / 2}"/>`);
    }
  }

  mark(out, i) {
    const event = this.model.events[i];
    const row = this.y.get(this.rowOf(i));
    if (row === undefined) return;
    const y = row + TASK / 2;
    const x = this.middle(i);
    const style = `style="--h:${hue(event.a ?? 0)}"`;
    const title = `<title>${esc(this.words.text(i))}</title>`;
    if (event.k === "got") {
      const asked = this.model.poller[i];
      const child = asked >= 0 && this.model.events[asked].k === "sub";
      const radius = child ? 3.6 : 5.2;
      if (asked >= 0) out.push(`<path class="px-poll" ${style} d="M${this.middle(asked)} ${y - 3}v3H${x - radius}"/>`);
      const cross = event.r === "error" ? `<path class="px-cross" d="M${x - 2.5} ${y - 2.5}l5 5m0-5l-5 5"/>` : "";
      out.push(`<g class="px-got px-${event.r}" ${style}><circle cx="${x}" cy="${y}" r="${radius}"/>${cross}${title}</g>`);
    } else if (event.k === "wake") {
      this.wake(out, event, x, y, title);
    } else if (event.k === "timer" && event.s === "fired") {
      out.push(`<g class="px-clock"><circle cx="${x}" cy="${y}" r="8"/><path d="M${x} ${y - 5}v5l3.5 2"/>${title}</g>`);
    } else if (event.k === "io" && event.s === "fired") {
      out.push(`<g class="px-clock"><rect x="${x - 7}" y="${y - 7}" width="14" height="14" rx="2"/><path d="M${x - 4} ${y}h7m-3-3l3 3l-3 3"/>${title}</g>`);
    } else if (event.k === "finish") {
      const sign = { value: "■", error: "✗", cancelled: "⊘" }[event.how] ?? "■";
      out.push(`<text class="px-end px-${event.how}" ${style} x="${x}" y="${y + 5}">${sign}${title}</text>`);
    } else if (event.k === "cancel") {
      this.wire(out, event, x, y, "px-cancel");
      out.push(`<text class="px-end px-error" x="${x}" y="${y + 5}">⊘${title}</text>`);
    } else if (event.k === "spawn") {
      if (event.b) this.wire(out, event, x, y, "px-spawn");
      out.push(`<circle class="px-born" ${style} cx="${x}" cy="${y}" r="3.4">${title}</circle>`);
    } else if (event.k === "serve") {
      const [top] = this.placeOf(i);
      out.push(`<path class="px-begins" d="M${x - 3} ${top + 4}v8l7 -4z">${title}</path>`);
    } else if (event.k === "flush") {
      out.push(`<text class="px-flush" x="${x}" y="${row + HEAD - 5}">⇉${title}</text>`);
    } else if (event.k === "law") {
      out.push(`<text class="px-end px-error" x="${x}" y="${y + 5}">‼${title}</text>`);
    } else if (event.k === "out") {
      out.push(`<text class="px-out-mark" x="${x}" y="${y - 9}">❯${title}</text>`);
    }
  }

  /** Where what happens to a task comes from: the lane of who did it, or outside. */
  from(event) {
    return (this.y.get(event.b ?? OUTSIDE) ?? this.y.get(OUTSIDE)) + TASK / 2;
  }

  wire(out, event, x, y, name) {
    out.push(`<path class="${name}" style="--h:${hue(event.a)}" d="M${x} ${this.from(event)}V${y}"/>`);
  }

  wake(out, event, x, y, title) {
    const merged = event.m ? " px-merged" : "";
    const y0 = this.from(event);
    const head = `marker-end="url(#${event.m ? "px-open" : "px-full"})"`;
    const path = event.b === event.a || y0 === y
      ? `M${x - 7} ${y - 11}C${x - 9} ${y - 25} ${x + 9} ${y - 25} ${x + 6} ${y - 13}`
      : `M${x - 4} ${y0}C${x + 5} ${(y0 + y) / 2} ${x + 2} ${y - Math.sign(y - y0) * 22} ${x + 2} ${y - Math.sign(y - y0) * 11}`;
    out.push(`<g class="px-wake${merged}"><path d="${path}" ${head}/>${title}</g>`);
  }

  calls(out, row, from, to) {
    const { count } = this.model;
    const lines = new Map();
    for (const call of row.session.calls) {
      const end = call.end ?? count;
      const top = row.y + HEAD + CALL * (row.slots.indexOf(call.slot) % MOST_CALLS);
      lines.set(call.x, [call, top]);
      if (end < from || call.sent > to) continue;
      const back = call.returned ?? end;
      const left = this.at(call.sent);
      const width = this.at(back) - left;
      const name = `${call.x}${call.m ? ` ${call.m}` : ""}`;
      out.push(`<rect class="px-call" x="${left}" y="${top}" width="${Math.max(3, width)}" height="${CALL - 3}" rx="3"><title>${esc(name)}</title></rect>`);
      if (call.returned !== null && call.end !== null)
        out.push(`<rect class="px-answer" x="${left + width}" y="${top + 2}" width="${Math.max(3, this.at(end) - left - width)}" height="${CALL - 7}"/>`);
      if (call.cancelled !== null) out.push(`<text class="px-end px-error" x="${this.at(call.cancelled)}" y="${top + 11}">⊘</text>`);
      const source = call.on === null ? undefined : lines.get(call.on);
      if (source) {
        const x = left;
        const y = source[1] + CALL / 2;
        out.push(`<path class="px-pipe" d="M${x - 9} ${y}h4v${top + CALL / 2 - y - 2}h3" marker-end="url(#px-open)"><title>call ${call.x} is pipelined on call ${call.on}</title></path>`);
      }
    }
  }

  /** The names of the calls that are seen, each where its bar begins or the window does. */
  callNames() {
    const out = [];
    for (const row of this.rows) {
      for (const call of row.kind === "session" ? row.session.calls : []) {
        const left = Math.max(this.at(call.sent), this.left);
        const right = this.at(call.returned ?? call.end ?? this.model.count);
        const width = Math.min(right, this.left + this.seen) - left;
        if (width < 20) continue;
        const top = row.y + HEAD + CALL * (row.slots.indexOf(call.slot) % MOST_CALLS);
        const name = `${call.x}${call.m ? ` ${call.m}` : ""}${call.on === null ? "" : ` on ${call.on}`}`;
        out.push(`<text class="px-call-name" x="${left + 5}" y="${top + 10}">${esc(clip(name, width / 6.2))}</text>`);
      }
    }
    return out.join("");
  }

  balance(out, row, from, to) {
    const { bank, y, height } = row;
    const most = bank.L ?? bank.most;
    const level = (pages) => y + height - 5 - ((height - 12) * pages) / (most || 1);
    const path = [];
    let last = null;
    for (const [i, pages] of bank.points) {
      const x = this.at(i);
      if (i > to) break;
      if (i < from) path.length = 0;
      path.push(path.length ? `H${x}V${level(pages)}` : `M${x} ${level(pages)}`);
      last = pages;
    }
    if (last === null) return;
    const line = `${path.join("")}H${this.at(to)}`;
    const start = /^M([\d.]+)/.exec(line)?.[1] ?? 0;
    out.push(`<path class="px-level" d="${line}V${y + height - 5}H${start}Z"/><path class="px-balance" d="${line}"/>`);
  }

  broken(out) {
    const { broke, count, header } = this.model;
    const x = this.at(broke);
    if (broke < count) out.push(`<text class="px-time" x="${x + 6}" y="${this.height - 8}">after the error: clean-up</text>`);
    out.push(`<line class="px-broke" x1="${x}" x2="${x}" y1="${RULER}" y2="${this.height}"/>`);
    const type = header.error?.type ?? this.model.events[broke - 1]?.v ?? "";
    out.push(`<text class="px-boom" x="${x + 6}" y="${RULER + 14}">${esc(type)}</text>`);
  }
}

const clip = (text, most) => (text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`);

const DEFS = `<defs>
<marker id="px-full" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="px-head" d="M0 0L10 5L0 10z"/></marker>
<marker id="px-open" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="px-head-open" d="M1 1L8 5L1 9"/></marker>
<pattern id="px-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="px-hatch-back" width="6" height="6"/><rect class="px-hatch-line" width="2.4" height="6"/></pattern>
</defs>`;


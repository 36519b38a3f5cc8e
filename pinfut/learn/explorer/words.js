// @ts-check
// Each step as a sentence. Plain HTML: names of tasks are bold and have their colour, futures are
// in italics, code is code. Without its marks a sentence says the same.

import { hue, placeOf } from "./model.js";

export const esc = (text) =>
  String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

/** The kind of a step: a sign that can be told from every other one, and a word. */
const KINDS = {
  spawn: ["✚", "spawn"], turn: ["↻", "turn"], resume: ["▶", "run"], line: ["→", "line"], poll: ["?", "poll"],
  sub: ["?", "poll"], got: ["○", "pending"], park: ["‖", "park"], yield: ["↩", "yield"], finish: ["■", "end"],
  wake: ["↗", "wake"], cancel: ["⊘", "cancel"], timer: ["◷", "timer"], io: ["⇄", "descriptor"], ran: ["▷", "entry"],
  law: ["‼", "law"], report: ["!", "report"], out: ["❯", "print"], slot: ["✉", "call"], serve: ["⚙", "serve"],
  session: ["⎘", "session"],
  bank: ["¤", "bank"], flush: ["⇉", "flush"],
};

export function kindOf(event) {
  if (event.k === "got" && event.r !== "pending") return event.r === "ready" ? ["●", "ready"] : ["✗", "error"];
  if (event.k === "wake" && event.m) return ["⇢", "wake, merged"];
  return KINDS[event.k] ?? ["·", event.k];
}

export const seconds = (time) => `${+time.toFixed(6)} s`;
export const many = (count, one, other = `${one}s`) => `${count} ${count === 1 ? one : other}`;
export const futureName = (name) => String(name ?? "future").replace(/^_+/, "");

export class Words {
  constructor(model) {
    this.model = model;
    this.asyncio = model.header.runner === "asyncio";
    this.runner = this.asyncio ? "loop" : "executor"; // its name
    this.same = new Map(); // by name: how many have it
    for (const name of model.names.values()) this.same.set(name, (this.same.get(name) ?? 0) + 1);
  }

  name(number) {
    return this.model.names.get(number) ?? (number ? "task" : "outside");
  }

  /** A task's name as HTML, with its number where another one has the same name. */
  named(number) {
    const name = this.name(number);
    return esc(name) + (this.same.get(name) > 1 ? ` <small>#${number}</small>` : "");
  }

  /** A task, bold and in its colour. */
  task(number) {
    return `<b class="px-task" style="--h:${hue(number)}">${this.named(number)}</b>`;
  }

  /** A sentence of who pays for so many bytes of a session; none, where that is not known. */
  paid(session, bytes, sentence) {
    const bank = this.model.payer(session);
    return bank === undefined || !bytes ? "" : ` ${sentence(`bank <b>${esc(bank)}</b>`, many(bytes, "byte"))}`;
  }

  /** The line of the program at a place, as code, if it is there. */
  source(at) {
    const place = placeOf(at);
    const text = place && this.model.lines.get(place[0])?.[place[1] - 1]?.trim().replace(/:$/, "");
    return text ? `: ${code(text)}` : "";
  }

  future(number, name) {
    return `<i>${esc(futureName(name ?? this.model.futures.get(number)))}</i>`;
  }

  /** Who did it, as the beginning of a sentence. */
  doer(event) {
    if (event.b) return this.task(event.b);
    const by = event.by ?? "outside";
    const [kind, ...rest] = by.split(" ");
    if (kind === "call") {
      const name = rest.length ? ` <code>${esc(rest.join(" "))}</code>` : "";
      return `The call${name} that was put off to the end of the turn`;
    }
    if (kind === "timer") return `<b>Timer ${esc(rest[0])}</b>`;
    if (kind === "fd") return `<b>Descriptor ${esc(rest[0])}</b>`;
    if (kind === "first") return `The ${esc(by)}`;
    return by === "outside" ? `The ${this.runner}` : `<b>${esc(by)}</b>`;
  }

  /** The step that event `i` is, as HTML. */
  sentence(i) {
    const event = this.model.events[i];
    const say = (this.asyncio && ASYNCIO[event.k]) || SAY[event.k];
    return say ? say(this, event, i) : `${esc(event.k)}.`;
  }

  /** The same without its marks. */
  text(i) {
    return this.sentence(i).replace(/<[^>]+>/g, "").replace(/&(amp|lt|gt|quot|#39);/g, (c) =>
      ({ "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" })[c]);
  }
}

/** The first line of a message, as a sentence. */
export function firstLine(text) {
  const line = text.split("\n")[0].replace(/[:;,]$/, ".");
  return line.charAt(0).toUpperCase() + line.slice(1);
}

/** The line of a place, and its file where that is not the program. */
function lineOf(words, event) {
  const [, file, line] = /^(?:(.*):)?(\d+)$/.exec(event.at) ?? [];
  const [program] = words.model.sources.keys();
  return file === undefined || program === undefined || file === program ? line : `${line} of ${esc(file)}`;
}
const code = (text) => `<code>${esc(text)}</code>`;
const pages = (count) => many(Math.abs(count), "page");

const SAY = {
  spawn: (w, e) =>
    (e.call ? `The handler of call <b>${esc(e.call[1])}</b> has to wait, so it becomes the task ${w.task(e.a)}` : e.b ? `${w.task(e.b)} spawns ${w.task(e.a)}` : `The ${w.runner} makes the task ${w.task(e.a)}`) +
    `: it joins the end of the ready queue${e.pr ? `, with ${esc(e.pr)} priority` : ""}.`,
  turn: (w, e, i) => `Turn ${w.model.turns[i]} begins: ${many(e.c, "entry is", "entries are")} ready, and ${e.c === 1 ? "it runs" : "each runs once"}.`,
  resume: (w, e) => `${w.task(e.a)} runs: its coroutine goes on${e.at ? ` from line ${lineOf(w, e)}` : ""}.`,
  line(w, e, i) {
    const who = e.a ? w.task(e.a) : w.model.runs[i] ? `The first step of a handler, inside of ${w.task(w.model.runs[i])},` : "The program";
    return `${who} is at line ${lineOf(w, e)}${e.fn ? ` of ${code(e.fn)}` : ""}${w.source(e.at)}.`;
  },
  poll: (w, e, i) =>
    `The executor polls the ${w.future(e.f, e.n)} that ${w.task(e.a)} waits for: is the value there? <small>(poll ${w.model.nth[i]} of it)</small>`,
  sub: (w, e, i) => `Inside of that, ${w.future(e.p)} polls its child ${w.future(e.f, e.n)}. <small>(poll ${w.model.nth[i]} of it)</small>`,
  got(w, e) {
    const future = w.future(e.f);
    if (e.r === "pending")
      return `${future} gives <span class="px-pending">PENDING</span>: not yet. By that it promises that somebody has its waker, and will call it.`;
    if (e.r === "ready") return `${future} is <span class="px-ready">ready</span>${e.v ? ` and gives ${code(e.v)}` : ""}.`;
    return `${future} raises ${code(e.v ?? "an error")}.`;
  },
  park: (w, e) => `${w.task(e.a)} is parked on ${w.future(e.tr.f, e.tr.n)}. Nobody polls it again until its waker is called.`,
  yield: (w, e) => `${w.task(e.a)} lets the others go first: it goes back to the end of the queue.`,
  finish(w, e) {
    const how = { value: e.v ? ` and gives ${code(e.v)}` : "", cancelled: ": it was cancelled" }[e.how] ?? ` with ${code(e.v ?? "an error")}`;
    const served = w.model.handlers.get(e.a);
    const back = served ? w.paid(served.n, served.z, (bank, bytes) => `The ${bytes} of its frame go back to ${bank}.`) : "";
    return `${w.task(e.a)} ends${how}.${back}`;
  },
  wake(w, e) {
    const whom = e.b === e.a ? "itself" : w.task(e.a);
    return e.m
      ? `${w.doer(e)} wakes ${whom} once more. It stands in the queue already: this wake is <em>merged</em> into the one before.`
      : `${w.doer(e)} calls the waker of ${whom}: ${e.b === e.a ? "it will be" : "it is"} ready, at the end of the queue.`;
  },
  cancel: (w, e) => `${w.doer(e)} cancels ${e.b === e.a ? "itself" : w.task(e.a)}: ${code("CancelledError")} will be raised where it waits.`,
  timer(w, e) {
    if (e.s === "set") return `${e.a ? `${w.task(e.a)} sets timer` : "Timer"} ${e.x}${e.a ? "" : " is set"} ${e.d === undefined ? "that never fires" : `for ${seconds(e.d)}`}.`;
    return e.s === "fired" ? `It is ${seconds(e.t)}: <b>timer ${e.x}</b> fires.` : `Timer ${e.x} is cancelled: nobody waits for it any more.`;
  },
  io: (w, e) =>
    e.s === "set"
      ? `${e.a ? w.task(e.a) : "Somebody"} waits until descriptor ${e.fd} can be ${e.e === "read" ? "read from" : "written to"}.`
      : e.s === "fired" ? `<b>Descriptor ${e.fd}</b> is ready to ${esc(e.e)}.` : `The wait for descriptor ${e.fd} is taken back.`,
  ran: (w, e) => `${code(e.n)} runs: an entry that is no task.`,
  law: (w, e) => `<strong class="px-bad">Law ${esc(e.law)} is broken: ${esc(e.v)}.</strong> ${esc(firstLine(e.text))}`,
  report: (w, e) => `${esc(e.n)} failed with ${code(e.v)}, and nobody awaits it: that is logged.`,
  out: (w, e) => `${e.a ? w.task(e.a) : "The program"} prints ${e.v.trim() ? code(e.v.trim()) : "an empty line"}.`,
  slot(w, e) {
    const call = `call <b>${e.x}</b>${e.m ? ` (${code(e.m)})` : ""} of session <b>${esc(e.n)}</b>`;
    const slot = e.N ? `slot ${e.x % e.N} <small>(${e.x} mod ${e.N})</small>` : "its slot";
    if (e.s === "sent") {
      const on = e.on === undefined ? "" : `, pipelined on the result of call ${e.on}, which is not there yet`;
      const room = w.paid(e.n, e.z, (bank, bytes) => `For its answer ${bytes} are reserved, in memory that ${bank} pays for.`);
      return `${e.a ? w.task(e.a) : "Somebody"} makes ${call}: it takes ${slot}${on}.${room}`;
    }
    if (e.s === "returned") return `The answer of ${call} is there, in ${slot}.`;
    if (e.s === "taken") {
      const room = w.paid(e.n, w.model.rooms.get(`${e.n} ${e.x}`), (bank, bytes) => `and so are the ${bytes} for its answer, which ${bank} pays for`);
      return `The answer of ${call} is taken: ${slot} is free again${room && ","}${room}.`;
    }
    return `Nobody wants the answer of ${call} any more. Its ${slot} stays taken until the other side has acknowledged.`;
  },
  session: (w, e) => `Session <b>${esc(e.n)}</b> is made${e.N ? `, with ${many(e.N, "slot")}` : ""}: bank <b>${esc(e.pays)}</b> pays for it, on both sides.`,
  serve: (w, e) =>
    `The server begins call <b>${e.x}</b>${e.m ? ` (${code(e.m)})` : ""} of session <b>${esc(e.n)}</b>: the first step of its handler runs at once.${
      w.paid(e.n, e.z, (bank, bytes) => `Its frame is charged to ${bank}: ${bytes}.`)}`,
  bank(w, e) {
    const what = [e.dp ? pages(e.dp) : "", e.dc ? many(Math.abs(e.dc), "capability", "capabilities") : ""].filter(Boolean).join(" and ");
    const pays = e.dp > 0 || (!e.dp && e.dc > 0) ? "pays" : "gets back";
    const left = e.p === undefined ? "" : ` ${e.L === undefined ? `${pages(e.p)} left` : `${e.p} of ${e.L} pages are left`}.`;
    return `Bank <b>${esc(e.n)}</b> ${pays} ${what || "nothing"}${e.why ? ` for ${esc(e.why)}` : ""}.${left}`;
  },
  flush: (w, e) => `The turn is over: session <b>${esc(e.n)}</b> shows ${many(e.z, "byte")} to the other side, with one signal.`,
};

/** The words for how a run ended, as HTML. */
export function errorSentence(error) {
  const law = error.law ? `Law ${esc(error.law)} is broken: ` : "The run ends with ";
  return `<strong class="px-bad">${law}${esc(error.type)}.</strong> ${esc(firstLine(error.text))}`;
}

/** What asyncio does otherwise: it has callbacks, and polls nobody. */
const ASYNCIO = {
  resume: (w, e) => `A callback is the next step of ${w.task(e.a)}: it runs${e.at ? `, from line ${lineOf(w, e)}` : ""}.`,
  wake: (w, e) => `${w.doer(e)} completes what ${w.task(e.a)} waits for: its next step is put into the queue, as a callback.`,
  park: (w, e) => `${w.task(e.a)} waits for a ${w.future(e.tr.f, e.tr.n)}, and stands among the callbacks of that. Nobody asks: it calls back.`,
  ran: (w, e) => `The callback ${code(e.n)} runs: it is no step of a task.`,
};

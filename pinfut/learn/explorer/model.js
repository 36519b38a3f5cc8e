// @ts-check
// What the explorer knows of a trace before anybody steps: names, lanes, spans, calls, banks. Made
// once, in one pass.

import { apply, start } from "./fold.js";

/** How wide an event is in the lanes, in pixels at zoom 1. */
const WIDTH = {
  spawn: 18, turn: 8, resume: 14, line: 9, poll: 18, sub: 14, got: 14, park: 14, yield: 12, finish: 18,
  wake: 24, cancel: 16, timer: 18, io: 16, ran: 14, law: 22, report: 14, out: 12, slot: 18, serve: 12,
  bank: 12, flush: 14, session: 14,
};

const HUES = [174, 28, 262, 338, 212, 88, 46, 304, 140, 4];
export const hue = (number) => (number ? HUES[(number - 1) % HUES.length] : 215);

export const OUTSIDE = 0;

const NUMBERS = ["t", "a", "b", "f", "p", "c", "x", "m", "d", "fd", "N", "on", "z", "dp", "dc", "L"];

/** A session's name without what tells that the calls are those of the server's side. */
export const sessionName = (name) => String(name).replace(/ back$/, "");

/** An event whose numbers are numbers, whatever stands in the file; `m` of a call is its method. */
function clean(event) {
  const fields = { ...event };
  for (const key of NUMBERS)
    if (fields[key] !== undefined && !(key === "m" && fields.k !== "wake")) fields[key] = +fields[key] || 0;
  if (fields.k === "park") fields.tr = cleanTree(fields.tr ?? {}, 40);
  if (Array.isArray(fields.call)) fields.call = [String(fields.call[0]), +fields.call[1] || 0];
  return fields;
}

function cleanTree(node, depth) {
  const below = depth && Array.isArray(node.c) ? node.c.map((child) => cleanTree(child, depth - 1)) : [];
  const fields = { ...node, f: +node.f || 0, c: below };
  if (node.a !== undefined) fields.a = +node.a || 0;
  if (node.more !== undefined) fields.more = +node.more || 0;
  return fields;
}

/** Everything about a trace that does not depend on the position. */
export function modelOf(trace) {
  const { header } = trace;
  const events = trace.events.map(clean);
  const count = events.length;
  const names = new Map([[OUTSIDE, "outside"]]);
  const born = new Map(); // by task: the event that made it, and the one that ended it
  const died = new Map();
  const x = new Float64Array(count + 1); // where each event begins
  const nth = new Uint32Array(count); // which poll of its future a poll is
  const poller = new Int32Array(count).fill(-1); // the poll that a `got` answers
  const turns = new Uint32Array(count);
  const runs = new Uint32Array(count); // whose step runs when an event comes
  const pays = new Map(); // by session: the bank that pays for it
  const handlers = new Map(); // by task: the call that it serves, {n, x, z}
  const rooms = new Map(); // by call: the bytes that are reserved for its answer
  const frames = new Map(); // by call: the bytes that its handler is charged with
  const futures = new Map(); // by number: its name
  const polls = new Map(); // by number: how many so far
  const spans = []; // {a, from, to, st}: what a task is, in events
  const open = new Map();
  const stack = [];
  const sessions = new Map(); // by name: {N, calls: [{x, m, on, slot, sent, returned, end}]}
  const banks = new Map(); // by name: {points: [[event, pages]], L}
  for (const [number, name] of Object.entries(header.tasks ?? {})) {
    names.set(+number, name);
    born.set(+number, 0);
  }
  const state = start(header.tasks);
  let turn = 0;
  events.forEach((event, i) => {
    x[i + 1] = x[i] + (WIDTH[event.k] ?? 12);
    const before = (runs[i] = state.running);
    apply(state, event);
    if (event.k === "turn") turn += 1;
    turns[i] = turn;
    if (event.k === "spawn") names.set(event.a, event.n);
    if (event.a !== undefined && !born.has(event.a)) born.set(event.a, i);
    if (event.k === "finish") died.set(event.a, i);
    if (event.n !== undefined && event.f !== undefined) futures.set(event.f, event.n);
    if (event.k === "poll") stack.length = 0;
    if (event.k === "poll" || event.k === "sub") {
      const poll = (polls.get(event.f) ?? 0) + 1;
      polls.set(event.f, poll);
      nth[i] = poll;
      stack.push(i);
    } else if (event.k === "got" && stack.length) {
      poller[i] = stack.pop();
    } else if (event.k === "slot") {
      callOf(sessions, event, i);
      if (event.s === "sent") rooms.set(`${event.n} ${event.x}`, event.z);
    } else if (event.k === "bank") {
      bankOf(banks, event, i);
    } else if (event.k === "session") {
      pays.set(event.n, event.pays);
    } else if (event.k === "serve") {
      frames.set(`${event.n} ${event.x}`, event.z);
    } else if (event.k === "spawn" && event.call) {
      const [n, x] = event.call;
      handlers.set(event.a, { n, x, z: frames.get(`${n} ${x}`) });
    }
    for (const number of new Set([before, event.a ?? 0, state.running])) {
      const task = state.tasks[number];
      if (!task) continue;
      const span = open.get(number);
      if (span?.st === task.st) continue;
      const at = task.st === "running" || event.k === "spawn" ? i : i + 1;
      if (span) {
        span.to = at;
        if (span.st !== "done") spans.push(span);
      }
      open.set(number, { a: number, from: at, to: count, st: task.st });
    }
  });
  for (const span of open.values()) if (span.st !== "done") spans.push(span);
  for (const number of born.keys()) if (!names.has(number)) names.set(number, "task");
  const sources = new Map((header.sources ?? []).map((source) => [source.name, source.text]));
  const law = events.findIndex((event) => event.k === "law");
  return {
    header, events, count, x, nth, poller, turns, runs, pays, rooms, handlers, names, born, died, futures, spans, sessions, banks,
    tasks: [...born.keys()].sort((one, other) => one - other),
    width: x[count],
    /** After how many events the first law was broken, or the run failed; 0 for never. */
    broke: law >= 0 ? law + 1 : header.error ? count : 0,
    sources,
    lines: new Map([...sources].map(([name, text]) => [name, text.split("\n")])),
    /** The bank that pays for a session, as far as it was told. */
    payer: (session) => pays.get(sessionName(session)),
    /** The call that an event is about, as one text; undefined for an event of no call. */
    callOf(event) {
      if (event.k === "slot" || event.k === "serve") return `${event.n} ${event.x}`;
      const served = handlers.get(event.a);
      return served && `${served.n} ${served.x}`;
    },
    /** The first event that begins at or after a place in the lanes. */
    eventAt(place) {
      let low = 0;
      let high = count;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (x[middle] < place) low = middle + 1;
        else high = middle;
      }
      return low;
    },
  };
}

function callOf(sessions, event, i) {
  let session = sessions.get(event.n);
  if (!session) sessions.set(event.n, (session = { name: event.n, N: 0, calls: [], open: new Map() }));
  session.N = event.N ?? session.N;
  let call = session.open.get(event.x);
  if (!call) {
    const slot = session.N ? event.x % session.N : event.x;
    call = { x: event.x, m: "", on: null, slot, sent: i, returned: null, end: null, cancelled: null };
    session.open.set(event.x, call);
    session.calls.push(call);
  }
  call.m = event.m ?? call.m;
  call.on = event.on ?? call.on;
  if (event.s === "returned") call.returned = i;
  if (event.s === "cancelled") call.cancelled = i;
  if (event.s === "taken") {
    call.end = i;
    session.open.delete(event.x);
  }
}

function bankOf(banks, event, i) {
  let bank = banks.get(event.n);
  if (!bank) banks.set(event.n, (bank = { name: event.n, points: [], most: 0, total: 0 }));
  // Where the balance is not told, what was spent since the beginning.
  bank.total -= event.dp;
  const pages = event.p ?? bank.total;
  if (!bank.points.length) bank.points.push([0, pages + event.dp]);
  bank.points.push([i + 1, pages]);
  bank.L = event.L ?? bank.L;
  bank.most = Math.max(bank.most, bank.L ?? 0, ...bank.points.slice(-2).map((point) => point[1]));
}

/** A place ``file.py:12`` as [file, line], or null. */
export function placeOf(at) {
  const found = at ? /^(.*):(\d+)$/.exec(at) : null;
  return found ? [found[1], +found[2]] : null;
}

/** What a task does around an event matters to the lanes: the tasks that it names. */
export function tasksOf(event) {
  return [event.a, event.b].filter((number) => number > 0);
}

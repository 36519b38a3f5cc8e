// @ts-check
// The events of a trace up to one of them as the state at that moment: the same as fold.py, key
// for key. docs/trace.md has the format and the state.

const MOST_OUT = 4000; // characters of what was printed that a state holds: the last ones
const EVERY = 64; // events between two states that are kept

/** The state before the first event. `tasks`: names of tasks that live already, by number. */
export function start(tasks = {}) {
  const state = {
    t: 0, turn: 0, at: null, running: 0, ready: [], tasks: {}, futs: {}, over: [], polling: [],
    timers: {}, io: {}, slots: {}, serving: {}, banks: {}, out: "", law: null,
  };
  for (const [number, name] of Object.entries(tasks)) taskOf(state, +number).n = name;
  return state;
}

/** Apply one event to a state. What is unknown changes nothing but the time. */
export function apply(state, event) {
  state.t = event.t;
  if (Object.hasOwn(CHANGES, event.k)) CHANGES[event.k](state, event);
  return state;
}

const or = (value, other) => (value === undefined ? other : value);

function taskOf(state, number) {
  return (state.tasks[number] ??= {
    n: "task", st: "parked", p: 0, at: null, tr: null, since: null,
    polls: 0, steps: 0, wakes: 0, merged: 0, own: 0, how: null, v: null,
  });
}

function futureOf(state, event) {
  const future = (state.futs[event.f] ??= { n: or(event.n, "future"), polls: 0, last: null, v: null });
  if (event.n !== undefined) future.n = event.n;
  return future;
}

function sessionOf(state, event) {
  const session = (state.slots[event.n] ??= { N: 0, c: {}, pays: null });
  session.N = or(event.N, session.N);
  session.pays = or(event.pays, session.pays);
  return session;
}

function placed(state, event) {
  const task = taskOf(state, event.a);
  task.at = or(event.at, null);
  return task;
}

function leaveQueue(state, number) {
  const index = state.ready.indexOf(number);
  if (index >= 0) state.ready.splice(index, 1);
}

function joinQueue(state, number) {
  if (!state.ready.includes(number)) state.ready.push(number);
}

function run(state, event) {
  const task = placed(state, event);
  if (state.running !== event.a) {
    state.running = event.a;
    leaveQueue(state, event.a);
    task.st = "running";
    task.steps += 1;
  }
  state.polling = [];
  state.at = or(event.at, null);
  return task;
}

function rest(state) {
  state.running = 0;
  state.at = null;
  state.polling = [];
  // What has ended is of no interest any more, and there may be any number of it.
  for (const number of state.over) delete state.futs[number];
  state.over = [];
}

const CHANGES = {
  spawn(state, event) {
    const task = placed(state, event);
    task.n = event.n;
    task.st = "ready";
    task.p = or(event.b, 0);
    state.ready.push(event.a);
    if (event.call !== undefined) {
      const [session, x] = event.call;
      const calls = (state.serving[session] ??= {});
      calls[x] = { m: event.n, a: event.a, z: or(calls[x]?.z, null) };
    }
  },
  turn(state) {
    state.turn += 1;
    rest(state);
  },
  resume: run,
  line(state, event) {
    state.at = or(event.at, null);
    if (event.a !== undefined) placed(state, event);
  },
  poll(state, event) {
    run(state, event).polls += 1;
    futureOf(state, event).polls += 1;
    state.polling.push(event.f);
  },
  sub(state, event) {
    futureOf(state, event).polls += 1;
    state.polling.push(event.f);
  },
  got(state, event) {
    const future = futureOf(state, event);
    future.last = event.r;
    future.v = or(event.v, null);
    if (event.r !== "pending") state.over.push(event.f);
    state.polling.pop();
  },
  park(state, event) {
    const task = placed(state, event);
    task.tr = event.tr;
    task.since = event.t;
    // Woken in the middle of its step, it stands in the queue already.
    task.st = state.ready.includes(event.a) ? "ready" : "parked";
    rest(state);
  },
  yield(state, event) {
    const task = placed(state, event);
    task.st = "ready";
    task.tr = null;
    joinQueue(state, event.a);
    rest(state);
  },
  finish(state, event) {
    const task = placed(state, event);
    task.st = "done";
    task.tr = null;
    task.how = event.how;
    task.v = or(event.v, null);
    leaveQueue(state, event.a);
    if (state.running === event.a) rest(state);
  },
  wake(state, event) {
    const task = taskOf(state, event.a);
    task.wakes += 1;
    if (event.b === event.a) task.own += 1;
    if (event.m) {
      task.merged += 1;
      return;
    }
    joinQueue(state, event.a);
    if (task.st === "parked") task.st = "ready";
  },
  timer(state, event) {
    if (event.s === "set") state.timers[event.x] = { d: or(event.d, null), a: or(event.a, 0) };
    else delete state.timers[event.x];
  },
  io(state, event) {
    const key = `${event.fd} ${event.e}`;
    if (event.s === "set") state.io[key] = or(event.a, 0);
    else delete state.io[key];
  },
  session: sessionOf,
  slot(state, event) {
    const session = sessionOf(state, event);
    const key = session.N ? event.x % session.N : event.x;
    const before = session.c[key] ?? {};
    const same = before.x === event.x;
    session.c[key] = {
      x: event.x,
      s: event.s === "taken" ? "free" : event.s,
      m: or(event.m, same ? before.m : null),
      on: or(event.on, same ? before.on : null),
      z: or(event.z, same ? before.z : null),
    };
    if (event.s === "returned" || event.s === "taken") delete state.serving[event.n]?.[event.x];
  },
  serve(state, event) {
    (state.serving[event.n] ??= {})[event.x] = { m: or(event.m, null), a: 0, z: or(event.z, null) };
  },
  bank(state, event) {
    const bank = (state.banks[event.n] ??= { p: null, c: null, L: null, spent: {} });
    for (const key of ["p", "c", "L"]) bank[key] = or(event[key], bank[key]);
    const why = event.why ?? "";
    bank.spent[why] = (bank.spent[why] ?? 0) + event.dp;
  },
  out(state, event) {
    const out = state.out + event.v;
    // By characters, as Python counts them, and not by halves of pairs.
    state.out = out.length > MOST_OUT ? [...out].slice(-MOST_OUT).join("") : out;
  },
  law(state, event) {
    state.law ??= { ...event };
  },
};

/** States of one trace, quickly for whatever position: the next one is one event away, any other
 * one at most EVERY events from a state that is kept. */
export class States {
  constructor(trace) {
    this.events = trace.events;
    this.kept = [];
    const state = start(trace.header.tasks);
    this.events.forEach((event, index) => {
      if (index % EVERY === 0) this.kept.push(structuredClone(state));
      apply(state, event);
    });
    this.state = state;
    this.position = this.events.length;
  }

  /** The state after the first `position` events. It is valid until the next call. */
  at(position) {
    const near = position - this.position;
    if (near < 0 || near > EVERY) {
      const index = Math.min(Math.floor(position / EVERY), this.kept.length - 1);
      if (index < 0) return this.state; // a trace without events
      this.state = structuredClone(this.kept[index]);
      this.position = index * EVERY;
    }
    while (this.position < position) apply(this.state, this.events[this.position++]);
    return this.state;
  }
}

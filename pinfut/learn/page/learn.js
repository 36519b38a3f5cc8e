// The page of the lessons. It has two hosts that run a program: a server on this machine, or Python
// in the browser. Both are `{open, run, save}`.
import { mount } from "../explorer/explorer.js";

const $ = (id) => document.getElementById(id);
const meta = (name) => document.querySelector(`meta[name=learn-${name}]`).content;
const esc = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
/** A sentence of a check: text, with `code`. */
const sentence = (text) => esc(text).replace(/`([^`]+)`/g, "<code>$1</code>");

const TRIES = 3; // after so many checks that failed, a solution is offered

const { openHost } = await import(meta("host") === "server" ? "./host-server.js" : "./host-browser.js");
const host = await openHost({ token: meta("token"), tell });
const { lessons, progress } = await host.open();
const record = (lesson) => (progress[lesson.name] ??= { code: null, tries: 0, solved: false, hints: 0 });

let lesson = lessons[0];
let views = [];
let mine = null; // the learner's program, while a solution is shown
let later = 0; // the timer that saves

const { editor } = await import("./editor.js").catch(async () => {
  $("plain").hidden = false;
  return import("./plain.js");
});
const text = editor($("editor"), {
  label: "your program; Escape and then Tab leave it",
  onRun: () => perform("run"),
  onChange() {
    for (const view of views) view.stop();
    if (mine !== null) return;
    clearTimeout(later);
    later = setTimeout(keep, 400);
  },
});

/** Save the program as it is, and how far the learner is. */
function keep() {
  clearTimeout(later);
  const now = record(lesson);
  if (mine === null) now.code = text.value === lesson.start ? null : text.value;
  return host.save(lesson.name, now);
}

function navigate() {
  $("lessons").innerHTML = lessons
    .map((one, i) => {
      const solved = record(one).solved;
      const what = `Lesson ${i + 1}: ${one.title}${solved ? " (solved)" : ""}`;
      return `<li><a href="#${esc(one.name)}" class="${solved ? "learn-done" : ""}" ${one === lesson ? 'aria-current="page"' : ""} title="${esc(what)}" aria-label="${esc(what)}">${i + 1}</a></li>`;
    })
    .join("");
  const solved = lessons.filter((one) => record(one).solved).length;
  $("done").textContent = `${solved} of ${lessons.length} solved`;
}

function show(chosen) {
  lesson = chosen;
  mine = null;
  const now = record(lesson);
  document.title = `${lesson.title} – pinfut learn`;
  $("title").textContent = `${lessons.indexOf(lesson) + 1}. ${lesson.title}`;
  const idea = `<p><b>${sentence(lesson.idea)}</b></p>`;
  $("laws").innerHTML = idea + lesson.laws.map((law) => `<p>Law ${law.number}: <i>${esc(law.text)}</i></p>`).join("");
  $("text").innerHTML = lesson.html;
  $("hints").innerHTML = lesson.hints.slice(0, now.hints).map(hint).join("");
  text.value = now.code ?? lesson.start;
  clearTimeout(later);
  result("");
  picture([], '<div class="learn-empty">The picture of your program comes here.<br>Press <b>Run</b>.</div>');
  buttons();
  navigate();
}

const hint = (html) => `<div class="learn-hint">${html}</div>`;

function buttons() {
  const now = record(lesson);
  const left = lesson.hints.length - now.hints;
  $("hint").textContent = left ? `Hint ${now.hints + 1} of ${lesson.hints.length}` : "No more hints";
  $("hint").disabled = !left;
  $("solution").hidden = now.tries < TRIES && !now.solved;
  $("solution").textContent = mine === null ? "Show a solution" : "Back to my program";
}

function result(html) {
  $("result").innerHTML = html;
}

/** What the host says while something takes its time. */
function tell(what) {
  result(what ? `<div class="learn-box"><p class="learn-soft">${esc(what)}</p></div>` : "");
}

/** Show traces, one below the other; or `instead` where there is none. */
function picture(traces, instead, at = 0) {
  for (const view of views) view.destroy();
  views = [];
  $("views").innerHTML = traces.length ? "" : instead;
  document.body.classList.toggle("learn-two", traces.length > 1);
  text.mark(0, [], false);
  for (const [number, trace] of traces.entries()) {
    const box = document.createElement("div");
    box.className = "learn-view";
    if (trace.header.title) box.innerHTML = `<h2>${esc(trace.header.title)}</h2>`;
    const root = document.createElement("div");
    box.append(root);
    $("views").append(box);
    const first = number === 0;
    const view = mount(root, trace, {
      source: false,
      focus: first,
      // Both have one source, so the one that was touched last marks its line.
      onLine: (place, waits, bad) => text.mark(...lines(place, waits, bad)),
    });
    views.push(view);
    if (at === "error") view.go(view.broke || view.count);
  }
}

const narrow = matchMedia("(max-width: 1000px)");

/** Bring what came of it into sight: beside the picture the whole program, in which it marks lines; or,
 * where they stand one below the other, what was said. */
function look() {
  const below = narrow.matches || document.body.classList.contains("learn-two");
  if (below) $(narrow.matches ? "result" : "views").scrollIntoView({ block: "start" });
  else $("editor").scrollIntoView({ block: "nearest" });
}

/** Of places those in the program: [line, waits, bad]. */
function lines(place, waits, bad) {
  const line = place?.[0] === "lesson.py" ? place[1] : 0;
  const here = waits.filter(([at]) => at[0] === "lesson.py").map(([at, what, hue]) => [at[1], what, hue]);
  return [line, here, bad];
}

async function perform(what) {
  if ($("run").disabled) return;
  for (const name of ["run", "check"]) $(name).disabled = true;
  $("views").classList.add("learn-stale");
  const asked = lesson;
  try {
    await keep();
    const { check, beside } = lesson;
    const told = await host.run({ do: what, code: text.value, check, beside, strict: $("strict").checked });
    if (asked !== lesson) return;
    if (told.kind === "run") ran(told);
    else if (told.kind === "check") checked(told);
    else failed(told);
    look();
  } catch (error) {
    result(`<div class="learn-box"><p class="learn-said">${esc(error.message)}</p></div>`);
  } finally {
    $("views").classList.remove("learn-stale");
    for (const name of ["run", "check"]) $(name).disabled = false;
  }
}

function ran({ traces }) {
  const [{ header, events }] = traces;
  const out = events.filter((event) => event.k === "out").map((event) => event.v).join("");
  const printed = out.trim() ? `<p class="learn-prints">It prints</p><pre>${esc(out.trimEnd().slice(-2000))}</pre>` : "<p>It prints nothing.</p>";
  const error = header.error ? `<p class="learn-said">It ends with ${esc(header.error.type)}${header.error.law ? `: law ${header.error.law} is broken` : ""}.</p>` : "";
  result(`<div class="learn-box">${printed}${error}</div>`);
  picture(traces, "");
}

function checked(told) {
  const now = record(lesson);
  now.tries += told.solved ? 0 : 1;
  now.solved ||= told.solved;
  const items = told.checks.map((check) => {
    if (check.ok) return `<li class="learn-ok">${esc(check.title)} <small class="learn-soft">${esc(check.note)}</small></li>`;
    const { said, detail, line } = check.error;
    const where = line ? ` <small class="learn-soft">line ${line}</small>` : "";
    const more = [check.note, detail].filter(Boolean).join("\n\n");
    return `<li class="learn-no">${esc(check.title)}<p class="learn-said">${sentence(said)}${where}</p>${
      more ? `<details><summary>what exactly</summary><pre>${esc(more)}</pre></details>` : ""
    }</li>`;
  });
  const left = told.total - told.checks.length;
  if (left) items.push(`<li class="learn-todo">${left} more</li>`);
  const next = lessons[lessons.indexOf(lesson) + 1];
  const won = told.solved
    ? `<div class="learn-box learn-won"><h2>Solved</h2>${lesson.after}${
        next ? `<p><button type="button" id="next" class="learn-go">Next: ${esc(next.title)}</button></p>` : ""
      }</div>`
    : "";
  result(`${won}<div class="learn-box"><ol>${items.join("")}</ol></div>`);
  $("next")?.addEventListener("click", () => (location.hash = next.name));
  const none = '<div class="learn-empty">This check polls the future by hand, so there is no run to watch.<br><b>Run</b> shows your own program.</div>';
  picture(told.traces, none, told.solved ? 0 : "error");
  if (!told.solved && !told.traces.length) text.mark(told.checks.at(-1).error.line ?? 0, [], true);
  buttons();
  navigate();
  keep();
}

function failed({ note, error }) {
  const detail = error?.detail ? `<pre>${esc(error.detail)}</pre>` : "";
  const where = error?.line ? ` (line ${error.line})` : "";
  result(`<div class="learn-box"><p class="learn-said">${sentence(note ?? error.said)}${where}</p>${detail}</div>`);
  picture([], '<div class="learn-empty">There is nothing to show of this.</div>');
  text.mark(error?.line ?? 0, [], true);
}

$("run").addEventListener("click", () => perform("run"));
$("check").addEventListener("click", () => perform("check"));
$("hint").addEventListener("click", () => {
  const now = record(lesson);
  $("hints").insertAdjacentHTML("beforeend", hint(lesson.hints[now.hints]));
  now.hints += 1;
  buttons();
  keep();
});
$("solution").addEventListener("click", () => {
  const before = mine;
  mine = before === null ? text.value : null;
  text.value = before ?? lesson.solution;
  buttons();
});
$("reset").addEventListener("click", () => {
  if (text.value !== lesson.start && !confirm("Throw your program away, and begin with the one of the lesson?")) return;
  mine = null;
  text.value = lesson.start;
  buttons();
});
$("theme").addEventListener("click", () => {
  const { dataset } = document.documentElement;
  const dark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("pinfut-theme", dataset.theme);
  window.dispatchEvent(new Event("resize"));
});
// What was typed in the last moment before the page goes is kept, too.
addEventListener("pagehide", () => keep());
addEventListener("hashchange", () => {
  const wanted = named(location.hash);
  if (wanted && wanted !== lesson) {
    keep();
    show(wanted);
    scrollTo(0, 0);
  }
});

function named(hash) {
  return lessons.find((one) => `#${one.name}` === hash);
}

const theme = localStorage.getItem("pinfut-theme");
if (theme) document.documentElement.dataset.theme = theme;
// Where the learner left off: the first lesson that is not solved.
show(named(location.hash) ?? lessons.find((one) => !record(one).solved) ?? lessons[0]);
document.body.dataset.ready = "1";

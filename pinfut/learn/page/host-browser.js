// The host in the browser: Python in a worker, no server. Progress is kept in this browser.

const SECONDS = 30;
const STORE = "pinfut-learn";

export async function openHost({ tell }) {
  let worker = null;
  let ready = null;
  let asked = null; // the job that the worker has

  function start() {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    ready = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        if (data.ready) resolve();
        else if (data.failed) reject(new Error(`Python did not start: ${data.failed}`));
        else {
          if (data.ended) restart();
          asked?.(data.result);
        }
      };
      worker.onerror = (event) => reject(new Error(`Python did not start: ${event.message}`));
    });
    ready.catch(() => {});
  }

  function restart() {
    worker.terminate();
    start();
  }

  start(); // while the learner reads
  return {
    async open() {
      const lessons = await (await fetch("lessons.json")).json();
      return { lessons, progress: JSON.parse(localStorage.getItem(STORE) ?? "{}") };
    },
    async run(job) {
      tell("Python is starting in your browser. The first time takes a few seconds …");
      await ready;
      tell("");
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          restart();
          asked = null;
          resolve({ kind: "stopped", note: `It ran for ${SECONDS} s and was stopped. Is there a loop without an \`await\` that waits?` });
        }, SECONDS * 1000);
        asked = (result) => {
          clearTimeout(timer);
          asked = null;
          resolve(result);
        };
        worker.postMessage(JSON.stringify(job));
      });
    },
    async save(name, record) {
      const all = JSON.parse(localStorage.getItem(STORE) ?? "{}");
      localStorage.setItem(STORE, JSON.stringify({ ...all, [name]: record }));
    },
  };
}

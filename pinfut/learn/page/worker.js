// Python in a worker: Pyodide, with pinfut and what it needs from python.zip. A job in, a result out.
import { loadPyodide } from "../pyodide/pyodide.mjs";

let work = null;

async function start() {
  const python = await loadPyodide({
    indexURL: new URL("../pyodide/", import.meta.url).href,
    env: { HOME: "/home", PINFUT_CHECKED: "1" },
    stdout: () => {},
    stderr: () => {},
  });
  const archive = await fetch(new URL("../python.zip", import.meta.url));
  if (!archive.ok) throw new Error(`python.zip: ${archive.status}`);
  python.unpackArchive(await archive.arrayBuffer(), "zip", { extractDir: "/site" });
  work = python.runPython(`
import json, sys
sys.path.insert(0, "/site")
from pinfut.learn.runner import runner

def work(job):
    try:
        return json.dumps(runner(json.loads(job)))
    except SystemExit:
        note = "It ended the process (\`sys.exit\`). A lesson's program ends when main ends."
    except MemoryError:
        note = "It wanted more memory than it may have, and was stopped."
    return json.dumps({"kind": "stopped", "note": note})

work
`);
}

self.onmessage = ({ data }) => {
  try {
    self.postMessage({ result: JSON.parse(work(data)) });
  } catch (error) {
    const note = `Python ended: ${String(error.message).slice(-500)}`;
    self.postMessage({ result: { kind: "stopped", note }, ended: true });
  }
};

start().then(
  () => self.postMessage({ ready: true }),
  (error) => self.postMessage({ failed: String(error.message ?? error) }),
);

// node run.mjs HOME ROOT ARGUMENTS...: pytest in Pyodide. HOME has node_modules/ and site/, ROOT is
// the tree. Both are mounted, so that nothing is copied.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [home, root, ...args] = process.argv.slice(2);
const entry = createRequire(join(home, "package.json")).resolve("pyodide/pyodide.mjs");
const { loadPyodide } = await import(pathToFileURL(entry));

// Compiled modules are kept beside the rest, and not in the tree.
const py = await loadPyodide({ env: { HOME: "/", PYTHONPYCACHEPREFIX: "/web/cache" } });
for (const [place, from] of Object.entries({ "/web": home, "/tree": root })) {
  py.FS.mkdirTree(place);
  py.FS.mount(py.FS.filesystems.NODEFS, { root: from }, place);
}
py.globals.set("args", py.toPy(args));
process.exitCode = py.runPython(`
import os, sys
sys.path.insert(0, "/web/site")
os.chdir("/tree")
import pytest
# Since Python 3.14 a local is no reference of its own, and hypothesis counts them.
int(pytest.main(["-W", "ignore:It looks like", *args]))
`);

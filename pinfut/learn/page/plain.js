// A text area in place of the editor, where that is not built.

/** As `editor` of editor.js. */
export function editor(root, { label, onRun, onChange }) {
  root.innerHTML = '<textarea spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off"></textarea><p class="learn-here" aria-live="polite"></p>';
  const area = root.querySelector("textarea");
  const here = root.querySelector("p");
  area.setAttribute("aria-label", label);
  area.addEventListener("input", onChange);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      onRun();
    }
  });
  return {
    get value() {
      return area.value;
    },
    set value(text) {
      area.value = text;
      onChange();
    },
    mark(line, waits, bad) {
      const source = line ? area.value.split("\n")[line - 1]?.trim() ?? "" : "";
      here.textContent = line ? `${bad ? "✗ " : ""}line ${line}: ${source}` : "";
    },
    focus: () => area.focus(),
  };
}

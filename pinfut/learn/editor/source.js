// The editor: CodeMirror for Python, with marks for the line that runs and for who waits where.
import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentService, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers, WidgetType,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

// The colours are those of the page, light and dark.
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlKeyword, tags.definitionKeyword, tags.operatorKeyword, tags.modifier], color: "var(--code-word)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-digit)" },
  { tag: [tags.function(tags.definition(tags.variableName)), tags.definition(tags.className)], fontWeight: "650" },
]);

const look = EditorView.theme({
  "&": { fontSize: "13px", backgroundColor: "var(--card)", color: "var(--text)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: 'ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace', lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--tint)", color: "var(--soft)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--tint) 55%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent)",
  },
});

const count = (text, found) => text.match(found)?.length ?? 0;

/** How far in a line begins: like the one before it; farther after a colon or an open bracket, less far
 * after what leaves a block. (The grammar takes a line below a block for a part of it.) Where more is
 * closed than opened the grammar knows better. */
const indentation = indentService.of((context, place) => {
  const { from, text } = context.state.doc.lineAt(place);
  const line = text.slice(0, place - from).replace(/#.*$/, "").trimEnd();
  const open = count(line, /[([{]/g) - count(line, /[)\]}]/g);
  if (place === from || open < 0) return undefined;
  const before = context.lineIndent(from);
  if (open || line.endsWith(":")) return before + context.unit;
  return /^\s*(return|raise|pass|break|continue)\b/.test(line) ? Math.max(0, before - context.unit) : before;
});

class Tag extends WidgetType {
  constructor(text, hue) {
    super();
    this.text = text;
    this.hue = hue;
  }
  eq(other) {
    return other.text === this.text && other.hue === this.hue;
  }
  toDOM() {
    const tag = document.createElement("span");
    tag.className = "learn-tag";
    tag.style.setProperty("--h", this.hue);
    tag.textContent = this.text;
    return tag;
  }
}

const setMarks = StateEffect.define();
const marks = StateField.define({
  create: () => Decoration.none,
  update(value, change) {
    // What was marked is about the program as it was.
    let now = change.docChanged ? Decoration.none : value;
    for (const effect of change.effects) {
      if (effect.is(setMarks)) now = effect.value;
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Put an editor into `root`: `{value, mark(line, tags, bad), focus()}`. */
export function editor(root, { label, onRun, onChange }) {
  const run = () => {
    onRun();
    return true;
  };
  const view = new EditorView({
    parent: root,
    state: EditorState.create({
      extensions: [
        lineNumbers(), history(), drawSelection(), bracketMatching(), closeBrackets(),
        highlightActiveLine(), indentUnit.of("    "), indentation, EditorState.tabSize.of(4), python(),
        syntaxHighlighting(colours), look, marks,
        keymap.of([
          { key: "Mod-Enter", run },
          ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, indentWithTab,
        ]),
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
        EditorView.updateListener.of((update) => update.docChanged && onChange()),
      ],
    }),
  });
  return {
    get value() {
      return view.state.doc.toString();
    },
    set value(text) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: 0 } });
    },
    /** Mark the line that runs, 0 for none, and who waits at which line: [line, text, hue]. */
    mark(line, waits, bad) {
      const { doc } = view.state;
      const at = (number) => (number >= 1 && number <= doc.lines ? doc.line(number) : null);
      const found = [];
      const here = at(line);
      if (here) found.push(Decoration.line({ class: bad ? "learn-bad" : "learn-now" }).range(here.from));
      for (const [number, text, hue] of waits) {
        const there = at(number);
        if (there) found.push(Decoration.widget({ widget: new Tag(text, hue), side: 1 }).range(there.to));
      }
      view.dispatch({ effects: setMarks.of(Decoration.set(found, true)) });
      if (!here) return;
      // The editor scrolls, and the page stays where it is.
      const { top, bottom } = view.lineBlockAt(here.from);
      const { scrollDOM } = view;
      if (top < scrollDOM.scrollTop + 20) scrollDOM.scrollTop = top - 60;
      else if (bottom > scrollDOM.scrollTop + scrollDOM.clientHeight - 20) scrollDOM.scrollTop = bottom - scrollDOM.clientHeight + 60;
    },
    focus: () => view.focus(),
  };
}

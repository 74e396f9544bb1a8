// ANSI colours (SGR, ECMA-48 8.3.117) as text nodes and classes: no HTML is ever made from a line.
const SEQUENCE = /\x1b(?:\[([0-9;:]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g; // eslint-disable-line no-control-regex
const STYLES = { 1: "bold", 2: "faint", 3: "italic", 4: "under", 9: "strike" };
const ENDS = { 22: ["bold", "faint"], 23: ["italic"], 24: ["under"], 29: ["strike"] };

/** Put a line's text into an element. A carriage return starts over, as in a terminal's progress bars. */
export function write(element, text) {
  const shown = text.replace(/\r+$/, "");
  const line = shown.slice(shown.lastIndexOf("\r") + 1);
  if (!line.includes("\x1b")) {
    element.append(line);
    return;
  }
  const style = { on: new Set(), fg: null, bg: null };
  let from = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    add(element, line.slice(from, match.index), style);
    from = match.index + match[0].length;
    if (match[2] === "m") change(style, match[1]);
  }
  add(element, line.slice(from), style);
}

function add(element, text, style) {
  if (!text) return;
  const classes = [...style.on].map((name) => `a-${name}`);
  if (style.fg !== null) classes.push(`a-fg${style.fg}`);
  if (style.bg !== null) classes.push(`a-bg${style.bg}`);
  if (!classes.length) {
    element.append(text);
    return;
  }
  const span = document.createElement("span");
  span.className = classes.join(" ");
  span.textContent = text;
  element.append(span);
}

function change(style, parameters) {
  const codes = parameters.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) { style.on.clear(); style.fg = style.bg = null; }
    else if (STYLES[code]) style.on.add(STYLES[code]);
    else if (ENDS[code]) ENDS[code].forEach((name) => style.on.delete(name));
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code === 39) style.fg = null;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 100;
    else if (code === 49) style.bg = null;
    else if (code === 38 || code === 48) { // 256 colours and true colour: the sixteen are kept, others left plain
      const wide = codes[i + 1] === 5;
      if (wide && codes[i + 2] < 16) style[code === 38 ? "fg" : "bg"] = code === 48 ? codes[i + 2] % 8 : codes[i + 2];
      i += wide ? 2 : 4;
    }
  }
}

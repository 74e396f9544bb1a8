// Colours in the few lines of a log that the server drew.
import { write } from "./ansi.js";

export function colour(root) {
  for (const line of root.querySelectorAll("[data-ansi] .line > span")) {
    const text = line.textContent;
    if (!text.includes("\x1b")) continue;
    line.textContent = "";
    write(line, text);
  }
}
colour(document);
document.addEventListener("htmx:afterSwap", () => colour(document));

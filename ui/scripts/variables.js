// The editor of variables: always one empty line more, a pasted .env becomes lines, and how much will change is told.
const form = document.querySelector("[data-variables]");
const lines = form?.querySelector("[data-new-lines]");

function addLine() {
  const line = lines.lastElementChild.cloneNode(true);
  for (const input of line.querySelectorAll("input, textarea")) {
    input.value = input.defaultValue = "";
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  line.querySelector(".wrong")?.remove();
  lines.append(line);
  return line;
}

function put(line, key, value) {
  line.querySelector("[name=new_key]").value = key;
  line.querySelector("[name=new_value]").value = value;
}

function isEmpty(line) {
  return !line.querySelector("[name=new_key]").value && !line.querySelector("[name=new_value]").value;
}

function count() {
  const changed = [...form.querySelectorAll("textarea[name^='value:']")].filter((area) => area.value !== area.defaultValue);
  const added = [...lines.children].filter((line) => !isEmpty(line)).length;
  const removed = form.querySelectorAll("[name=remove]:checked").length;
  const parts = [];
  if (added) parts.push(`${added} new`);
  if (changed.length) parts.push(`${changed.length} changed`);
  if (removed) parts.push(`${removed} removed`);
  form.querySelector("[data-changes-count]").textContent = parts.join(", ");
}

if (lines) {
  form.addEventListener("input", () => {
    if (!isEmpty(lines.lastElementChild)) addLine();
    count();
  });
  // The server reads a whole .env better: a paste of several lines goes to its field.
  lines.addEventListener("paste", (event) => {
    if (event.target.name !== "new_key") return;
    const pasted = event.clipboardData.getData("text");
    const single = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=([^\n]*)\s*$/.exec(pasted);
    if (single) {
      event.preventDefault();
      put(event.target.closest("[data-new-line]"), single[1], single[2].replace(/^(["'])(.*)\1$/, "$2"));
    } else if (pasted.trim().includes("\n")) {
      event.preventDefault();
      const area = form.elements.pasted;
      area.closest("details").open = true;
      area.value = pasted;
      area.focus();
    } else return;
    event.target.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

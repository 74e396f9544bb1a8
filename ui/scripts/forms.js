// Forms: one submit each, typed input survives a refetch, leaving with unsaved input asks.
let submitting = false;

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form?.method === "post") form.dataset.dirty = "";
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent !== undefined) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  submitting = true;
  event.submitter?.setAttribute("aria-busy", "true");
});

// Back from the next page: the form may be sent again.
addEventListener("pageshow", () => {
  submitting = false;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
  }
});

addEventListener("beforeunload", (event) => {
  if (!submitting && document.querySelector("form[data-guards][data-dirty]")) event.preventDefault();
});

// A new app's name is suggested from its repository until somebody types another.
const newApp = document.querySelector("[data-new-app]");
if (newApp) {
  const { repository, name } = newApp.elements;
  let own = name.value !== "";
  name.addEventListener("input", () => { own = name.value !== ""; });
  repository.addEventListener("input", () => {
    if (own) return;
    const last = repository.value.trim().replace(/\/+$/, "").replace(/\.git$/, "").split("/").pop();
    name.value = last.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+/, "").slice(0, 30).replace(/-+$/, "");
  });
}

for (const button of document.querySelectorAll("[data-copies]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.lastChild.textContent = "Copied";
  });
}

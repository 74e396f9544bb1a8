// Dialogs open as modal ones, with focus kept inside; menus close by Escape or a click elsewhere.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens).showModal();
    return;
  }
  const closer = event.target.closest("[data-closes]");
  const dialog = event.target.closest("dialog");
  if (closer || event.target === dialog) {
    event.preventDefault();
    dialog.close();
  }
  for (const menu of document.querySelectorAll("details.switcher[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const opener = event.target.closest?.("[data-opens]");
  if (opener && event.key === " ") {
    event.preventDefault();
    opener.click();
  }
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.switcher[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

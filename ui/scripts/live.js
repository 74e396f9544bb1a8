// One event stream says what changed; htmx then refetches the part of this page that shows it.
// A hidden page gives its stream back (browsers allow few at once over HTTP/1.1) and catches up when it is seen again.

const SLOW = 10_000; // ms between refetches while no stream comes through
const live = () => document.getElementById("live");
let stream = null;
let figures = false; // whether the stream also tells of new figures
let heard = false; // whether this stream has told anything: the first word comes at once, unless a proxy holds it back
let leaveTimer = null;

// A form on its way leads to another page: nothing may come between.
const leaving = () => document.querySelector("form[data-sent]") !== null;

const showsFigures = () => document.querySelector("[data-figures]") !== null;

function refetch() {
  const part = live();
  if (part?.dataset.topics && !leaving()) window.htmx.trigger(part, "changed");
}

function listen() {
  if (stream || !live()?.dataset.topics) return;
  figures = showsFigures();
  stream = new EventSource(figures ? "/api/changes?figures=true" : "/api/changes");
  heard = false;
  stream.addEventListener("error", () => { heard = false; });
  stream.addEventListener("changed", (event) => {
    const changed = new Set(JSON.parse(event.data));
    // What changed before a stream begins is not told: its first event is always worth a look.
    if (!heard || live().dataset.topics.split(" ").some((topic) => changed.has(topic))) refetch();
    heard = true;
    if (changed.has("figures") && !leaving()) {
      for (const part of document.querySelectorAll("[data-figures]")) window.htmx.trigger(part, "figures");
    }
  });
}

/** Whether event streams come through to this page. */
export const streamsPass = () => stream?.readyState === EventSource.OPEN && heard;

function leave() {
  stream?.close();
  stream = null;
  heard = false;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    leaveTimer = setTimeout(leave, 10_000);
  } else {
    clearTimeout(leaveTimer);
    if (!stream) refetch();
    listen();
  }
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => {
  if (event.persisted) refetch();
  listen();
});
setInterval(() => {
  if (!document.hidden && !streamsPass()) {
    if (stream?.readyState === EventSource.CLOSED) leave();
    refetch();
    listen();
  }
}, SLOW);

// A refetched part must not take away what somebody is at: typed input, an open dialog or menu, a log.
const { Idiomorph } = window;
Idiomorph.defaults.ignoreActiveValue = true;
const typed = (input) => input.value !== input.defaultValue || input.checked !== input.defaultChecked;
const holdsInput = (form) => form.dataset.dirty !== undefined || [...form.querySelectorAll("input, textarea")].some(typed);
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) =>
  !(old instanceof Element && (old.matches("[data-log], dialog[open]") || (old.matches("form") && holdsInput(old))));
Idiomorph.defaults.callbacks.beforeNodeRemoved = (old) => !(old instanceof Element && old.matches("dialog[open], [data-stays]"));
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node instanceof HTMLDetailsElement);

document.addEventListener("htmx:beforeSwap", (event) => {
  // What is gone or refused is shown as a whole page, not inside another.
  if (event.detail.xhr.status >= 400 && event.detail.target === live() && !leaving()) location.reload();
});
document.addEventListener("htmx:afterSettle", () => {
  if (stream && showsFigures() && !figures) {
    leave();
    listen();
  }
  const icon = document.querySelector("link[rel=icon]");
  const wanted = live()?.dataset.favicon;
  if (wanted && icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
});

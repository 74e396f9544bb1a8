// One event stream says what changed; htmx then refetches the part of this page that shows it.
// A hidden page gives its stream back (browsers allow few at once over HTTP/1.1) and catches up when it is seen again.

const SLOW = 20_000; // ms between refetches while there is no stream
const live = () => document.getElementById("live");
let stream = null;
let leaveTimer = null;

// A form on its way leads to another page: nothing may come between.
const leaving = () => document.querySelector("form[data-sent]") !== null;

function refetch() {
  const part = live();
  if (part?.dataset.topics && !leaving()) window.htmx.trigger(part, "changed");
}

function listen() {
  if (stream || !live()?.dataset.topics) return;
  stream = new EventSource("/api/changes");
  let begun = false;
  stream.addEventListener("open", () => { begun = false; });
  stream.addEventListener("changed", (event) => {
    const changed = new Set(JSON.parse(event.data));
    // What changed before a stream begins is not told: its first event is always worth a look.
    if (!begun || live().dataset.topics.split(" ").some((topic) => changed.has(topic))) refetch();
    begun = true;
  });
}

function leave() {
  stream?.close();
  stream = null;
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
  if (!document.hidden && stream?.readyState !== EventSource.OPEN) {
    if (stream?.readyState === EventSource.CLOSED) leave();
    refetch();
    listen();
  }
}, SLOW);

// A refetched part must not take away what somebody is at: typed input, an open dialog or menu, a log.
const { Idiomorph } = window;
Idiomorph.defaults.ignoreActiveValue = true;
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) =>
  !(old instanceof Element && old.matches("[data-log], form[data-dirty], dialog[open]"));
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node instanceof HTMLDetailsElement);

document.addEventListener("htmx:beforeSwap", (event) => {
  // What is gone or refused is shown as a whole page, not inside another.
  if (event.detail.xhr.status >= 400 && event.detail.target === live() && !leaving()) location.reload();
});
document.addEventListener("htmx:afterSettle", () => {
  const icon = document.querySelector("link[rel=icon]");
  const wanted = live()?.dataset.favicon;
  if (wanted && icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
});

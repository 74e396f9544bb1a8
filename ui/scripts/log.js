// The log view: follows an event stream; 50,000 lines stay smooth because they are written in batches, in chunks
// that the browser skips while they are out of sight. A line is only ever a text node.
import { write } from "./ansi.js";
import { streamsPass } from "./live.js";

const CHUNK = 250; // lines
const PER_FRAME = 1500; // lines written before the browser may draw
const MOST_RUNTIME = 20_000; // lines of a runtime log kept on the page
const NEAR = 40; // px from the end that still count as the end
const SLOW = 5000; // ms between looks while no stream comes through
const MOST_PAGES = 5; // of a runtime log that are asked for at one look
const PHASES = { queued: "Queue", fetching: "Fetch", building: "Build", releasing: "Release", starting: "Start", checking: "Check", switching: "Switch", live: "Live", failed: "Failed", cancelled: "Cancelled", superseded: "Superseded" };

class LogView {
  constructor(view) {
    this.view = view;
    this.build = view.dataset.log === "build";
    this.lines = view.querySelector("[data-log-lines]");
    this.said = view.querySelector("[data-log-state]");
    this.label = this.said.textContent;
    this.followButton = view.querySelector("[data-log-follow]");
    this.downButton = view.querySelector("[data-log-down]");
    this.waiting = [];
    this.chunk = null;
    this.inChunk = 0;
    this.count = 0;
    this.phase = null;
    this.last = null;
    this.follows = true;
    this.ended = false;
    this.heard = false; // whether the present stream has told anything
    this.slow = false; // whether the log is asked for instead
    this.asking = false;
    this.touchedAt = -Infinity;
    this.chosen = /^#line-(\d{1,9})$/.exec(location.hash)?.[1] ?? null;
    if (this.chosen) this.follows = false;
    this.adopt();
    this.listenToReader();
    this.open();
    setInterval(() => { this.lookAfter(); }, SLOW);
  }

  // The lines that the server drew, with their colours.
  adopt() {
    const drawn = [...this.lines.querySelectorAll(".line")];
    for (const line of drawn) {
      const text = line.lastElementChild.textContent;
      line.lastElementChild.textContent = "";
      write(line.lastElementChild, text);
      this.last = line.dataset.id;
    }
    if (drawn.length) {
      this.chunk = document.createElement("div");
      this.chunk.className = "chunk";
      this.chunk.append(...drawn);
      this.lines.append(this.chunk);
      this.inChunk = this.count = drawn.length;
    }
    this.toEnd();
  }

  listenToReader() {
    this.followButton.hidden = false;
    this.followButton.addEventListener("click", () => this.setFollows(!this.follows));
    this.downButton.addEventListener("click", () => this.setFollows(true));
    // Only a reader's own scrolling makes it follow again: writing and jumping to a line scroll, too.
    const touched = () => { this.touchedAt = performance.now(); };
    for (const kind of ["touchmove", "keydown", "pointerdown"]) this.lines.addEventListener(kind, touched, { passive: true });
    const away = () => { if (!this.atEnd()) this.setFollows(false); };
    this.lines.addEventListener("wheel", (event) => {
      if (event.deltaY >= 0) touched();
      else if (this.lines.scrollTop > 0) {
        // At once: a line that comes before the scroll is done would undo it.
        this.touchedAt = -Infinity;
        this.setFollows(false);
      }
    }, { passive: true });
    this.lines.addEventListener("touchmove", away, { passive: true });
    this.lines.addEventListener("keyup", away);
    this.lines.addEventListener("scroll", () => {
      if (this.atEnd() && performance.now() - this.touchedAt < 1500) this.setFollows(true, false);
    }, { passive: true });
    this.lines.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#line-']");
      if (link) this.choose(link.parentElement);
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.pause = setTimeout(() => this.leave(), 10_000);
      else {
        clearTimeout(this.pause);
        this.open();
      }
    });
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", (event) => { if (event.persisted) this.open(); });
  }

  open() {
    if (this.stream || this.ended || this.asking) return;
    const address = new URL(this.view.dataset.stream, location.href);
    if (this.last) address.searchParams.set("after", this.last);
    else if (!this.build) address.searchParams.set("tail", "200");
    if (!this.slow) this.say("connecting");
    this.heard = false;
    this.stream = new EventSource(address);
    this.stream.addEventListener("open", () => { if (!this.slow) this.say("live"); });
    this.stream.addEventListener("error", () => {
      this.heard = false;
      if (!this.slow) this.say("connection lost, trying again");
    });
    this.stream.addEventListener(this.build ? "line" : "lines", (event) => {
      this.heard = true;
      this.slow = false;
      this.say("live");
      this.take(JSON.parse(event.data), event.lastEventId);
    });
    this.stream.addEventListener("end", () => this.end());
  }

  take(lines, last) {
    this.waiting.push(...lines);
    this.last = last || this.last;
    this.schedule();
  }

  end() {
    this.ended = true;
    this.leave();
    this.schedule();
  }

  // Where a proxy holds streams back the log is asked for now and then, until a stream comes through.
  async lookAfter() {
    const passes = this.stream?.readyState === EventSource.OPEN && (this.heard || streamsPass());
    if (passes || this.ended || this.asking || document.hidden) return;
    this.stream?.close();
    this.stream = null;
    this.asking = true;
    try {
      await (this.build ? this.askBuild() : this.askRuntime());
      this.slow = true;
      if (!this.ended) this.say(`looked at every ${SLOW / 1000} s`);
    } catch (error) {
      this.slow = false;
      this.say(error instanceof Refused ? "cannot be read; reload the page" : "connection lost, trying again");
    }
    this.asking = false;
    if (!document.hidden) this.open(); // else when it is seen again
  }

  async askBuild() {
    const log = this.view.dataset.stream.replace(/\/stream$/, "");
    const { deployment } = await ask(log.replace(/\/log$/, "")); // first: what ended before is complete
    for (let next = this.last ?? "0"; next !== null;) {
      const page = await ask(log, { format: "json", after: next });
      this.take(page.items, page.items.length ? String(page.items.at(-1).number) : null);
      next = page.next;
    }
    if (deployment.ended) this.end();
  }

  async askRuntime() {
    const log = this.view.dataset.stream.replace(/\/stream$/, "");
    const found = [];
    let before = null;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await ask(log, { format: "json", lines: 2000, ...(before && { before }) });
      const known = page.items.findIndex((line) => line.cursor === this.last);
      found.unshift(...page.items.slice(known + 1));
      before = page.next;
      if (known >= 0 || before === null || !this.last) break;
    }
    if (found.length) this.take(found, found.at(-1).cursor);
  }

  leave() {
    this.stream?.close();
    this.stream = null;
    if (!this.ended) this.say("paused");
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.writeSome();
      if (this.waiting.length) this.schedule();
    });
  }

  writeSome() {
    for (const line of this.waiting.splice(0, PER_FRAME)) this.add(line);
    if (this.ended && !this.waiting.length) {
      this.say("complete");
      this.followButton.hidden = true;
      if (!this.count) this.quiet("It ended without writing a line.");
    }
    if (!this.build) this.forgetOldest();
    if (this.jump) this.toChosen();
    if (this.follows) this.toEnd();
    else if (!this.atEnd() && !this.ended) this.downButton.hidden = false;
  }

  add(line) {
    if (this.build && line.phase !== this.phase) {
      this.phase = line.phase;
      const mark = document.createElement("div");
      mark.className = "mark-phase";
      mark.textContent = PHASES[line.phase] ?? line.phase;
      this.lines.append(mark);
      this.chunk = null;
    }
    if (!this.chunk || this.inChunk >= CHUNK) {
      this.chunk?.classList.add("full");
      this.chunk = document.createElement("div");
      this.chunk.className = "chunk";
      this.lines.append(this.chunk);
      this.inChunk = 0;
    }
    const row = document.createElement("div");
    const from = document.createElement("a");
    const text = document.createElement("span");
    row.className = "line";
    if (this.build) {
      row.id = `line-${line.number}`;
      from.href = `#line-${line.number}`;
      from.textContent = line.number;
      from.title = new Date(line.at).toLocaleString();
    } else {
      from.className = "from";
      from.textContent = `${line.at.slice(11, 19)} ${line.process}.${line.rank} v${line.release}`;
      from.title = new Date(line.at).toLocaleString();
    }
    write(text, line.text);
    row.append(from, text);
    this.chunk.append(row);
    this.inChunk += 1;
    this.count += 1;
    if (this.chosen && String(line.number) === this.chosen) {
      this.choose(row);
      this.jump = row;
    }
  }

  forgetOldest() {
    while (this.count > MOST_RUNTIME && this.lines.firstElementChild !== this.chunk) {
      this.count -= this.lines.firstElementChild.childElementCount;
      this.lines.firstElementChild.remove();
    }
  }

  choose(row) {
    this.lines.querySelector(".chosen")?.classList.remove("chosen");
    row.classList.add("chosen");
    this.setFollows(false);
  }

  // Lines that are written later change heights around it: it is kept in view until the reader scrolls.
  toChosen() {
    const center = () => {
      if (this.touchedAt === -Infinity) this.jump.scrollIntoView({ block: "center" });
    };
    center();
    requestAnimationFrame(center);
    if (this.ended && !this.waiting.length) setTimeout(center, 100);
  }

  atEnd() {
    return this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < NEAR;
  }

  toEnd() {
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  setFollows(follows, move = true) {
    this.follows = follows;
    this.followButton.setAttribute("aria-pressed", String(follows));
    if (follows) {
      this.downButton.hidden = true;
      if (move) this.toEnd();
    }
  }

  quiet(words) {
    const note = document.createElement("p");
    note.className = "quiet";
    note.textContent = words;
    this.lines.append(note);
  }

  say(words) {
    this.said.textContent = `${this.label}: ${words}`;
  }
}

class Refused extends Error {}

async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { headers: { accept: "application/json" } });
  if (answer.status >= 400 && answer.status < 500) throw new Refused();
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

// A page that is refetched may have a log where it had none before.
const begun = new WeakSet();
function begin() {
  for (const view of document.querySelectorAll("[data-log]")) {
    if (begun.has(view)) continue;
    begun.add(view);
    new LogView(view);
  }
}
begin();
document.addEventListener("htmx:afterSettle", begin);

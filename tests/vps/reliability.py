"""docs/reliability.md: what servers have stood, as measured by the tests that did it (`--write-reliability`)."""

import fcntl
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "docs/reliability.md"
HEAD = """# What it stands

Each row is a test that boots a whole server, installs Slipway on it by the one line, and does to it what the row says.
It ends when everything agrees again: the last healthy release of every app serves; database, units, nginx and routes
say the same; no unit, port, process, user, file or secret is left over; every deployment has ended. The time is from
the moment when it was done until then, with nobody's help; a test fails after 60 s. A dash: there was nothing to
settle. A whole machine has a kernel and a disk of its own, so that a power cut takes what was not on that yet; it is
emulated, and everything takes about ten times as long.

Written by `make vps WRITE=--write-reliability`, on whatever machine that was: the times are no promise, that there is
an end to them is. Rows of other runs stay until their case runs again.
"""
COLUMNS = "| case | what was done | what happened | settled after |\n| --- | --- | --- | --- |\n"


@dataclass
class Story:
    """One case's: what was done to a server, what happened, and how long it took."""

    done: list[str] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    seconds: float | None = None
    _since: float | None = None

    def does(self, what: str) -> None:
        """Something is done to the server, now."""
        if what not in self.done:
            self.done.append(what)
        self._since = time.monotonic()

    def notes(self, what: str) -> None:
        """Something worth telling happened."""
        self.happened.append(what)

    def has_settled(self) -> None:
        if self._since is not None:
            self.seconds = max(time.monotonic() - self._since, self.seconds or 0)


@dataclass(frozen=True)
class Row:
    system: str
    case: str
    done: str
    happened: str
    settled: str

    @classmethod
    def of(cls, name: str, system: str, story: Story, passed: bool) -> "Row":
        function, _, variant = name.removeprefix("test_").partition("[")
        of_system = variant.rstrip("]").replace(system.partition(",")[0], "")
        rest = [part for part in re.split(r"-(?!\d)", of_system) if part]  # not the sign of a number
        case = function.replace("_", " ") + (f" ({', '.join(rest)})" if rest else "")
        happened = "; ".join(story.happened) or "as the case says"
        settled = "—" if story.seconds is None else f"{story.seconds:.1f} s"
        return cls(system, case, "; ".join(story.done) or "—", happened if passed else "**failed**", settled)


def write(rows: list[Row]) -> None:
    """Those rows anew, and the others as they are: another system's servers are tested at the same time, say."""
    with FILE.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        FILE.write_text(_text(rows))


def _text(rows: list[Row]) -> str:
    table = {(row.system, row.case): row for row in [*_read(), *rows]}
    text = HEAD
    for system in sorted({row.system for row in table.values()}):
        text += f"\n## {system}\n\n{COLUMNS}"
        for row in sorted((one for one in table.values() if one.system == system), key=lambda one: one.case):
            cells = (row.case, row.done, row.happened, row.settled)
            text += f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
    return text


def _read() -> list[Row]:
    rows, system = [], ""
    for line in FILE.read_text().splitlines() if FILE.exists() else []:
        if line.startswith("## "):
            system = line.removeprefix("## ")
        elif system and (match := re.fullmatch(r"\| (?!case|---)(.+) \| (.+) \| (.+) \| (.+) \|", line)):
            rows.append(Row(system, *match.groups()))
    return rows

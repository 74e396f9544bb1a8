"""Reports how a unit ended: run by systemd as root (`ExecStopPost=+`) while the unit's control group is still there.

    exit_reporter.py ended UNIT EXITS_FOLDER MARKS_FOLDER BACK_OFF_FOLDER
    exit_reporter.py stopping UNIT EXITS_FOLDER MARKS_FOLDER BACK_OFF_FOLDER

Writes one JSON record into EXITS_FOLDER: `{"id", "unit", "at", "asked", "exit_code", "signal", "result",
"out_of_memory", "limit_met", "tasks_refused", "invocation"}`. `asked` is true when there is a mark named like the unit
in MARKS_FOLDER: the host agent leaves one before it stops something, and `stopping` (`ExecStop=+`) does for everybody
else who stops units, such as a shutdown. The record uses the mark up.

For an instance that ended unasked it also writes BACK_OFF_FOLDER/UNIT, which tells the launcher how long to wait:
nothing the first time, then 1, 2, 4 … up to 60 s, nothing again once it stayed up for a while. Stdlib only, because
it stands in the way of every stop.

Source of $SERVICE_RESULT, $EXIT_CODE and $EXIT_STATUS: systemd.exec(5).
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.append(os.path.dirname(os.path.abspath(__file__)))

from cgroups import Counters, own_counters  # type: ignore[import-not-found]

LONGEST_WAIT = 60.0
CALM_SECONDS = 60.0
"""Who stayed up for so long starts again at once."""


def main(argv: "list[str]") -> None:
    unit, exits, marks, back_offs = argv[2], Path(argv[3]), Path(argv[4]), Path(argv[5])
    if argv[1] == "stopping":
        # systemd runs it after a good end of the main process, too: then there is an exit code. And it stops by itself
        # what the kernel killed a process of for memory (control groups v2): then the result is no success any more.
        if "EXIT_CODE" not in os.environ and os.environ.get("SERVICE_RESULT", "success") == "success":
            (marks / unit).touch()
        return
    now = time.time()
    note_file = back_offs / unit
    note = read_note(note_file)
    counters = own_counters()
    before = note if str(note.get("identity", "")).partition(".")[0] == counters.identity else {}
    asked = (marks / unit).exists()
    code, status = os.environ.get("EXIT_CODE", ""), os.environ.get("EXIT_STATUS", "")
    record = {
        "id": f"{time.time_ns()}-{unit}",
        "unit": unit,
        "at": now,
        "asked": asked,
        "exit_code": int(status) if code == "exited" and status.isdigit() else None,
        "signal": f"SIG{status}" if code in ("killed", "dumped") else None,
        "result": os.environ.get("SERVICE_RESULT", ""),
        "out_of_memory": counters.oom_kills > before.get("oom_kills", 0),
        "limit_met": counters.limit_met > before.get("limit_met", 0),
        "tasks_refused": counters.tasks_refused > before.get("tasks_refused", 0),
        "invocation": os.environ.get("INVOCATION_ID", ""),
    }
    write(exits / f"{record['id']}.json", record)
    (marks / unit).unlink(missing_ok=True)
    if not asked:
        write(note_file, next_note(note, counters, now))


def read_note(file: Path) -> "dict":  # type: ignore[type-arg]
    try:
        note = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def next_note(note: "dict", counters: Counters, now: float) -> "dict":  # type: ignore[type-arg]
    """What the launcher and the next report need to know. `wait` is in seconds."""
    wait, crashes = float(note.get("wait", 0)), int(note.get("crashes", 0))
    up = now - float(note.get("ended", 0)) - wait
    crashes = 1 if up > CALM_SECONDS else crashes + 1
    wait = 0.0 if crashes == 1 else min(2.0 ** (crashes - 2), LONGEST_WAIT)
    return {"ended": now, "wait": wait, "crashes": crashes, **counters._asdict()}


def write(file: Path, content: "dict") -> None:  # type: ignore[type-arg]
    """Whole or not at all. Readable by all: the launcher reads its own note as the run user."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(json.dumps(content))
    temporary.chmod(0o644)
    temporary.rename(file)


if __name__ == "__main__":
    main(sys.argv)

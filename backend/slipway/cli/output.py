"""What people see, and with `--json` what programs read."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

MIB = 2**20
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m\Z")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table; to a pipe, the headings and the cells with tabs between them."""
    if not rows:
        print(empty, file=sys.stderr)
        return
    if not sys.stdout.isatty():
        for row in (headings, *rows):
            print("\t".join(plain(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def say(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    """An error, on standard error; it may quote what others wrote."""
    print(f"slipway: {_CONTROL.sub('', text)}", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Without anything that a terminal would obey."""
    return _CONTROL.sub("", text).replace("\n", " ").replace("\t", " ")


def log_text(text: str) -> str:
    """A line of someone's log: its colours may stay on a terminal, everything else that commands one goes."""
    if not sys.stdout.isatty():
        return _CONTROL.sub("", text)
    return _CONTROL.sub(lambda found: found[0] if _COLOUR.match(found[0]) else "", text) + "\x1b[0m"


def size(count: int) -> str:
    """`12.3 MiB` for a number of bytes."""
    return f"{count / MIB:,.1f} MiB" if count < 10 * 1024 * MIB else f"{count / MIB / 1024:,.1f} GiB"


def ago(moment: str | None) -> str:
    """`3 min ago` for an ISO 8601 time."""
    if moment is None:
        return "—"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "now"

"""The route marker of a place: which slot gets the traffic. One rename moves it; nginx reads it at each request.

`live/<place>.<slot>` is a file for an app with processes, `live/<place>` a link to `slots/<place>.<slot>` for a
static site. Where both are (a switch from one kind to the other died in the middle), the file counts, as for nginx.
"""

import os
from pathlib import Path

from slipway.errors import HostRefused
from slipway.host.agent import files, slots
from slipway.host.agent.box import Box
from slipway.host.protocol import Done, Switch
from slipway.settings import SLOTS


async def switch(box: Box, verb: Switch) -> Done:
    """Move the route, once the generation is safe on disk. At `target` already: nothing to do."""
    box.state.at_place(verb.environment, verb.place)
    box.state.fence(verb.environment, verb.generation)
    now = current(box, verb.place)
    if now not in (verb.expected, verb.target):
        raise HostRefused(
            f"the route of environment {verb.environment} is at slot {now}, not at {verb.expected} as expected; "
            "nothing was switched",
            reason="conflict",
        )
    _point(box, verb.place, now, verb.target)
    return Done()


def current(box: Box, place: int) -> int:
    """The slot that gets the traffic; 0 for none."""
    for slot in SLOTS:
        if _marker(box, place, slot).exists():
            return slot
    try:
        name = os.readlink(_link(box, place))
    except OSError:
        return 0
    return next((slot for slot in SLOTS if name == f"slots/{place}.{slot}"), 0)


def remove(box: Box, place: int) -> None:
    """No route: nginx answers 503."""
    _link(box, place).unlink(missing_ok=True)
    for slot in SLOTS:
        _marker(box, place, slot).unlink(missing_ok=True)
    files.sync_folder(box.paths.live)


def _point(box: Box, place: int, now: int, target: int) -> None:
    if target == 0:
        remove(box, place)
        return
    if slots.is_static(box, place, target):
        # The link has no effect while a marker is there: taking the marker away is the switch.
        if os.path.lexists(_link(box, place)) and now == target and not _marker(box, place, now).exists():
            return
        files.link(_link(box, place), f"slots/{place}.{target}")
        for slot in SLOTS:
            _marker(box, place, slot).unlink(missing_ok=True)
    elif now and now != target and _marker(box, place, now).exists():
        os.rename(_marker(box, place, now), _marker(box, place, target))
    elif not _marker(box, place, target).exists():
        files.write(_marker(box, place, target), "", mode=0o644)
    if not slots.is_static(box, place, target):
        _link(box, place).unlink(missing_ok=True)
    files.sync_folder(box.paths.live)


def _marker(box: Box, place: int, slot: int) -> Path:
    return box.paths.live / f"{place}.{slot}"


def _link(box: Box, place: int) -> Path:
    return box.paths.live / str(place)

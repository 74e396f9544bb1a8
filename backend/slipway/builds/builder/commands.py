"""Runs one command of a build after the other; when one has ended, nothing of what it started is left."""

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.builds.builder.output import Output

_PR_SET_CHILD_SUBREAPER = 36
_CHUNK = 64 * 1024


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind, so that it can end them. (prctl(2))"""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def run(argv: Sequence[str], folder: Path, environment: Mapping[str, str], output: Output) -> int:
    """Run it, pass its output on, and give its exit status: negative is a signal, as with subprocess.

    Raises FileNotFoundError if there is no such program, and LogLimitReached. In any case nothing runs afterwards.
    """
    reading, writing = os.pipe()
    try:
        try:
            child = subprocess.Popen(
                argv,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        return _follow(child, reading, output)
    finally:
        end_all()
        os.close(reading)


def _follow(child: "subprocess.Popen[bytes]", reading: int, output: Output) -> int:
    """Read until the child has ended and the pipe is empty.

    A child may leave something in the background that holds the pipe open: it is ended once the child itself is done.
    """
    finished = os.pidfd_open(child.pid)
    try:
        while _wait_for(reading, finished):
            chunk = os.read(reading, _CHUNK)
            if not chunk:
                break  # everybody closed the pipe; the child may still run on in silence
            output.pass_on(chunk)
        status = child.wait()
    finally:
        os.close(finished)
    end_all()
    while chunk := os.read(reading, _CHUNK):
        output.pass_on(chunk)
    return status


def _wait_for(reading: int, finished: int) -> bool:
    """Wait for output or the child's end. True while there is something to read."""
    poll = select.poll()
    poll.register(reading, select.POLLIN | select.POLLHUP)
    poll.register(finished, select.POLLIN)
    return any(descriptor == reading for descriptor, _ in poll.poll())


def end_all() -> None:
    """Kill every descendant. Those whose parents die become ours, so a few rounds reach all of them."""
    while children := _children():
        for pid in children:
            _kill_group_of(pid)
        _reap()
        time.sleep(0.002)


def _kill_group_of(pid: int) -> None:
    """A whole group at once where it is not ours: one by one, what forks fast would outrun us."""
    try:
        group = os.getpgid(pid)
        if group == os.getpgrp():
            os.kill(pid, signal.SIGKILL)
        else:
            os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _children() -> list[int]:
    _reap()
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in listed.split()]


def _reap() -> None:
    """Collect the children that have ended."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return

"""What the agent alone remembers: which environments are here, their users, and the highest generation of each.

JSON files in the agent's own folder, each written whole. Reading them again after `kill -9` gives what was decided.
"""

from pathlib import Path

import msgspec

from slipway.errors import HostRefused, Invalid
from slipway.host.agent import files
from slipway.settings import RESERVED_UIDS


class Environment(msgspec.Struct, frozen=True):
    """An environment that was prepared here."""

    environment: int
    place: int
    run_uid: int
    build_uid: int
    generation: int = 0


class _Counter(msgspec.Struct, frozen=True):
    next: int


class State:
    def __init__(self, folder: Path, first_uid: int, uids: int) -> None:
        self._environments = folder / "environments"
        self._uids = folder / "uids.json"
        self._numbers = folder / "numbers.json"
        self._first_uid = first_uid + RESERVED_UIDS
        self._last_uid = first_uid + uids - 1
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._environments.mkdir(exist_ok=True, mode=0o700)

    def environments(self) -> list[Environment]:
        found = [self._read(file) for file in self._environments.glob("[0-9]*.json")]
        return sorted((each for each in found if each), key=lambda each: each.environment)

    def find(self, environment: int) -> Environment | None:
        return self._read(self._file(environment))

    def get(self, environment: int) -> Environment:
        found = self.find(environment)
        if found is None:
            raise HostRefused(
                f"environment {environment} is not prepared on this machine; prepare it first", reason="conflict"
            )
        return found

    def at_place(self, environment: int, place: int) -> Environment:
        """The environment, if it is the one that has this place: a place decides ports and routes."""
        found = self.get(environment)
        if found.place != place:
            raise HostRefused(
                f"environment {environment} has place {found.place} on this machine, not {place}", reason="conflict"
            )
        return found

    def put(self, environment: Environment) -> None:
        files.write(self._file(environment.environment), msgspec.json.encode(environment), mode=0o600)

    def forget(self, environment: int) -> None:
        files.remove(self._file(environment))

    def fence(self, environment: int, generation: int) -> Environment:
        """Let a verb of this generation act: remember it if it is newer, refuse it if a newer one was here."""
        found = self.get(environment)
        if generation < found.generation:
            raise HostRefused(
                f"environment {environment} is at generation {found.generation} already; "
                f"what generation {generation} asks comes too late",
                reason="stale",
            )
        if generation > found.generation:
            found = msgspec.structs.replace(found, generation=generation)
            self.put(found)
        return found

    def take_uids(self, count: int) -> range:
        """User ids that were never used before and never will be again: the counter is safe before they are used."""
        first = self._counter(self._uids, self._first_uid)
        if first + count - 1 > self._last_uid:
            raise HostRefused(
                f"all user ids up to {self._last_uid} were given out; give Slipway a larger range (apps.uids in its "
                "settings)",
                reason="failed",
            )
        self._put_counter(self._uids, first + count)
        return range(first, first + count)

    def next_number(self) -> int:
        """A number never given before: of nginx's configurations, checks and things in the trash."""
        number = self._counter(self._numbers, 1)
        self._put_counter(self._numbers, number + 1)
        return number

    def _file(self, environment: int) -> Path:
        return self._environments / f"{environment}.json"

    def _read(self, file: Path) -> Environment | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Environment)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"{file} is damaged ({error}); the host agent cannot know this environment's users"
            ) from error

    def _counter(self, file: Path, first: int) -> int:
        try:
            return max(first, msgspec.json.decode(file.read_bytes(), type=_Counter).next)
        except FileNotFoundError:
            return first

    def _put_counter(self, file: Path, value: int) -> None:
        files.write(file, msgspec.json.encode(_Counter(value)), mode=0o600)

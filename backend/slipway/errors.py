"""The one error tree. An error's message says what happened, what it means and what to do.

`web.problems` maps each class to HTTP once; the command line maps it to an exit code once.
"""


class SlipwayError(Exception):
    """The base of every error that a person may be shown. `code` is stable; the message is for reading."""

    code = "error"
    status = 500

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        """The name of the input that is wrong, if one is."""


class Invalid(SlipwayError):
    """An input that cannot be accepted, as it stands."""

    code = "invalid"
    status = 422


class NotFound(SlipwayError):
    """There is no such thing, or the caller may not know of it."""

    code = "not-found"
    status = 404


class Conflict(SlipwayError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status = 409


class Unauthenticated(SlipwayError):
    """Nobody is signed in."""

    code = "unauthenticated"
    status = 401


class Forbidden(SlipwayError):
    """The caller is known and may not do this."""

    code = "forbidden"
    status = 403


class TooManyRequests(SlipwayError):
    """The caller must wait. `retry_after` is in seconds."""

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SlipwayError):
    """Something that Slipway needs (PostgreSQL, the host agent, nginx) does not answer now."""

    code = "unavailable"
    status = 503


class Busy(SlipwayError):
    """Slipway has as much to do as it takes on at once. `retry_after` is in seconds."""

    code = "busy"
    status = 503

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HostRefused(SlipwayError):
    """The host agent understood and refused: a stale generation, an unknown thing, a failed validation."""

    code = "host-refused"
    status = 409

    def __init__(self, message: str, *, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason
        """The agent's own word for it: `invalid`, `stale`, `conflict`, `failed` or `unavailable`."""


class SchemaMismatch(SlipwayError):
    """The database's schema is older or newer than this Slipway."""

    code = "schema-mismatch"

"""The session cookie: its name, its attributes. The rows behind it belong to accounts."""

from litestar.datastructures import Cookie

from slipway.settings import Settings

SESSION_SECONDS = 14 * 24 * 3600
"""A session ends this long after it was last used."""


def cookie_name(settings: Settings) -> str:
    """`__Host-` binds the cookie to this host over TLS (RFC 6265bis 4.1.3.2); plain local HTTP needs another name,
    so that neither is ever taken for the other."""
    return "__Host-slipway" if settings.http.tls else "slipway-local"


def session_cookie(settings: Settings, token: str) -> Cookie:
    return Cookie(
        key=cookie_name(settings),
        value=token,
        path="/",
        httponly=True,
        secure=settings.http.tls,
        samesite="lax",
        max_age=SESSION_SECONDS,
    )


def no_cookie(settings: Settings) -> Cookie:
    """Takes the cookie back."""
    return Cookie(
        key=cookie_name(settings),
        value="",
        path="/",
        httponly=True,
        secure=settings.http.tls,
        samesite="lax",
        max_age=0,
    )

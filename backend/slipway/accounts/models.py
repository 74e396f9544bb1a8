"""Accounts: people who sign in, and the tokens that act for them."""

from datetime import datetime

import msgspec

from slipway.errors import Invalid

MIN_PASSWORD = 10
MAX_PASSWORD_BYTES = 72
"""bcrypt looks at no more."""
MAX_EMAIL = 254
MAX_NAME = 100


class Account(msgspec.Struct, frozen=True):
    id: int
    email: str
    name: str
    created_at: datetime


class Token(msgspec.Struct, frozen=True):
    """An API token as it may be shown: without its secret."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


def check_email(email: str) -> str:
    """Check an e-mail address: something on both sides of one @, nothing invisible; whether it works is not asked."""
    email = email.strip()
    local, at, host = email.partition("@")
    if not (local and at and host) or "@" in host or len(email) > MAX_EMAIL or not email.isprintable() or " " in email:
        raise Invalid("This is not an e-mail address.", field="email")
    return email


def check_name(name: str, field: str = "name") -> str:
    """Check a name that people read: 1 to 100 printable characters."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"A name has 1 to {MAX_NAME} printable characters.", field=field)
    return name


def check_password(password: str) -> str:
    """Check a new password: its length is what makes it strong."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError as error:
        raise Invalid("The password holds characters that are not valid text.", field="password") from error
    if len(password) < MIN_PASSWORD:
        raise Invalid(f"The password needs at least {MIN_PASSWORD} characters.", field="password")
    if size > MAX_PASSWORD_BYTES:
        raise Invalid(
            f"The password is longer than {MAX_PASSWORD_BYTES} bytes, which is as much as is looked at. Shorten it.",
            field="password",
        )
    if "\0" in password:
        raise Invalid("The password holds a NUL character.", field="password")
    return password

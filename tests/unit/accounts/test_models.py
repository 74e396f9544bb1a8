"""What may be an e-mail address, a name, a password."""

import pytest

from slipway.accounts.models import check_email, check_name, check_password
from slipway.accounts.passwords import Passwords
from slipway.errors import Invalid


@pytest.mark.parametrize("email", ["a@b", "Jane.Doe+x@example.org", "  a@b.example ", "ä@ö.example"])
def test_what_looks_like_an_address_is_taken(email: str) -> None:
    assert check_email(email) == email.strip()


@pytest.mark.parametrize("email", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a\n@b", "a@b\0", "x" * 250 + "@b.cd"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Invalid):
        check_email(email)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202eevil", "x" * 101])
def test_a_name_is_printable_and_short(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


@pytest.mark.parametrize("password", ["ten chars!", "x" * 72, "ä" * 36, "with spaces and 😀"])
def test_long_passwords_of_any_kind_are_taken_up_to_what_bcrypt_looks_at(password: str) -> None:
    assert check_password(password) == password


async def test_a_password_matches_its_hash_only_and_never_raises() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert await passwords.matches("correct horse", stored)
    for wrong in ("", "correct hors", "x" * 100, "correct horse\0", "\ud800"):
        assert not await passwords.matches(wrong, stored)
    assert not await passwords.matches("nobody's password", None)

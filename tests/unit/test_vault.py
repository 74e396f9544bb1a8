"""Secrets at rest."""

import pytest

from slipway.vault import Sealed, Vault

KEY = bytes(range(32))


def test_what_is_sealed_opens_again_in_its_place_only() -> None:
    vault = Vault(KEY)
    sealed = vault.seal(b"secret", "variable A of environment 1")
    assert b"secret" not in sealed
    assert vault.open(sealed, "variable A of environment 1") == b"secret"
    with pytest.raises(Sealed):
        vault.open(sealed, "variable A of environment 2")


def test_the_same_value_is_never_sealed_the_same_way_twice() -> None:
    vault = Vault(KEY)
    assert vault.seal(b"x", "c") != vault.seal(b"x", "c")


def test_another_key_is_told_apart_from_a_changed_value() -> None:
    sealed = Vault(KEY).seal(b"x", "c")
    with pytest.raises(Sealed, match="another key"):
        Vault(bytes(32)).open(sealed, "c")
    for position in range(5, len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Sealed, match="changed in the database"):
            Vault(KEY).open(bytes(changed), "c")


def test_a_vault_never_shows_its_key() -> None:
    assert repr(Vault(KEY)) == "Vault(…)"

"""What Slipway wrote is told from what a person changed; and as little as nginx needs is left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.host.written import find_sites, is_own, leave_out, read, sign, signature

GOOD = sign("server {}\n")


def test_what_was_signed_and_not_touched_is_slipways_own() -> None:
    assert is_own(GOOD)
    assert signature(GOOD) == signature(GOOD.replace("{}", "{ }"))


@pytest.mark.parametrize(
    "text", [GOOD.replace("{}", "{ }"), GOOD + "\n", GOOD[:-1], "server {}\n", "", GOOD.replace("sha256 ", "sha256 0")]
)
def test_whatever_else_is_not(text: str) -> None:
    assert not is_own(text)


def test_a_link_and_what_is_no_text_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(GOOD)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert read(str(tmp_path / "real")) == GOOD
    assert [read(str(tmp_path / name)) for name in ("link", "bytes", "none", ".")] == [None] * 4


def test_sites_are_those_that_slipway_wrote_and_those_it_has_copies_of(tmp_path: Path) -> None:
    sites, good = tmp_path / "sites", tmp_path / "good"
    sites.mkdir()
    good.mkdir()
    for name, text in {"1.conf": GOOD, "2.conf": "changed", "4.conf": "by hand", "mine.conf": GOOD}.items():
        (sites / name).write_text(text)
    for name in ("1.conf", "2.conf", "3.conf"):
        (good / name).write_text(GOOD)
    whole, changed, copies = find_sites(str(sites), str(good))
    assert whole == {"1.conf": f"{sites}/1.conf", "3.conf": f"{good}/3.conf"}  # 3 was deleted by hand
    assert changed == {"2.conf": f"{sites}/2.conf"}
    assert copies == {"2.conf": f"{good}/2.conf"}


def nginx(*broken: str) -> Callable[[dict[str, str]], str | None]:
    """One that refuses these files. What it says does not always name the site."""

    def refusal(files: dict[str, str]) -> str | None:
        found = next((file for file in files.values() if file in broken), None)
        return None if found is None else "[emerg] cannot load certificate\nnginx: test failed"

    return refusal


WHOLE = {"1.conf": "/sites/1.conf", "2.conf": "/sites/2.conf"}
CHANGED = {"3.conf": "/sites/3.conf", "4.conf": "/sites/4.conf"}
COPIES = {"3.conf": "/good/3.conf", "4.conf": "/good/4.conf"}


def test_where_nginx_takes_all_nothing_is_left_out() -> None:
    assert leave_out(nginx(), dict(WHOLE), dict(CHANGED), dict(COPIES)) == {}


def test_a_changed_site_that_is_broken_is_left_out_and_another_one_stays() -> None:
    tried: list[dict[str, str]] = []
    refusal = nginx("/sites/4.conf")

    def remembering(files: dict[str, str]) -> str | None:
        tried.append(dict(files))
        return refusal(files)

    refused = leave_out(remembering, dict(WHOLE), dict(CHANGED), dict(COPIES))
    assert list(refused) == ["/sites/4.conf"]
    assert tried[-1] == WHOLE | {"3.conf": "/sites/3.conf", "4.conf": "/good/4.conf"}


def test_even_a_site_of_slipways_own_that_nginx_refuses_keeps_no_other_from_being_served() -> None:
    assert list(leave_out(nginx("/sites/2.conf"), dict(WHOLE), {}, {})) == ["/sites/2.conf"]


def test_of_many_sites_each_broken_one_is_found_in_few_tries() -> None:
    many = {f"{n}.conf": f"/sites/{n}.conf" for n in range(1, 1001)}
    refusal, tries = nginx("/sites/7.conf", "/sites/700.conf"), 0

    def counting(files: dict[str, str]) -> str | None:
        nonlocal tries
        tries += 1
        return refusal(files)

    assert sorted(leave_out(counting, many, {}, {})) == ["/sites/7.conf", "/sites/700.conf"]
    assert tries < 50


def test_what_is_wrong_with_the_main_configuration_leaves_out_no_site() -> None:
    assert leave_out(lambda files: "[emerg] in /etc/nginx.conf:3", dict(WHOLE), {}, {}) == {}

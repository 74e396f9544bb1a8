"""When a certificate is asked for, renewed, tried again, and what browsers are promised."""

from datetime import UTC, datetime, timedelta

import pytest

from slipway.certificates.models import Certificate, CertificateState, pause_after, promise, renew_at, why_none
from slipway.settings import Certificates, Http, Installation, Mode, Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def settings(name: str, **changes: object) -> Settings:
    http = Http(port=443, plain_port=80, tls=True, base_domain=name, panel=name)
    return Settings(Installation("ab12", Mode.SERVER), http, certificates=Certificates(**changes))  # type: ignore[arg-type]


def certificate(left: timedelta | None, renewals: int = 0) -> Certificate:
    return Certificate(
        1, "a.example.org", None, CertificateState.VALID, None, 0, NOW, NOW, "An authority", "1f", NOW,
        None if left is None else NOW + left, None, renewals,
    )  # fmt: skip


@pytest.mark.parametrize("life", [12 * HOUR, 6 * DAY, 90 * DAY])
def test_it_is_renewed_when_a_third_of_its_life_is_left_however_long_that_is(life: timedelta) -> None:
    assert renew_at(NOW, NOW + life, 0.0) == NOW + life * 2 / 3
    assert NOW + life * 0.6 < renew_at(NOW, NOW + life, 1.0) < NOW + life * 2 / 3


def test_after_each_failure_it_waits_twice_as_long_up_to_a_day() -> None:
    pauses = [pause_after(failures, 5 * MINUTE, None, 0.5) for failures in range(1, 12)]
    assert pauses[:4] == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE]
    assert pauses[-1] == DAY
    assert pause_after(10_000, 5 * MINUTE, None, 0.5) == DAY
    assert pause_after(1, 5 * MINUTE, None, 0.0) == 4 * MINUTE
    assert pause_after(1, 5 * MINUTE, None, 1.0) == 6 * MINUTE


def test_of_one_that_ends_soon_the_renewal_is_tried_more_often_but_never_in_a_tight_loop() -> None:
    assert pause_after(9, 5 * MINUTE, 4 * HOUR, 0.5) == 80 * MINUTE
    assert pause_after(9, 5 * MINUTE, MINUTE, 0.5) == 5 * MINUTE
    assert pause_after(9, 5 * MINUTE, -HOUR, 0.5) > 20 * HOUR


def test_browsers_are_promised_a_day_first_and_never_more_than_is_valid() -> None:
    assert promise(None, NOW) == timedelta()
    assert promise(certificate(None), NOW) == timedelta()
    assert promise(certificate(-HOUR, 3), NOW) == timedelta()
    assert promise(certificate(90 * DAY), NOW) == DAY
    assert promise(certificate(6 * HOUR), NOW) == 6 * HOUR
    assert promise(certificate(60 * DAY, 1), NOW) == 60 * DAY


@pytest.mark.parametrize("name", ["apps.example.org", "203-0-113-7.sslip.io".replace("203-0-113", "8-8-8"), "a.b.de"])
def test_a_public_name_gets_one(name: str) -> None:
    assert why_none(settings(name)) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("localhost", "not a public name"),
        ("server.lan", "not a public name"),
        ("slipway.test", "not a public name"),
        ("10-1-2-3.sslip.io", "10.1.2.3, which is no public address"),
        ("panel.192.168.0.7.nip.io", "192.168.0.7"),
    ],
)
def test_of_a_name_that_nobody_can_reach_the_public_authority_is_not_asked(name: str, said: str) -> None:
    assert said in str(why_none(settings(name)))
    assert why_none(settings(name, acme_server="https://ca.server.lan/acme/directory")) is None


def test_none_is_asked_for_where_that_is_turned_off_or_nothing_could_be_looked_at() -> None:
    assert "Turned off" in str(why_none(settings("apps.example.org", obtain=False)))
    plain = Settings(Installation("ab12", Mode.LOCAL), Http(port=8080, base_domain="apps.example.org"))
    assert "plain HTTP" in str(why_none(plain))

"""Slipway's own units and nginx configuration, as text."""

import re
from pathlib import Path

import pytest

from slipway.settings import Apps, Http, Installation, Mode, Settings
from slipway.setup import templates

RELEASE = Path(__file__).resolve().parents[3]


def settings(mode: Mode) -> Settings:
    prefix = "/home/visitor/try" if mode is Mode.SESSION else ""
    return Settings(Installation("ab12", mode), Http(port=8080), Apps(), prefix=prefix)


@pytest.mark.parametrize("mode", list(Mode))
def test_every_unit_carries_the_installations_id(mode: Mode) -> None:
    units = templates.render_units(settings(mode), RELEASE)
    assert "slipway-ab12.target" in units
    assert all(name.startswith("slipway-ab12") for name in units)


def test_only_what_must_be_root_is_root() -> None:
    units = templates.render_units(settings(Mode.SERVER), RELEASE)
    as_root = {name for name, text in units.items() if name.endswith(".service") and "User=" not in text}
    root = {f"slipway-ab12-{name}.service" for name in ("host", "nginx", "firewall", "rotate")}
    assert as_root == root  # nginx's workers are not


def test_in_session_mode_nothing_names_a_user_or_a_production_path() -> None:
    texts = [*templates.render_units(settings(Mode.SESSION), RELEASE).values()]
    texts += templates.render_nginx(settings(Mode.SESSION), RELEASE).values()
    for text in texts:
        assert "User=" not in text
        assert "user slipway-nginx" not in text
        assert " /run/slipway" not in text
        assert "=/etc/slipway" not in text


@pytest.mark.parametrize(
    ("mode", "command"),
    [(Mode.SERVER, "systemctl start slipway-ab12.target"), (Mode.LOCAL, "./install.sh --try")],
)
def test_what_stands_in_for_the_panel_says_what_starts_it_and_brings_all_it_shows(mode: Mode, command: str) -> None:
    page = templates.render_nginx(settings(mode), RELEASE)["unavailable.html"]
    assert f"<code>{command}</code>" in page
    assert not re.search(r"src=|href=|url\(|@import|<script|style=", page)


def test_every_program_of_slipway_runs_isolated() -> None:
    for name, text in templates.render_units(settings(Mode.SERVER), RELEASE).items():
        if "-m slipway" in text:
            assert "/opt/slipway/current/venv/bin/python -I -m slipway" in text, name

"""Where a sign-in leads."""

import pytest

from slipway.dashboard.accounts import local_path


@pytest.mark.parametrize("target", ["/", "/apps/hello/production", "/account?x=1"])
def test_a_path_of_ours_is_kept(target: str) -> None:
    assert local_path(target) == target


@pytest.mark.parametrize(
    "target",
    ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nx: y", "/é"],
)
def test_what_could_lead_elsewhere_leads_home(target: str) -> None:
    assert local_path(target) == "/"

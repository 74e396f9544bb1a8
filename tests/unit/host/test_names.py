"""A unit's name says all there is to know, and only a name of ours is read back."""

import pytest

from slipway.host.agent.names import Names
from slipway.host.protocol import Instance, WorkKind

NAMES = Names("ab12")


@pytest.mark.parametrize(
    "instance",
    [
        Instance(1, 1, 0, 0, "worker", 0),
        Instance(9_007_199_254_740_992 - 1, 2**31, 12, 3, "web", 63),
        Instance(7, 12, 345, 1, "a-b_c-9", 7),
    ],
)
def test_an_instance_is_read_back_from_its_units_name(instance: Instance) -> None:
    assert NAMES.find_instance(NAMES.instance(instance)) == instance


@pytest.mark.parametrize("kind", list(WorkKind))
def test_work_is_read_back_from_its_units_name(kind: WorkKind) -> None:
    assert NAMES.find_work(NAMES.work(kind, 42)) == (kind, 42)


@pytest.mark.parametrize(
    "unit",
    [
        "slipway-zz99-e1-v1-g1-s1-web.0.service",
        "slipway-ab12-e01-v1-g1-s1-web.0.service",
        "slipway-ab12-e1-v1-g1-s4-web.0.service",
        "slipway-ab12-e1-v1-g1-s1-Web.0.service",
        "slipway-ab12-e1-v1-g1-s1-web.0.service\n",
        "slipway-ab12-e١-v1-g1-s1-web.0.service",
        "slipway-ab12-nginx.service",
        "ssh.service",
        "",
    ],
)
def test_what_is_not_ours_is_no_instance_and_no_work(unit: str) -> None:
    assert NAMES.find_instance(unit) is None
    assert NAMES.find_work(unit) is None


def test_user_names_fit_into_what_linux_takes() -> None:
    assert len(NAMES.build_user(2**53)) <= 32


def test_an_environment_is_found_by_its_slice_and_by_no_other() -> None:
    assert NAMES.find_environment(NAMES.environment_slice(12)) == 12
    others = (
        "slipway-zz99-apps-e1.slice", "slipway-ab12-apps.slice", "slipway-ab12-apps-e0.slice",
        "slipway-ab12-apps-e1.slice\n", "slipway-ab12-apps-e1-x.slice", "slipway-ab12-apps-e1.service", "",
    )  # fmt: skip
    assert [NAMES.find_environment(name) for name in others] == [None] * len(others)

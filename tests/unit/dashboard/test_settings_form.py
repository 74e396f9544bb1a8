"""What people are told about settings that cannot be accepted."""

import msgspec

from slipway.apps.models import EnvironmentSettings
from slipway.dashboard.settings_form import wrong_settings


def test_settings_as_they_are_made_are_fine() -> None:
    assert wrong_settings(msgspec.structs.asdict(EnvironmentSettings())) == {}


def test_everything_wrong_is_told_at_once_in_plain_words() -> None:
    typed = {"health_path": "no slash", "memory": 3, "cpu": "much", "start_command": "x" * 5000}
    wrong = wrong_settings(msgspec.structs.asdict(EnvironmentSettings()) | typed)
    assert wrong["health_path"].startswith("Must begin with / and hold no spaces")
    assert wrong["memory"] == "Must be a whole number from 16 to 1048576."
    assert wrong["cpu"] == "Must be a whole number from 0 to 100000."
    assert wrong["start_command"] == "Must be text of at most 4096 characters."
    assert len(wrong) == len(typed)

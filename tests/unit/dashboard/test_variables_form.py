"""What the editor of variables asks for."""

from urllib.parse import urlencode

import pytest

from slipway.apps.models import MAX_VARIABLES, MAX_VARIABLES_BYTES
from slipway.dashboard.variables import BODY, Changes, read_changes, read_new_lines
from slipway.errors import Invalid
from slipway.web.presentation import fingerprint
from slipway.web.views import Form


def test_a_form_that_was_only_looked_at_changes_nothing() -> None:
    form = Form({"value:PLAIN": ["as it was"], "was:PLAIN": [fingerprint("as it was")], "value:SECRET": [""]})
    assert read_changes(form, {"PLAIN", "SECRET"}) == Changes({}, {}, [], False)


def test_changed_added_and_removed_ones_are_told_apart() -> None:
    form = Form(
        {
            "value:PLAIN": ["new"],
            "was:PLAIN": [fingerprint("old")],
            "value:SECRET": ["typed"],
            "value:GONE": ["typed, then removed"],
            "remove": ["GONE", "NEVER_THERE"],
            "new_key": [" ADDED ", "", "SECRET_TOO"],
            "new_value": ["1", "", "2"],
            "pasted": ["FROM_FILE=3"],
            "secret": ["yes"],
        }
    )
    changes = read_changes(form, {"PLAIN", "SECRET", "GONE"})
    assert changes.changed == {"PLAIN": "new", "SECRET": "typed"}
    assert changes.added == {"FROM_FILE": "3", "ADDED": "1", "SECRET_TOO": "2"}
    assert changes.removed == ["GONE"]
    assert changes.added_are_secret


def test_a_new_line_for_a_key_that_is_there_changes_it_and_keeps_it_secret() -> None:
    changes = read_changes(Form({"new_key": ["A"], "new_value": ["2"]}), {"A"})
    assert (changes.changed, changes.added) == ({"A": "2"}, {})


def test_a_field_for_a_key_that_is_not_there_is_passed_over() -> None:
    assert read_changes(Form({"value:GONE": ["x"]}), set()).changed == {}


def test_an_emptied_plain_value_becomes_empty() -> None:
    form = Form({"value:PLAIN": [""], "was:PLAIN": [fingerprint("old")]})
    assert read_changes(form, {"PLAIN"}).changed == {"PLAIN": ""}


def test_a_value_without_a_key_is_refused_and_not_lost() -> None:
    with pytest.raises(Invalid) as caught:
        read_changes(Form({"new_key": [""], "new_value": ["typed"]}), set())
    assert caught.value.field == "key"


def test_each_wrong_key_is_told_at_its_own_line_with_the_rule_it_breaks() -> None:
    typed = {"new_key": ["GOOD", "1BAD-key", "", "BAD-key", " "], "new_value": ["1", "2", "3", "4", ""]}
    wrong = [line.wrong for line in read_new_lines(Form(typed))]
    assert [bool(one) for one in wrong] == [False, True, True, True]
    assert "must begin with a letter or _" in wrong[1]
    assert "without a key" in wrong[2]
    assert "may hold letters, digits and _ only" in wrong[3]


def test_all_the_variables_that_there_can_be_fit_into_one_form_and_not_much_more_does() -> None:
    value = "\r\n" * (MAX_VARIABLES_BYTES // MAX_VARIABLES - 128)  # a browser sends each line break so
    form = {}
    for number in range(MAX_VARIABLES):
        key = f"{number:X>128}"
        form |= {f"was:{key}": fingerprint(value), f"value:{key}": value}
    size = len(urlencode(form))
    assert size <= BODY < 2 * size

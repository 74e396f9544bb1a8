"""What the command line does before it asks the daemon."""

import subprocess
import sys
from pathlib import Path

import pytest

from slipway.cli import exits, main
from slipway.cli.client import Client, CliError
from slipway.cli.output import plain

BACKEND = Path(__file__).parents[3] / "backend"
HEAVY = {"litestar", "asyncpg", "uvicorn", "pystemd", "rich", "bcrypt", "cryptography", "jinja2", "structlog"}


def test_it_loads_nothing_of_the_daemon() -> None:
    program = "import sys, slipway.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(BACKEND)}, check=True, capture_output=True, text=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, exits.NOT_FOUND), (401, exits.REFUSED), (403, 4), (409, 4), (422, 4), (429, 4), (503, 5), (500, 1)],
)
def test_a_refusal_has_one_exit_code(status: int, code: int) -> None:
    assert exits.of_status(status) == code


def test_an_address_without_a_token_is_a_mistake_of_usage() -> None:
    with pytest.raises(CliError) as wrong:
        Client({"SLIPWAY_URL": "https://slipway.example.com"})
    assert wrong.value.code == exits.USAGE


def test_where_slipway_is_not_installed_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CliError) as missing:
        Client({"SLIPWAY_SETTINGS": str(tmp_path / "none.toml")})
    assert missing.value.code == exits.UNAVAILABLE
    assert "SLIPWAY_TOKEN" in missing.value.message


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert plain("a\x1b]0;title\x07\x1b[2Jb\x9bc\rd\x00") == "a]0;title[2Jbcd"


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == exits.DONE
    assert "Exit codes" in capsys.readouterr().out
    assert main(["--version"]) == exits.DONE
    assert main(["apps", "create", "--help"]) == exits.DONE

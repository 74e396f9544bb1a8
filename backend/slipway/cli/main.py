"""The commands together, and what their errors become."""

import os
import sys

import click

from slipway import __version__
from slipway.cli import exits
from slipway.cli.apps import apps
from slipway.cli.box import disk, down, setup_link, status, token
from slipway.cli.certificates import certificates
from slipway.cli.client import CliError
from slipway.cli.deployments import cancel, deploy, deployments, releases, rollback
from slipway.cli.doctor import doctor
from slipway.cli.environments import env, environments
from slipway.cli.logs import logs
from slipway.cli.output import complain
from slipway.cli.processes import crashes, ps, scale
from slipway.cli.settings import settings
from slipway.cli.system import system


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slipway")
def slipway() -> None:
    """One server on which software ships itself.

    On the server it talks to Slipway as root. From elsewhere, set SLIPWAY_URL and SLIPWAY_TOKEN.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 Slipway does not answer.
    """


for command in (
    status,
    disk,
    apps,
    environments,
    env,
    settings,
    deploy,
    deployments,
    cancel,
    releases,
    rollback,
    logs,
    ps,
    crashes,
    scale,
    certificates,
    token,
    setup_link,
    system,
    doctor,
    down,
):
    slipway.add_command(command)


def run(arguments: list[str] | None = None) -> int:
    """→ the exit code; errors are one line on standard error."""
    try:
        slipway.main(args=arguments, prog_name="slipway", standalone_mode=False)
    except CliError as error:
        complain(error.message)
        return error.code
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of a pipe has seen enough; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else exits.FAILED
    return exits.DONE

"""The command line: a command parses, calls one function and prints. Data goes to stdout, progress to stderr."""

import os
import select
import sys
import traceback
from typing import Any

import click

from diffbehav import __version__
from diffbehav.cli.attest import attest
from diffbehav.cli.baseline import baseline
from diffbehav.cli.checkpoints import checkpoints
from diffbehav.cli.compare import compare
from diffbehav.cli.dash import dash
from diffbehav.cli.demo import demo
from diffbehav.cli.findings import findings, report, runs
from diffbehav.cli.gate import gate
from diffbehav.cli.inspect import inspect
from diffbehav.cli.monitor import monitor
from diffbehav.cli.nightly import nightly
from diffbehav.cli.organism import organism
from diffbehav.cli.plan import plan
from diffbehav.cli.prune import prune
from diffbehav.cli.replay import replay
from diffbehav.cli.run import run
from diffbehav.cli.search import canaries, search
from diffbehav.cli.setup import doctor, schema
from diffbehav.cli.triage import triage
from diffbehav.errors import DiffbehavError
from diffbehav.terminal import Terminal

EXIT_CODES = """
\b
Exit codes
  0   done; gate: nothing beyond it     20  infrastructure error
  2   usage, suite or model error       21  integrity or provenance mismatch
  10  gate: a finding is beyond it;     70  internal error
      monitor: a level alarms;          75  interrupted, the same command resumes
      replay: an answer differs         130 interrupted at once
  11  gate: the run cannot say          141 the reader of the output closed it
1 is never used on purpose: it is Python's own crash code.
"""


PIPE_CLOSED = 141
"""What a shell reports of a program that SIGPIPE ended."""


class _Commands(click.Group):
    """click itself ends with 1 where a pipe is closed, whoever's pipe it is."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            closed = select.poll()
            closed.register(sys.stdout.fileno(), 0)
            if not closed.poll(0):
                raise RuntimeError("a pipe to another process was closed") from error
            # Python writes what is left when it ends, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(PIPE_CLOSED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(__version__)
def cli() -> None:
    """Find the conditions under which a candidate model parts from a trusted one.

    \b
    diffbehav demo --out runs/demo              see it find a planted trigger, on this machine, in minutes
    diffbehav run SUITE --candidate DIR --trusted DIR --out RUN
    diffbehav findings RUN                      the rules under which the two part, best first
    """


for command in (
    demo, inspect, run, plan, baseline, compare, search, canaries, checkpoints, findings, replay, report, gate, attest,
    prune, runs, nightly, triage, monitor, dash, organism, schema, doctor,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line and end with the exit code of what happened."""
    try:
        cli(standalone_mode=False)
    except DiffbehavError as error:
        Terminal(quiet=False).error(str(error))
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except Exception:  # noqa: BLE001  an internal error must not end with 1, which others read as "differs"
        Terminal(quiet=False).error("internal error\n" + traceback.format_exc())
        sys.exit(70)

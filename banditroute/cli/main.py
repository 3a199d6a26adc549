"""The group of all commands: its help by topic, and errors in the command line's words."""

from __future__ import annotations

import sys

import click

from banditroute import __version__
from banditroute.cli.check import check
from banditroute.cli.convert import convert
from banditroute.cli.dashboard import dashboard
from banditroute.cli.db import db
from banditroute.cli.demo import demo
from banditroute.cli.deployment import arms, guard, promote, set_
from banditroute.cli.diagnose import diagnose
from banditroute.cli.evaluate import evaluate
from banditroute.cli.explain import explain
from banditroute.cli.inspect import inspect
from banditroute.cli.report import report
from banditroute.cli.robustness import robustness
from banditroute.cli.savings import savings
from banditroute.cli.serve import serve
from banditroute.cli.simulate import simulate
from banditroute.cli.wording import on_the_command_line
from banditroute.errors import BanditRouteError

_TOPICS = {
    "Try policies": (demo, simulate),
    "Read a log": (evaluate, savings, robustness, report, diagnose, convert),
    "Run a router": (check, serve, set_, guard, arms, promote),
    "Look after a database": (dashboard, inspect, explain, db),
}
_EPILOG = """\b
Exit status: 0 done; 1 the input cannot be used, or the answer is no;
2 the command was not understood.
\b
Completion in bash (zsh and fish alike):
  eval "$(_BANDITROUTE_COMPLETE=bash_source banditroute)"
"""


class _Group(click.Group):
    """A group that lists its commands by topic, and shows banditroute's own errors as one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for topic, commands in _TOPICS.items():
            width = formatter.width - 6 - max(len(command.name or "") for command in commands)
            with formatter.section(topic):
                formatter.write_dl([(str(each.name), each.get_short_help_str(limit=width)) for each in commands])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BanditRouteError as error:
            raise click.ClickException(on_the_command_line(str(error))) from error
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            sys.stdout = None
            raise click.exceptions.Exit(0) from None
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}; give another path") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="banditroute")
def main() -> None:
    """Learns, online, which LLM or LoRA adapter should serve each request."""


for _commands in _TOPICS.values():
    for _command in _commands:
        main.add_command(_command)

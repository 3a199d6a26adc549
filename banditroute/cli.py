"""The command line: ``banditroute COMMAND``."""

from __future__ import annotations

from pathlib import Path

import click

from banditroute import __version__
from banditroute.errors import BanditRouteError


class _Group(click.Group):
    """Shows banditroute's own errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BanditRouteError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="banditroute")
def main() -> None:
    """Learns, online, which LLM or LoRA adapter should serve each request."""


@main.command()
@click.option(
    "--log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Outcome table in Parquet: query_id, model, score, cost_usd, prompt. Default: the one that is shipped.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the picture, the figures and the database.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Orders of the requests.")
def demo(log: Path | None, out: Path, seeds: int) -> None:
    """Learn on real LLM outcomes, beside what needs no learning, and keep what was learned."""
    from banditroute.simulate.demo import run

    run(log=log, out=out, seeds=seeds, echo=click.echo)


if __name__ == "__main__":
    main()

"""``banditroute robustness``: how often a router's choice flips when only the writing of a prompt changes."""

from __future__ import annotations

from pathlib import Path

import click

from banditroute.cli.options import database_argument, json_option, router_option
from banditroute.cli.output import print_json

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TEXTS = (".txt", ".jsonl")


@click.command(short_help="Say how often the writing of a prompt flips the choice.")
@database_argument
@click.option(
    "--prompts",
    "path",
    required=True,
    type=_FILE,
    help="A .txt file with a prompt a line, a .jsonl file with prompt and category, or a table of outcomes.",
)
@click.option("--pairs", type=_FILE, help="Prompts and paraphrases, a pair a line, with a tab between them.")
@click.option("--config", type=_FILE, help="The router's file, where it has features of its own.")
@json_option
@router_option
def robustness(
    url: str, path: Path, pairs: Path | None, config: Path | None, as_json: bool, router: str | None
) -> None:
    """Say how often the best arm of the router in DB changes when only the writing of a prompt changes.

    Case, spaces, typos, politeness and words before the prompt are tried, and paraphrases of your own. A table of
    outcomes also gives the quality by category, and what a margin before a switch would cost. Nothing is recorded.
    """
    from banditroute.config import load_deployment
    from banditroute.evaluate import read_pairs, read_prompts, robustness
    from banditroute.logs import read_outcomes

    quality = None
    if path.suffix in _TEXTS:
        prompts, categories = read_prompts(path)
    else:
        table = read_outcomes(path)
        prompts, categories = list(table.prompts), list(table.tasks) if any(table.tasks) else []
        quality = dict(zip(table.arms, table.outcomes["quality"].T, strict=True))
    found = robustness(
        url,
        prompts,
        pairs=[] if pairs is None else read_pairs(pairs),
        categories=categories,
        quality=quality,
        features=None if config is None else load_deployment(config).router.get("features"),
        name=router,
    )
    print_json(found) if as_json else click.echo(found)

"""``banditroute serve``: serve a router over HTTP."""

from __future__ import annotations

import click


@click.command(short_help="Serve a router over HTTP, by OpenAI's interface.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--host", help="Address to listen on. Any but the loopback needs tokens.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 8000]")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="File of tokens and their scopes.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of processes.")
def serve(file: str, host: str | None, port: int | None, token_file: str | None, workers: int) -> None:
    """Serve the router that FILE describes: chat completions, routing, feedback, figures and metrics.

    It listens on this machine alone unless --host says otherwise, and stops at Ctrl-C with everything written.
    """
    from banditroute.serve import run

    run(file, host=host, port=port, token_file=token_file, workers=workers)

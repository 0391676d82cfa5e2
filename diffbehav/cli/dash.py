"""`dash`: interactive pages over runs."""

from pathlib import Path

import click

from diffbehav.cli.options import FOLDER


@click.command()
@click.argument("folder", type=FOLDER, default=Path("runs"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond loopback a --token is needed.")
@click.option("--port", type=click.IntRange(0, 65535), default=8050, show_default=True, help="0 takes a free one.")
@click.option("--token", help="What a browser must bring; at least 16 characters.")
def dash(folder: Path, host: str, port: int, token: str | None) -> None:
    """Interactive pages over the runs below FOLDER.

    Read-only. A run of somebody else is opened without access to anything but its own database.
    """
    from diffbehav.dash_server import serve

    serve(folder, host=host, port=port, token=token, on_ready=lambda address: click.echo(f"open {address}", err=True))

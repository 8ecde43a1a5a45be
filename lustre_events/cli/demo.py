"""`lustre-events demo`: the main job on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from lustre_events.node import demo
from lustre_events.node.sandbox import default_images

images_option = click.option(
    "--images", default=default_images, type=click.Path(path_type=Path), help="Folder of the built images."
)


@click.command("demo")
@images_option
@click.option("--keep", is_flag=True, help="Keep it running afterwards, to drop files in.")
@click.option("--full", is_flag=True, help="Also show a file of each family of extractors whose image is there.")
def demo_command(*, images: Path, keep: bool, full: bool) -> None:
    """Show on this machine what the service does.

    It writes files, waits until they are indexed, searches, changes them, and searches again.
    """
    demo.run(images, click.echo, keep=keep, full=full)

"""The command line, on click and rich (the extra ``cli``)."""

from __future__ import annotations

import click

from aiidadb.cli.bands import bands
from aiidadb.cli.database import init, migrate, status
from aiidadb.cli.demo import demo
from aiidadb.cli.nodes import closest_parents, nodes, stats
from aiidadb.cli.settings import settings

__all__ = ["aiidadb"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="aiidadb", message="aiidadb %(version)s")
def aiidadb() -> None:
    """Ask an AiiDA database, change it safely, bring it up to date.

    Every command takes --profile NAME, from AiiDA's configuration (the default
    profile if nothing is said), or --dsn URI, and --json for scripts.
    """


for command in (status, init, migrate, stats, closest_parents, bands, nodes, settings, demo):
    aiidadb.add_command(command)

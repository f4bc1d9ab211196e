"""What all commands share: which database, how to show answers, how errors end."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
import click

from aiidadb.backend import open_backend
from aiidadb.exceptions import AiidaDbError, InvalidInputError
from aiidadb.profile import Profile, load_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from aiidadb.backend import Backend

__all__ = ["Database", "command_options", "fail"]

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTED = 130


class Database:
    """Which database a command is for, and how its answers are wanted.

    Attributes:
        as_json: Whether answers are JSON on standard output, for scripts.
    """

    def __init__(
        self,
        profile: str | None,
        dsn: str | None,
        config: Path | None,
        repository: Path | None,
        *,
        as_json: bool,
    ) -> None:
        self._name = profile
        self._dsn = dsn
        self._config = config
        self._repository = repository
        self.as_json = as_json

    @functools.cached_property
    def profile(self) -> Profile:
        """The profile asked for.

        Raises:
            ConfigurationError: There is none of that name, or it cannot be used.
            InvalidInputError: Both a profile and a DSN were given.
        """
        if self._dsn is None:
            profile = load_profile(self._name, config=self._config)
            if self._repository is None:
                return profile
            return dataclasses.replace(profile, repository=self._repository)
        if self._name is not None:
            raise InvalidInputError("give --profile or --dsn, not both")
        return Profile.from_dsn(self._dsn, repository=self._repository)

    def open(self, *, schema_check: bool = True) -> AbstractAsyncContextManager[Backend]:
        """Open it; one command needs few connections."""
        return open_backend(self.profile, schema_check=schema_check, max_size=2)


def command_options(
    command: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Give an async command the options of all, and end it as all end.

    The function is called with a :class:`Database` first. An error of ours is one line on standard
    error and exit status 1; wrong usage is 2; an interrupt is 130.
    """

    @click.option("--profile", "-p", metavar="NAME", help="A profile of AiiDA's configuration.")
    @click.option("--dsn", metavar="URI", help="A database: postgresql://user@host/name.")
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="AiiDA's config.json, if it is not where AiiDA looks.",
    )
    @click.option(
        "--repository",
        type=click.Path(path_type=Path, file_okay=False),
        help="The directory of the file repository, if not the profile's.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")
    @functools.wraps(command)
    def run(
        profile: str | None,
        dsn: str | None,
        config: Path | None,
        repository: Path | None,
        as_json: bool,
        **arguments: object,
    ) -> None:
        database = Database(profile, dsn, config, repository, as_json=as_json)
        run_async(functools.partial(command, database, **arguments))

    return run


def run_async(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command to its end, and the process to the right exit status."""
    try:
        anyio.run(command)
    except* AiidaDbError as errors:
        fail(_first(errors))
    except* KeyboardInterrupt:
        click.echo("Interrupted: what was under way was undone.", err=True)
        sys.exit(INTERRUPTED)
    except* BrokenPipeError:
        # Whoever read our output has gone, as `head` does: no error of ours.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: BaseException) -> None:
    """End with an error in one line on standard error."""
    click.echo(f"Error: {' '.join(str(error).split())}", err=True)
    sys.exit(1)


def _first(group: BaseExceptionGroup[AiidaDbError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

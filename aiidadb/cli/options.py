"""What all commands share: which database, and in which form answers are wanted."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import anyio
import click

from aiidadb.backend import open_backend
from aiidadb.cli.output.progress import working
from aiidadb.connecting.aiida_config import load_profile
from aiidadb.connecting.profile import Profile
from aiidadb.exceptions import AiidaDbError
from aiidadb.queries.manager import LINK_TYPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Concatenate

    from aiidadb.backend import Backend

__all__ = ["Database", "command_options", "link_types_option"]

P = ParamSpec("P")
T = TypeVar("T")


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
            UsageError: Both a profile and a DSN were given.
        """
        if self._dsn is not None:
            if self._name is not None or self._config is not None:
                raise click.UsageError("give --dsn, or --profile and --config, not both")
            return Profile.from_dsn(self._dsn, repository=self._repository)
        profile = load_profile(self._name, config=self._config)
        if self._repository is None:
            return profile
        return dataclasses.replace(profile, repository=self._repository.absolute())

    def call(
        self,
        work: Callable[[Backend], Awaitable[T]],
        *,
        doing: str | None = "Asking",
        schema_check: bool = True,
        default_user: str | None = None,
    ) -> T:
        """Open the database, do one thing with it, and close it.

        Questions are put to the user between two calls: no connection waits for an answer, and
        Ctrl-C ends the question.

        Args:
            work: What to do.
            doing: What a terminal says meanwhile; None: nothing.
            schema_check: As for :func:`aiidadb.open_backend`.
            default_user: The e-mail address of AiiDA's user, if not the profile's.

        Returns:
            What ``work`` gives.
        """
        profile = self.profile
        if default_user is not None:
            profile = dataclasses.replace(profile, default_user_email=default_user)

        errors: list[AiidaDbError] = []

        async def run() -> T | None:
            try:
                async with open_backend(
                    profile,
                    schema_check=schema_check,
                    max_size=2,
                    command_timeout=None,  # whoever sits before it ends what takes too long
                ) as backend:
                    return await work(backend)
            except AiidaDbError as error:
                errors.append(error)  # asyncio would log it where Ctrl-C was given twice
                return None

        with working(doing, shown=not self.as_json):
            try:
                result = anyio.run(run)
            except KeyboardInterrupt as interrupt:
                for error in errors:
                    interrupt.add_note(error.for_command_line())
                raise
        if errors:
            raise errors[0]
        return cast("T", result)


def command_options(command: Callable[Concatenate[Database, P], None]) -> Callable[..., None]:
    """Give a command the options of all; it is called with a :class:`Database` first."""

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
        *arguments: P.args,
        **named: P.kwargs,
    ) -> None:
        database = Database(profile, dsn, config, repository, as_json=as_json)
        command(database, *arguments, **named)

    return run


def link_types_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option ``--link-type``, which is the argument ``link_types`` of a command.

    Args:
        default: Which links are followed without it, for its help.
    """
    types = sorted(LINK_TYPES)
    return click.option(
        "--link-type",
        "link_types",
        multiple=True,
        type=click.Choice(types),
        metavar="LINK_TYPE",
        help=f"Links to follow, may be repeated: {', '.join(types)}.  [default: {default}]",
    )

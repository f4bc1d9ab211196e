"""What all commands share: which database, and in which form answers are wanted.

The options that say so can stand before or after a command.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

import click

from aiidadb.backend import open_backend
from aiidadb.cli.output.progress import working
from aiidadb.cli.signals import run_until_signal
from aiidadb.connecting.profiles.aiida_config import load_profile
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.exceptions import AiidaDbError, ConfigurationError
from aiidadb.queries.manager import LINK_TYPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Concatenate

    from aiidadb.backend import Backend

__all__ = [
    "DSN_VARIABLE",
    "Database",
    "command_options",
    "command_options_but_p",
    "group_options",
    "json_alone",
    "link_types_option",
]

P = ParamSpec("P")
T = TypeVar("T")
Function = TypeVar("Function", bound="Callable[..., None]")

_GIVEN: Final = f"{__name__}.given"
DSN_VARIABLE: Final = "AIIDADB_DSN"
"""The environment variable that names the database where no option does."""


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
    def dsn(self) -> str | None:
        """The DSN that names the database; None: it is a profile of AiiDA's configuration.

        Raises:
            UsageError: Both a profile and a DSN were given.
        """
        names_profile = self._name is not None or self._config is not None
        if self._dsn is not None and names_profile:
            raise click.UsageError("--dsn cannot be combined with --profile or --config")
        if self._dsn is None and not names_profile:  # what is typed counts more
            return os.environ.get(DSN_VARIABLE) or None
        return self._dsn

    @functools.cached_property
    def profile(self) -> Profile:
        """The profile asked for.

        Raises:
            ConfigurationError: There is no profile of that name, or it or the DSN cannot be used.
            UsageError: Both a profile and a DSN were given.
        """
        if self.dsn is not None:
            return self._profile_of(self.dsn)
        profile = load_profile(self._name, config=self._config)
        if self._repository is None:
            return profile
        return dataclasses.replace(profile, repository=self._repository.absolute())

    @property
    def is_of_environment(self) -> bool:
        """Whether it is the environment variable ``AIIDADB_DSN`` that names the database."""
        return self._dsn is None and self.dsn is not None

    @property
    def described(self) -> str:
        """The database for a question: ``the database aiida_main (profile main)``."""
        name = self.profile.database
        described = "the default database" if name is None else f"the database {name}"
        return described if self.dsn is not None else f"{described} (profile {self.profile.name})"

    def _profile_of(self, dsn: str) -> Profile:
        if not dsn:
            raise ConfigurationError("--dsn is empty: give postgresql://user@host/database")
        try:
            return Profile.from_dsn(dsn, repository=self._repository)
        except ConfigurationError as error:
            if self.is_of_environment:
                error.add_note(f"the DSN is that of the environment variable {DSN_VARIABLE}")
            raise

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
                    command_timeout=None,  # the user at the terminal ends what takes too long
                ) as backend:
                    return await work(backend)
            except AiidaDbError as error:
                errors.append(error)  # asyncio would log it where Ctrl-C was given twice
                return None

        with working(doing, shown=not self.as_json):
            try:
                result = run_until_signal(run)
            except KeyboardInterrupt as interrupt:
                for error in errors:
                    interrupt.add_note(error.for_command_line())
                raise
        if errors:
            raise errors[0]
        return cast("T", result)


def group_options(group: Function) -> Function:
    """Let the options of all commands stand before the commands of a group."""
    return _remembered_options(group, "--profile", "-p")


def command_options(command: Callable[Concatenate[Database, P], None]) -> Callable[..., None]:
    """Give a command the options of all; it is called with a :class:`Database` first."""
    return _remembered_options(_with_database(command), "--profile", "-p")


def command_options_but_p(
    command: Callable[Concatenate[Database, P], None],
) -> Callable[..., None]:
    """The same for a command that has a ``-p`` of its own."""
    return _remembered_options(_with_database(command), "--profile")


def json_alone(command: Callable[Concatenate[bool, P], None]) -> Callable[..., None]:
    """Give a command that opens no database of the user's ``--json`` alone."""

    @functools.wraps(command)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        context = click.get_current_context()
        given: dict[str, object] = context.meta.get(_GIVEN, {})
        as_json = given.get("as_json", False) is True
        if others := sorted(given.keys() - {"as_json"}):
            raise click.UsageError(f"{context.info_name} takes no --{', no --'.join(others)}")
        command(as_json, *arguments, **named)

    return _json_option(run)


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
        help=f"A type of link to follow: {', '.join(types)}. Can be repeated.  "
        f"[default: {default}]",
    )


def _with_database(command: Callable[Concatenate[Database, P], None]) -> Callable[..., None]:
    @functools.wraps(command)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        given: dict[str, Any] = click.get_current_context().meta.get(_GIVEN, {})
        database = Database(
            given.get("profile"),
            given.get("dsn"),
            given.get("config"),
            given.get("repository"),
            as_json=given.get("as_json", False),
        )
        command(database, *arguments, **named)

    return run


def _remembered_options(function: Function, *names_of_profile: str) -> Function:
    for option in (
        _json_option,
        click.option(
            "--repository",
            type=click.Path(path_type=Path, file_okay=False),
            multiple=True,
            expose_value=False,
            callback=_remember,
            help="The directory of the profile's files, such as ~/.aiida/repository/NAME: it "
            "contains 'container' (AiiDA 2.x) or 'repository/node' (0.x, 1.x). For init, migrate "
            "and status.  [default: the profile's]",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            multiple=True,
            expose_value=False,
            callback=_remember,
            help="AiiDA's config.json, or the directory .aiida that holds it, if it is not where "
            "AiiDA looks.",
        ),
        click.option(
            "--dsn",
            metavar="URI",
            multiple=True,
            expose_value=False,
            callback=_remember,
            help="A database: postgresql://user@host/database. A password in it is visible in ps: "
            "put the password alone in PGPASSWORD, a line with it in ~/.pgpass, or the whole URI "
            f"in {DSN_VARIABLE}.  [default: {DSN_VARIABLE}, unless --profile or --config is "
            "given]",
        ),
        click.option(
            *names_of_profile,
            metavar="NAME",
            multiple=True,
            expose_value=False,
            callback=_remember,
            help="A profile of AiiDA's configuration.  [default: its default profile, unless "
            f"{DSN_VARIABLE} is set]",
        ),
    ):
        function = option(function)
    return function


def _remember(context: click.Context, parameter: click.Parameter, values: object) -> None:
    """Note what an option says, for the command: before or after it makes no difference."""
    given: dict[str, object] = context.meta.setdefault(_GIVEN, {})
    name = parameter.name or ""
    for value in values if isinstance(values, tuple) else (True,) if values else ():
        if given.setdefault(name, value) != value:
            raise click.UsageError(
                f"{parameter.opts[0]} is given twice, with different values: give it once"
            )


_json_option: Final = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print the answer as JSON, for scripts. Errors stay plain text, on standard error.",
)

"""Connecting to one host, or the first of several that can be used: each has its own time limit."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from aiidadb.connecting.opening.connect_errors import explain
from aiidadb.connecting.profiles.libpq_keys import DEFAULT_PORT, parse_port
from aiidadb.exceptions import ConfigurationError, UnreachableStorage
from aiidadb.messages import plural, quote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import asyncpg

__all__ = ["Address", "connect_to_one_of"]


class Address(NamedTuple):
    """Where a server is; None leaves it to libpq's defaults, which asyncpg knows."""

    host: str | None
    port: int | None

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket, in the directory ``host``."""
        return self.host is not None and self.host.startswith("/")

    def __str__(self) -> str:
        """As it is written in messages."""
        port = self.port or _default_port()
        if self.host is None:
            if named := os.environ.get("PGHOST"):
                return f"{Address(named, port)} (from PGHOST)"
            return f"the local server, port {port} (no host was given: a Unix socket or localhost)"
        if self.is_socket:
            return f"the server at {self.place}"
        return f"the server {self.host}, port {port}"

    @property
    def place(self) -> str:
        """The socket, as it is written in messages."""
        return f"the socket {self.host}/.s.PGSQL.{self.port or _default_port()}"


def _default_port() -> int:
    return parse_port(os.environ.get("PGPORT", "")) or DEFAULT_PORT


Attempt: TypeAlias = "Callable[[Address, str | None], Awaitable[asyncpg.Connection]]"
"""Connects to an address, if the server is of a kind: one of ``target_session_attrs``."""


async def connect_to_one_of(
    attempt: Attempt,
    *,
    host: str | list[str] | None,
    port: int | list[int] | None,
    connect_timeout: float | None,
    target_session_attrs: str | None,
) -> asyncpg.Connection:
    """Connect to the first host that answers and is of the kind asked for.

    asyncpg can do that itself, but there the time limit spans all hosts: one that does not answer,
    as behind a firewall, leaves no time for the others.

    Args:
        attempt: What connects.
        host: The host, or several in the order in which to try them.
        port: One for each, or one for all.
        connect_timeout: Seconds for each host, login included; None: without a bound.
        target_session_attrs: As for libpq; ``prefer-standby`` tries all hosts twice.

    Raises:
        UnreachableStorage: None of them answers in time, or several cannot be used.
        AiidaDbError: What else keeps a connection from being made, such as a refused password.
    """
    passes = [target_session_attrs]
    addresses = list(_addresses(host, port))
    if target_session_attrs == "prefer-standby" and len(addresses) > 1:
        passes = ["standby", "any"]
    failures: list[UnreachableStorage] = []
    for wanted in passes:
        for address in addresses:
            try:
                return await _within(connect_timeout, attempt, address, wanted)
            except UnreachableStorage as error:  # as libpq: not a refused password
                failures.append(error)
    last = failures[-1]
    if len(addresses) == 1:
        raise last
    reasons = "; ".join(error.what for error in failures)
    raise UnreachableStorage(f"none of the {len(addresses)} hosts can be used: {reasons}") from last


async def _within(
    seconds: float | None, attempt: Attempt, address: Address, wanted: str | None
) -> asyncpg.Connection:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await attempt(address, wanted)
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            raise UnreachableStorage(
                f"{address} did not answer within {plural(seconds or 0, 'second')}",
                advice="check that it is running and can be reached from here",
            ) from error
        explained = explain(error, address)
        if explained is error:
            raise
        raise explained from error


def _addresses(host: str | list[str] | None, port: int | list[int] | None) -> Iterator[Address]:
    if host is None and "," in (named := os.environ.get("PGHOST", "")):
        host = named.split(",")
        if port is None and "," in (ports_named := os.environ.get("PGPORT", "")):
            port = [_port_of_environment(one) for one in ports_named.split(",")]
    hosts = list(host) if isinstance(host, list | tuple) else [host]
    ports = list(port) if isinstance(port, list | tuple) else [port] * len(hosts)
    if len(ports) != len(hosts):
        raise ConfigurationError(
            f"there are {plural(len(ports), 'port')} for {plural(len(hosts), 'host')}: give one "
            "for all hosts, or one for each"
        )
    for one_host, one_port in zip(hosts, ports, strict=True):
        yield Address(one_host, one_port)


def _port_of_environment(text: str) -> int:
    if (port := parse_port(text)) is None:
        raise ConfigurationError(
            f"PGPORT has the port {quote(text)}: give a number from 1 to 65535"
        )
    return port

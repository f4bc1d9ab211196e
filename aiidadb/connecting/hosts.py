"""Connecting to one of several hosts: each gets its share of the time, so none can eat it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg.exceptions import CannotConnectNowError, TargetServerAttributeNotMatched

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["connect_to_one_of"]

_TIMEOUT: Final = 60.0

# What lets the next host be tried, as libpq does: not a refused password.
_NEXT: Final = (
    OSError,
    TimeoutError,
    CannotConnectNowError,
    TargetServerAttributeNotMatched,
)


async def connect_to_one_of(
    dsn: str | None = None,
    *,
    host: list[str],
    port: int | list[int] | None = None,
    timeout: float | None = _TIMEOUT,  # noqa: ASYNC109 - asyncpg's own argument
    target_session_attrs: str | None = None,
    **arguments: Any,
) -> asyncpg.Connection:
    """Connect to the first host that answers and is of the kind asked for.

    asyncpg can do that itself, but there the time limit spans all hosts: one that is silent, as
    behind a firewall, leaves nothing to the others.

    Args:
        dsn: What asyncpg takes in no other way, or None.
        host: The hosts, in the order in which to try them.
        port: One for each, or one for all.
        timeout: Seconds for all of them together.
        target_session_attrs: As for libpq; ``prefer-standby`` tries all hosts twice.
        arguments: For ``asyncpg.connect``.

    Raises:
        OSError: No host could be reached; or what else the last one raised.
    """
    passes = [target_session_attrs]
    if target_session_attrs == "prefer-standby":
        passes = ["standby", "any"]
    attempts = [(*one, wanted) for wanted in passes for one in _pairs(host, port)]
    share = None if timeout is None else timeout / len(attempts)
    failure: BaseException | None = None
    for one_host, one_port, wanted in attempts:
        try:
            return await asyncpg.connect(
                dsn,
                host=one_host,
                port=one_port,
                timeout=share,
                target_session_attrs=wanted,
                **arguments,
            )
        except _NEXT as error:
            failure = error
    assert failure is not None
    raise failure


def _pairs(hosts: list[str], port: int | list[int] | None) -> Iterator[tuple[str, int | None]]:
    ports = port if isinstance(port, list) else [port] * len(hosts)
    return zip(hosts, ports, strict=True)

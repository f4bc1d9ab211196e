"""What may be set for pools and connections, and that what may not never reaches asyncpg."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.opening.pool_options import check_options, hide_secrets
from aiidadb.exceptions import InvalidTypeError, PoolOptionsError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 10**9),
        ("max_size", 10**400),
        ("max_size", 0),
        ("max_size", 2.5),
        ("max_size", True),
        ("min_size", -1),
        ("command_timeout", math.nan),
        ("command_timeout", math.inf),
        ("command_timeout", 0),
        ("command_timeout", "5"),
        ("max_inactive_connection_lifetime", math.nan),
        ("statement_cache_size", -1),
        ("init", 5),
        ("connection_class", int),
        ("record_class", object()),
        ("server_settings", {"jit": 5}),
        ("server_settings", {"jit": "a\0b"}),
        ("server_settings", ["jit"]),
        ("user", "a\0b"),
        ("database", "a\ud800"),
        ("host", ["a", 5]),
        ("host", "a\0b"),
        ("port", 99999),
        ("port", [5432, "x"]),
        ("target_session_attrs", "ok"),
        ("target_session_attrs", 5),
        ("maxsize", 5),
        ("x" * 2**20, 5),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_what_no_pool_can_have_is_refused(name: str, value: Any) -> None:
    profile = aiidadb.Profile.from_dsn("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(PoolOptionsError) as caught:
        await aiidadb.get_pool(profile, **{name: value})
    assert name[:20] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("target_session_attrs", "ok", "one of any, read-write, .*, not 'ok'$"),
        ("password", 5, "a string without NUL characters and lone surrogates$"),
        ("password", "s3cret\0", "a string without NUL characters and lone surrogates$"),
    ],
)
def test_what_it_must_be_is_told(name: str, value: Any, message: str) -> None:
    with pytest.raises(PoolOptionsError, match=f"^{name} must be {message}"):
        check_options({name: value})


async def test_what_a_pool_can_have_is_taken() -> None:
    check_options(
        {
            "min_size": 0,
            "max_size": 262_143,
            "max_inactive_connection_lifetime": 0,
            "server_settings": {"application_name": "é"},
            "host": ["a", "/run"],
            "port": [5432, 5433],
            "passfile": Path("x"),
            "loop": asyncio.get_running_loop(),
            "connection_class": asyncpg.Connection,
            "ssl": False,
            "init": None,
            "password": lambda: "later",
        }
    )


def test_no_password_is_shown() -> None:
    with pytest.raises(PoolOptionsError) as caught:
        check_options({"password": "s3cret\0"})
    assert "s3cret" not in str(caught.value)
    hidden = hide_secrets({"password": "s3cret", "dsn": "postgresql://a:s3cret@h", "max_size": 3})
    assert "s3cret" not in repr(hidden)
    assert (hidden["password"], hidden["max_size"]) == ("s3cret", 3)


@pytest.mark.parametrize("wrong", ["main", 5, None, {}], ids=repr)
async def test_what_is_not_a_profile_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError, match="not a profile"):
        await aiidadb.get_pool(wrong)

"""What keeps a connection from being made is reported with the server's address and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.opening.connect_errors import explain
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.opening.hosts import Address
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.demo.embedded_server import embedded_server
from aiidadb.exceptions import (
    AiidaDbError,
    AuthenticationError,
    ConfigurationError,
    PoolOptionsError,
    UnreachableStorage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SECRET = "s3cret-of-ada"


async def error_of(profile: aiidadb.Profile, **options: Any) -> AiidaDbError:
    """What opening a pool and a connection of its own raise: the same of both."""
    with pytest.raises(AiidaDbError) as of_connection:
        await connect(profile, **options)
    async with PoolRegistry() as registry:
        with pytest.raises(AiidaDbError) as of_pool:
            await registry.get_pool(profile, **options)
    assert str(of_pool.value) == str(of_connection.value)
    assert type(of_pool.value) is type(of_connection.value)
    assert len(str(of_pool.value)) <= 500
    for caught in (of_connection, of_pool):
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [text for text in told.format() if "/aiidadb/" in text and "/tests/" not in text]
        assert ours
        assert SECRET not in "".join(ours)
    return of_pool.value


def at(host: str, port: int | None = None) -> aiidadb.Profile:
    return aiidadb.Profile("main", host=host, port=port, database="db", user="ada", password=SECRET)


# ------------------------------------------------------------------------------- nothing there


async def test_where_nothing_listens_host_and_port_are_told() -> None:
    error = await error_of(at("127.0.0.1", 1))
    assert type(error) is UnreachableStorage
    assert str(error) == (
        "the server 127.0.0.1, port 1 refused the connection: nothing is listening there: "
        "check host and port, and that the server is running and accepts TCP connections"
    )


async def test_a_host_without_an_address_is_told() -> None:
    error = await error_of(at("no-such-host.invalid"))
    assert type(error) is UnreachableStorage
    assert "no-such-host.invalid" in str(error)
    assert "name" in str(error)


@pytest.mark.parametrize("host", ["a..b", "a" * 100 + ".example"])
async def test_what_cannot_be_a_host_is_told(host: str) -> None:
    error = await error_of(at(host))
    assert type(error) is ConfigurationError
    assert "is not a host name" in str(error)


async def test_a_directory_without_a_servers_socket_is_told(tmp_path: Path) -> None:
    error = await error_of(at(str(tmp_path)))
    assert type(error) is UnreachableStorage
    assert str(error).startswith(f"there is no server at the socket {tmp_path}/.s.PGSQL.5432: ")


async def test_a_socket_without_a_server_is_told() -> None:
    # Of few characters: a socket's path can have 108.
    with contextlib.ExitStack() as ending:
        directory = ending.enter_context(tempfile.TemporaryDirectory())
        left = ending.enter_context(socket.socket(socket.AF_UNIX))
        left.bind(f"{directory}/.s.PGSQL.5432")
        error = await error_of(at(directory))
    assert type(error) is UnreachableStorage
    assert ".s.PGSQL.5432 cannot be reached (Connection refused)" in str(error)


async def test_a_socket_that_may_not_be_used_is_told() -> None:
    # Root may use every socket, so the system's answer is given to what reports it.
    error = explain(PermissionError(13, "Permission denied"), Address("/run", None))
    assert "socket /run/.s.PGSQL.5432 may not be used by this process" in str(error)


async def test_a_path_too_long_for_a_socket_is_told() -> None:
    error = await error_of(at("/" + "x" * 5000))
    assert type(error) is UnreachableStorage
    assert "too long" in str(error)


# ------------------------------------------------------------------------------- others there


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """Something on a port of 127.0.0.1 that is not PostgreSQL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9\r\n")
    await reader.read(100)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)


async def babbles_after_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8)
    writer.write(b"S")
    await reader.read(100)
    writer.write(b"garbage" * 20)


@pytest.mark.parametrize("mode", ["prefer", "disable", "require"])
@pytest.mark.parametrize(
    "serve", [http, ssh, hangs_up, babbles_after_yes], ids=lambda one: one.__name__
)
async def test_what_is_not_postgresql_is_told(serve: Serve, mode: str) -> None:
    async with listening(serve) as port:
        error = await error_of(at("127.0.0.1", port), ssl=mode)
    assert type(error) is UnreachableStorage
    assert f"the server 127.0.0.1, port {port}" in str(error)
    assert "is PostgreSQL" in str(error)


async def test_a_server_without_tls_is_told() -> None:
    async def no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"N")

    async with listening(no) as port:
        error = await error_of(at("127.0.0.1", port), ssl="require")
    assert "does not speak TLS" in str(error)
    assert "sslmode=disable" in str(error)


def test_a_certificate_that_was_refused_is_told() -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "self-signed certificate"
    error = explain(refused, Address("db.epfl.ch", 5432))
    assert "certificate of the server db.epfl.ch, port 5432 was refused (self-signed" in str(error)


# ------------------------------------------------------------------------------- the server refuses


@pytest.mark.parametrize(
    ("sqlstate", "advice"),
    [
        ("53300", "connections are taken"),
        ("57P03", "starting up"),
        ("28P01", "user and password"),
        ("28000", "pg_hba.conf"),
        ("3D000", "name of the database"),
    ],
)
def test_what_the_server_says_comes_with_advice(sqlstate: str, advice: str) -> None:
    refused = asyncpg.PostgresError.new({"C": sqlstate, "M": "refused"})
    error = explain(refused, Address("h", 1))
    assert isinstance(error, AiidaDbError)
    assert advice in str(error)


async def test_no_password_is_shown_where_the_server_refuses(empty_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(empty_dsn)
    missing = aiidadb.Profile(
        "main", host=profile.host, port=profile.port, database="missing", user=profile.user,
        password=SECRET,
    )  # fmt: skip
    assert type(await error_of(missing)) is AuthenticationError


@pytest.fixture(scope="module")
def strict_dsn() -> Iterator[str]:
    """A server of its own that asks ada for her password."""
    with embedded_server(durable=False) as server:

        async def set_up() -> None:
            connection = await asyncpg.connect(server.dsn)
            await connection.execute(f"create role ada login password '{SECRET}'")
            hba = Path(await connection.fetchval("show hba_file"))
            hba.write_text(f"local all ada scram-sha-256\n{hba.read_text()}")
            await connection.execute("select pg_reload_conf()")
            await connection.close()

        asyncio.run(set_up())
        yield server.dsn


@pytest.mark.parametrize("given", ["profile", "option", "function", "subclass"])
async def test_a_password_arrives(strict_dsn: str, given: str) -> None:
    class Text(str):
        pass

    there = aiidadb.Profile.from_dsn(strict_dsn)
    profile = dataclasses.replace(
        there, user="ada", password=SECRET if given == "profile" else None
    )
    options: dict[str, Any] = {
        "profile": {},
        "option": {"password": SECRET},
        "function": {"password": lambda: SECRET},
        "subclass": {"password": Text(SECRET), "database": Text("postgres")},
    }[given]
    connection = await connect(profile, **options)
    assert await connection.fetchval("select current_user") == "ada"
    await connection.close()
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, **options)
        assert await pool.fetchval("select current_user") == "ada"


async def test_a_wrong_password_is_told_and_not_shown(strict_dsn: str) -> None:
    profile = dataclasses.replace(
        aiidadb.Profile.from_dsn(strict_dsn), user="ada", password=f"not {SECRET}"
    )
    error = await error_of(profile)
    assert type(error) is AuthenticationError
    assert "check user and password" in str(error)
    assert type(await error_of(profile, password=f"neither {SECRET}")) is AuthenticationError


# ------------------------------------------------------------------------------- the caller's own


@pytest.mark.parametrize(
    "kind",
    [
        TypeError,
        ValueError,
        FileNotFoundError,
        TimeoutError,
        asyncpg.UniqueViolationError,
        asyncpg.InterfaceError,
    ],
    ids=lambda kind: kind.__name__,
)
@pytest.mark.parametrize("function", ["connect", "init", "password", "reset", "setup"])
async def test_what_a_function_of_the_callers_raises_passes(
    function: str, kind: type[Exception], bare_dsn: str
) -> None:
    error = kind("mine")  # a new one each time: it keeps the mark of whose it is

    async def fail(*_: object, **__: object) -> None:
        raise error

    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with PoolRegistry() as registry:
        with pytest.raises(type(error)) as caught:
            await registry.get_pool(profile, **{function: fail})
        assert caught.value is error
        with pytest.raises(type(error)) as caught:
            async with aiidadb.open_backend(profile, registry=registry, **{function: fail}):
                pytest.fail("it opened")
        assert caught.value is error


async def test_no_frame_of_what_a_connect_raises_shows_a_password(bare_dsn: str) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("mine")

    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with PoolRegistry() as registry:
        with pytest.raises(FileNotFoundError) as caught:
            await registry.get_pool(profile, connect=fail, password=SECRET)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if "/aiidadb/connecting/" in frame.filename]
    assert ours
    assert SECRET not in "".join(str(frame.locals) for frame in ours)


async def test_a_setup_that_fails_later_passes(bare_dsn: str) -> None:
    uses = 0

    async def setup(_: asyncpg.Connection) -> None:
        nonlocal uses
        uses += 1
        if uses > 3:
            raise FileNotFoundError("mine")

    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with (
        PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, setup=setup) as backend,
    ):
        with pytest.raises(FileNotFoundError, match="mine"):
            for _ in range(5):
                await backend.settings.get_all()


@pytest.mark.parametrize("function", ["connect", "init", "reset", "setup"])
async def test_a_function_that_is_not_async_is_refused(function: str, bare_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with PoolRegistry() as registry:
        with pytest.raises(PoolOptionsError, match=function):
            await registry.get_pool(profile, **{function: lambda *_, **__: None})


async def test_a_password_can_be_asked_for(bare_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(profile, password=lambda: SECRET)
        assert await pool.fetchval("select 1") == 1

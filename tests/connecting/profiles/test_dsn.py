"""URIs mean what they mean to libpq, in asyncpg's terms, or are refused; and give nothing away."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg import OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from aiidadb.connecting.profiles.dsn import parse_dsn
from aiidadb.connecting.profiles.libpq_keys import ConnectionParameters
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://", ConnectionParameters()),
        ("postgres://h", ConnectionParameters(host="h")),
        (
            "postgresql://ada:s3@h:5433/db",
            ConnectionParameters("h", 5433, "db", "ada", "s3"),
        ),
        ("postgresql:///db", ConnectionParameters(database="db")),
        ("postgresql://:5433/", ConnectionParameters(port=5433)),
        ("postgresql://ada@/db", ConnectionParameters(database="db", user="ada")),
        ("postgresql://ada:@h:/db?", ConnectionParameters("h", None, "db", "ada")),
        ("postgresql://h/db?dbname=other", ConnectionParameters("h", database="other")),
        ("postgresql://h/db?database=other", ConnectionParameters("h", database="other")),
        (
            "postgresql://h/?user=ada&password=s3",
            ConnectionParameters("h", None, None, "ada", "s3"),
        ),
        ("postgresql:///db?host=/tmp&port=1&", ConnectionParameters("/tmp", 1, "db")),
        ("postgresql://%2Ftmp:5433/db", ConnectionParameters("/tmp", 5433, "db")),
        ("postgresql://h/db?host=x&host=y", ConnectionParameters("y", None, "db")),
        ("postgresql://h/db?hostaddr=", ConnectionParameters("h", None, "db")),
        ("postgresql:///db?hostaddr=10.0.0.1", ConnectionParameters("10.0.0.1", None, "db")),
        ("postgresql://[2001:db8::1]:5433/db", ConnectionParameters("2001:db8::1", 5433, "db")),
        ("postgresql://[::1]/db", ConnectionParameters("::1", None, "db")),
        ("postgresql://a,b/db", ConnectionParameters(("a", "b"), None, "db")),
        ("postgresql://a:1,b:2/db", ConnectionParameters(("a", "b"), (1, 2), "db")),
        ("postgresql://a,b:2/db", ConnectionParameters(("a", "b"), (5432, 2), "db")),
        ("postgresql://a,[::1]:2/db", ConnectionParameters(("a", "::1"), (5432, 2), "db")),
        ("postgresql:///db?host=a,b&port=1", ConnectionParameters(("a", "b"), 1, "db")),
        ("postgresql:///db?host=a,b&port=1,2", ConnectionParameters(("a", "b"), (1, 2), "db")),
        ("postgresql://a+b:c+d@h/x+y", ConnectionParameters("h", None, "x+y", "a+b", "c+d")),
        ("postgresql://a:b:c?d@h/db", ConnectionParameters("h", None, "db", "a", "b:c?d")),
        ("postgresql://a:%40%2F%25@h/d%C3%A9", ConnectionParameters("h", None, "dé", "a", "@/%")),
    ],
)
def test_uris_say_where_the_database_is(dsn: str, expected: ConnectionParameters) -> None:
    parameters = parse_dsn(dsn)
    assert parameters == expected
    assert parameters.password == expected.password


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("host=h dbname=db", "key=value is not supported: a DSN begins with postgresql://"),
        ("postgresql+asyncpg://h/db", r"begins with postgresql://: drop '\+asyncpg'"),
        ("postgresql+psycopg://h/db", r"drop '\+psycopg'"),
        ("postgres+psycopg2://h/db", r"drop '\+psycopg2'"),
        ("postgresql:h", "begins with postgresql://"),
        ("sqlite:///x.db", "^'sqlite://' is not supported: a DSN begins with postgresql://$"),
        ("mysql://u:s3cret@h/x", "^'mysql://' is not supported: a DSN begins with postgresql://$"),
        ("u:s3cret@h/db", "begins with postgresql://, such as .*: for a profile use load_profile"),
        ("user=ada password=s3cret://x", "^a DSN of the form key=value is not supported"),
        ("u:s3cret://h/db", "^a DSN begins with postgresql://, such as"),
        ("", "^the DSN is empty: a DSN begins with postgresql://, such as"),
        ("postgresql://::1/db", r"port that is not a number.*; an IPv6 address is written in \[br"),
        ("postgresql://[::1/db", "brackets"),
        ("postgresql://[]/db", "brackets"),
        ("postgresql://[::1]x/db", "brackets"),
        ("postgresql://ada:p@q@h/db", "%40 for @"),
        ("postgresql://ada:p/q@h/db", "%2F for /"),
        ("postgresql://12:3/4@h/db", "%2F for /"),
        ("postgresql://ada:50%@h/db", "%25"),
        ("postgresql://h/d%00b", "NUL"),
        ("postgresql://h/d%FFb", "UTF-8"),
        ("postgresql://h/db?connect_timeout", "not key=value"),
    ],
)
def test_what_is_no_uri_is_refused_with_the_reason(dsn: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        parse_dsn(dsn)
    assert "s3cret" not in str(refused.value) + refused.value.for_command_line()


# ------------------------------------------------------------------------- libpq, the oracle

PIECES = st.lists(
    st.sampled_from(
        ["a", "db", "h.x", "::1", "1", "65535", "%2F", "%40", "%", "%C3%A9", "é", *"@:/?&=,+#[]"]
    )
    | st.sampled_from(
        ["host=", "port=", "user=", "password=", "dbname=", "sslmode=require", "application_name="]
    ),
    max_size=12,
).map("".join)


def without_empty(keys: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in keys.items() if value not in (None, "")}


@given(rest=PIECES)
def test_an_uri_that_is_taken_means_what_it_means_to_libpq(rest: str) -> None:
    dsn = f"postgresql://{rest}"
    try:
        parameters = parse_dsn(dsn)
    except ConfigurationError:
        return
    try:
        theirs = without_empty(conninfo_to_dict(dsn))
    except (ProgrammingError, OperationalError):
        # Two things that libpq refuses are taken: an unencoded "=" in a value, and nothing at all
        # between two "&".
        assert re.search(r"[?&](&|[^&]*=[^&]*=)", rest)
        return
    settings = dict(dict(parameters.options).get("server_settings") or ())
    hosts = parameters.host if isinstance(parameters.host, tuple) else (parameters.host,)
    ports = parameters.port if isinstance(parameters.port, tuple) else (parameters.port,)
    ours = {
        "host": ",".join(host or "" for host in hosts),
        "port": ",".join(str(port or "") for port in ports),
        "dbname": parameters.database,
        "user": parameters.user,
        "password": parameters.password,
        "sslmode": dict(parameters.options).get("ssl"),
        "application_name": settings.get("application_name"),
    }
    if "," in str(theirs.get("port", "")):
        filled = [port or "5432" for port in str(theirs["port"]).split(",")]
        theirs["port"] = ",".join(filled) if any(str(theirs["port"]).split(",")) else ""
    assert without_empty(ours) == without_empty(theirs)


@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    database=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
)
def test_whatever_is_percent_encoded_comes_back_equal(
    user: str, password: str, database: str
) -> None:
    dsn = f"postgresql://{quote(user, '')}:{quote(password, '')}@h/{quote(database, '')}"
    assert parse_dsn(dsn) == ConnectionParameters("h", None, database, user, password)
    assert parse_dsn(dsn).password == password


# --------------------------------------------------------------------------------- secrecy


@given(
    special=st.text("/?#@:%&=[] \\+;,'\"é", min_size=1, max_size=4),
    tail=st.sampled_from(["@h/db", "@h:5432/db?sslmode=require", "", "@h:port/db", "@h/db?x=1"]),
    query=st.booleans(),
)
def test_a_password_never_shows(special: str, tail: str, query: bool) -> None:
    # By all rules the second half is not part of the password then, but a key or the host.
    assume("&" not in special if query else tail or "@" not in special)
    halves = ("S3cret", "T0psecret")
    password = special.join(halves)
    if query:
        dsn = f"postgresql://h/db?password={password}&sslmode=oops&user=x"
    else:
        dsn = f"postgresql://ada:{password}{tail}"
    try:
        profile = Profile.from_dsn(dsn, name="main")
        shown = f"{profile!r} {profile} {parse_dsn(dsn)!r}"
    except ConfigurationError as error:
        shown = "".join(traceback.format_exception(error, limit=0))
    assert not any(half in shown for half in halves)


def test_neither_does_the_password_of_a_key_file() -> None:
    profile = Profile.from_dsn("postgresql://h/db?sslpassword=S3cret")
    assert "S3cret" not in f"{profile!r} {profile}"
    assert "S3cret" in profile.connect_arguments()["dsn"]


# ------------------------------------------------------------------------ on a real server


async def show(profile: Profile, setting: str) -> object:
    connection = await asyncpg.connect(**profile.connect_arguments())
    try:
        return await connection.fetchval("select current_setting($1)", setting)
    finally:
        await connection.close()


async def test_settings_reach_the_server(server_dsn: str) -> None:
    joint = "&" if "?" in server_dsn else "?"
    profile = Profile.from_dsn(
        f"{server_dsn}{joint}application_name=ada's%20notebook&connect_timeout=20&gssencmode=disable"
        "&options=-c%20statement_timeout%3D12s%20-c%20search_path%3Dpg_catalog,public"
    )
    assert await show(profile, "application_name") == "ada's notebook"
    assert await show(profile, "statement_timeout") == "12s"
    assert await show(profile, "search_path") == "pg_catalog,public"


@pytest_asyncio.fixture
async def socket_directory(server_dsn: str) -> AsyncIterator[Path]:
    """A directory with a Unix socket, 5555, behind which the server is."""
    arguments = Profile.from_dsn(server_dsn).connect_arguments()
    host, port = arguments.get("host", "localhost"), arguments.get("port", 5432)

    served: list[asyncio.Task[None]] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            served.append(task)
        if host.startswith("/"):
            far = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far = await asyncio.open_connection(host, port)
        await asyncio.gather(pipe(reader, far[1]), pipe(far[0], writer))

    # Paths of sockets are at most 107 characters long; those that pytest makes can be longer.
    directory = Path(tempfile.mkdtemp(prefix="aiidadb"))
    try:
        async with await asyncio.start_unix_server(serve, directory / ".s.PGSQL.5555"):
            yield directory
            await asyncio.gather(*served)
    finally:
        shutil.rmtree(directory)


async def test_a_unix_socket_is_found_by_its_directory(
    server_dsn: str, socket_directory: Path
) -> None:
    there = Profile.from_dsn(server_dsn)
    who = f"{quote(there.user or '')}:{quote(there.password or '')}@"
    for dsn in (
        f"postgresql://{who}{quote(str(socket_directory), '')}:5555/{there.database}",
        f"postgresql://{who}/{there.database}?host={socket_directory}&port=5555",
    ):
        assert await show(Profile.from_dsn(dsn), "is_superuser")


async def test_a_host_that_is_down_is_passed_over_for_one_that_takes_writes(
    server_dsn: str, socket_directory: Path
) -> None:
    there = Profile.from_dsn(server_dsn)
    profile = Profile.from_dsn(
        f"postgresql://{quote(there.user or '')}:{quote(there.password or '')}@"
        f"%2Fnowhere,{quote(str(socket_directory), '')}:5555/{there.database}"
        "?target_session_attrs=read-write"
    )
    assert await show(profile, "transaction_read_only") == "off"
    standby = Profile.from_dsn(
        f"postgresql://{quote(there.user or '')}:{quote(there.password or '')}@"
        f"{quote(str(socket_directory), '')}:5555/{there.database}?target_session_attrs=standby"
    )
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await show(standby, "transaction_read_only")

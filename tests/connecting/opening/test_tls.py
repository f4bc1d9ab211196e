"""Encryption by libpq's modes and files, and unrequested files that cannot be read."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.opening import tls
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import AuthenticationError, ConfigurationError, UnreachableStorage
from tests.helpers.tls import Authority, TlsProxy, tls_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    """How a server at 127.0.0.1 speaks TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*authority.certificate("server", "127.0.0.1"))
    return made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with no files for TLS."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    return place


async def log_in(proxy: TlsProxy, **keys: object) -> None:
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in keys.items())
    connection = await connect(aiidadb.Profile.from_dsn(f"{proxy.dsn}?{query}"))
    assert await connection.fetchval("select 1") == 1
    await connection.close()


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", ["", "prefer", "require"])
async def test_a_server_with_tls_is_spoken_to_by_it(bare_dsn, context, mode):
    async with tls_proxy(bare_dsn, context) as proxy:
        await log_in(proxy, sslmode=mode)
    assert proxy.logins == [True]


@pytest.mark.parametrize("mode", ["disable", "allow"])
async def test_a_mode_that_does_not_ask_for_tls_goes_without(bare_dsn, context, mode):
    async with tls_proxy(bare_dsn, context) as proxy:
        await log_in(proxy, sslmode=mode)
    assert proxy.logins == [False]
    assert proxy.asked == 0


@pytest.mark.parametrize("mode", ["", "prefer", "allow"])
async def test_a_server_without_tls_is_spoken_to_without(bare_dsn, mode):
    async with tls_proxy(bare_dsn, None) as proxy:
        await log_in(proxy, sslmode=mode)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_mode_that_needs_tls_takes_no_server_without(bare_dsn, authority, mode):
    async with tls_proxy(bare_dsn, None) as proxy:
        with pytest.raises(UnreachableStorage, match="does not speak TLS"):
            await log_in(proxy, sslmode=mode, sslrootcert=authority.file)


async def test_a_pool_asks_a_server_without_tls_for_it_only_once(bare_dsn):
    async with tls_proxy(bare_dsn, None) as proxy, PoolRegistry() as registry:
        pool = await registry.get_pool(aiidadb.Profile.from_dsn(proxy.dsn), max_size=5)
        await asyncio.gather(*(pool.fetchval("select pg_sleep(0.1)") for _ in range(5)))
    assert proxy.asked == 1


async def test_where_the_server_takes_only_encrypted_logins_allow_encrypts(bare_dsn, context):
    async with tls_proxy(bare_dsn, context, takes=("tls",)) as proxy:
        await log_in(proxy, sslmode="allow")
    assert proxy.logins == [False, True]


async def test_where_the_server_takes_only_plain_logins_prefer_does_not_encrypt(bare_dsn, context):
    async with tls_proxy(bare_dsn, context, takes=("plain",)) as proxy:
        await log_in(proxy, sslmode="prefer")
        assert proxy.logins == [True, False]
        with pytest.raises(AuthenticationError, match="28000"):
            await log_in(proxy, sslmode="require")


def test_a_refused_password_is_not_tried_again_in_the_other_way():
    assert not tls.may_do_otherwise(asyncpg.InvalidPasswordError("no"))
    assert not tls.may_do_otherwise(ConnectionRefusedError())
    assert not tls.may_do_otherwise(TimeoutError())
    assert tls.may_do_otherwise(asyncpg.InvalidAuthorizationSpecificationError("pg_hba.conf"))


# ---------------------------------------------------------------- files


async def test_the_servers_certificate_is_verified(bare_dsn, context, authority, tmp_path):
    other = Authority(tmp_path, "other")
    async with tls_proxy(bare_dsn, context) as proxy:
        for mode in ("verify-ca", "verify-full"):
            await log_in(proxy, sslmode=mode, sslrootcert=authority.file)
            with pytest.raises(UnreachableStorage, match=r"certificate of .* was refused"):
                await log_in(proxy, sslmode=mode, sslrootcert=other.file)


async def test_the_hosts_name_is_verified_where_all_is(bare_dsn, authority):
    elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    elsewhere.load_cert_chain(*authority.certificate("elsewhere", "127.0.0.2"))
    async with tls_proxy(bare_dsn, elsewhere) as proxy:
        await log_in(proxy, sslmode="verify-ca", sslrootcert=authority.file)
        with pytest.raises(UnreachableStorage, match=r"certificate of .* was refused"):
            await log_in(proxy, sslmode="verify-full", sslrootcert=authority.file)


async def test_authorities_at_home_are_taken(bare_dsn, context, authority, home, tmp_path):
    (home / ".postgresql").mkdir()
    (home / ".postgresql" / "root.crt").write_bytes(authority.file.read_bytes())
    async with tls_proxy(bare_dsn, context) as proxy:
        await log_in(proxy, sslmode="verify-full")
        other = Authority(tmp_path, "other")
        (home / ".postgresql" / "root.crt").write_bytes(other.file.read_bytes())
        with pytest.raises(UnreachableStorage):
            await log_in(proxy, sslmode="require")  # which verifies where there are some


async def test_verifying_needs_authorities(bare_dsn, context):
    async with tls_proxy(bare_dsn, context) as proxy:
        with pytest.raises(ConfigurationError, match=r"verify-ca needs .*root.crt.*sslrootcert"):
            await log_in(proxy, sslmode="verify-ca")


@pytest.mark.parametrize("where", ["named", "at home", "in the environment"])
async def test_the_clients_own_certificate_is_shown(
    bare_dsn, context, authority, home, where, monkeypatch
):
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    certificate, key = authority.certificate("client")
    keys: dict[str, object] = {}
    if where == "named":
        keys = {"sslcert": certificate, "sslkey": key}
    elif where == "at home":
        (home / ".postgresql").mkdir()
        certificate.rename(home / ".postgresql" / "postgresql.crt")
        key.rename(home / ".postgresql" / "postgresql.key")
    else:
        monkeypatch.setenv("PGSSLCERT", str(certificate))
        monkeypatch.setenv("PGSSLKEY", str(key))
    async with tls_proxy(bare_dsn, context) as proxy:
        await log_in(proxy, sslmode="require", **keys)


@pytest.mark.parametrize("variable", ["PGSSLCERT", "PGSSLROOTCERT", "PGSSLCRL"])
async def test_a_file_that_was_named_and_cannot_be_read_is_an_error(
    bare_dsn, context, authority, variable, monkeypatch
):
    async with tls_proxy(bare_dsn, context) as proxy:
        monkeypatch.setenv("PGSSLROOTCERT", str(authority.file))
        monkeypatch.setenv(variable, "/no/such/file")
        with pytest.raises(ConfigurationError, match=r"/no/such/file.* cannot be used"):
            await log_in(proxy, sslmode="verify-ca")


@pytest.fixture(params=["closed", "without end"])
def closed_home(request: pytest.FixtureRequest, home: Path) -> Iterator[Path]:
    """A home whose files cannot be read; of the second kind, not even by root."""
    if request.param == "closed":
        home.chmod(0)
    else:
        (home / ".postgresql").symlink_to(".postgresql")
    yield home
    home.chmod(0o700)


@pytest.mark.parametrize("mode", ["", "allow", "prefer", "require"])
@pytest.mark.parametrize("has_tls", [True, False])
async def test_a_service_whose_home_cannot_be_read_connects(
    bare_dsn, context, closed_home, mode, has_tls
):
    async with tls_proxy(bare_dsn, context if has_tls else None) as proxy:
        if mode == "require" and not has_tls:
            with pytest.raises(UnreachableStorage, match="does not speak TLS"):
                await log_in(proxy, sslmode=mode)
        else:
            await log_in(proxy, sslmode=mode)


async def test_a_home_that_cannot_be_read_is_told_where_it_is_needed(
    bare_dsn, context, closed_home
):
    async with tls_proxy(bare_dsn, context) as proxy:
        with pytest.raises(ConfigurationError, match=r"verify-full needs .*sslrootcert"):
            await log_in(proxy, sslmode="verify-full")


async def test_over_a_socket_nothing_is_read_or_encrypted(bare_dsn, closed_home, monkeypatch):
    monkeypatch.setattr(tls, "_make_context", None)
    joint = "&" if "?" in bare_dsn else "?"
    connection = await connect(aiidadb.Profile.from_dsn(f"{bare_dsn}{joint}sslmode=require"))
    await connection.close()


# ---------------------------------------------------------------- the event loop


@pytest.mark.parametrize("mode", ["prefer", "verify-full"])
async def test_contexts_are_not_made_while_the_event_loop_waits(
    bare_dsn, context, authority, mode, monkeypatch
):
    threads = []
    made = ssl.SSLContext.load_cert_chain

    def load(self: ssl.SSLContext, *arguments: object, **options: object) -> None:
        threads.append(threading.current_thread())
        made(self, *arguments, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    async with tls_proxy(bare_dsn, context) as proxy:
        await log_in(proxy, sslmode=mode, sslrootcert=authority.file)
    assert threads
    assert threading.current_thread() not in threads

"""Several hosts: the first of the kind asked for is taken, and none eats up the others' time."""

import dataclasses
import socket

import pytest

import aiidadb
from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.opening.hosts import Address
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import UnreachableStorage


@pytest.fixture
def profile(empty_dsn):
    return aiidadb.Profile.from_dsn(empty_dsn)


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def with_hosts(profile: aiidadb.Profile, *first: tuple[str, int], **options) -> aiidadb.Profile:
    """The same database, with hosts before its own."""
    hosts = [*(host for host, _ in first), profile.host]
    ports = [*(port for _, port in first), profile.port or 5432]
    return dataclasses.replace(
        profile, host=tuple(hosts), port=tuple(ports), pool_options=tuple(options.items())
    )


async def test_a_silent_first_host_does_not_eat_up_the_time_of_the_others(profile, silent_port):
    several = with_hosts(profile, ("127.0.0.1", silent_port), ("127.0.0.1", 1), connect_timeout=1.0)
    async with PoolRegistry() as registry:
        pool = await registry.get_pool(several)
        assert await pool.fetchval("select current_database()") == profile.database
    connection = await connect(several)
    await connection.close()


@pytest.mark.parametrize(
    ("wanted", "answers"),
    [("read-write", True), ("primary", True), ("prefer-standby", True), ("standby", False)],
)
async def test_of_several_hosts_one_of_the_kind_asked_for_is_taken(profile, wanted, answers):
    several = with_hosts(profile, ("127.0.0.1", 1), target_session_attrs=wanted)
    async with PoolRegistry() as registry:
        if answers:
            assert await (await registry.get_pool(several)).fetchval("select 1") == 1
        else:
            with pytest.raises(UnreachableStorage):
                await registry.get_pool(several)


def test_the_server_of_no_host_is_told_by_the_default_that_it_is(monkeypatch):
    monkeypatch.delenv("PGHOST", raising=False)
    monkeypatch.delenv("PGPORT", raising=False)
    assert str(Address(None, None)).startswith("the local server, port 5432 (no host was given")
    monkeypatch.setenv("PGPORT", "5433")
    assert "port 5433" in str(Address(None, None))
    monkeypatch.setenv("PGHOST", "db.epfl.ch")
    assert str(Address(None, 1)) == "the server db.epfl.ch, port 1 (from PGHOST)"

"""The pages of ``aiidadb/docs`` tell the truth: their programs, commands and settings work.

The pages on migrations, on the query builder and on web services have tests of their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import socket
import ssl
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import click
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.connecting.sessions.served import served
from aiidadb.demo.server_programs import find_programs
from aiidadb.sql import QUERIES, load_queries
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.documents import (
    DOCUMENTS,
    ROOT,
    campaign_as_default,
    for_a_notebook,
    programs_of,
    run_as_cells,
    run_as_scripts,
)
from tests.helpers.processes import finished
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.roles import role_name
from tests.helpers.tls import Authority, tls_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.databases import Databases

NOTEBOOKS = (DOCUMENTS / "notebooks.md").read_text("utf-8")
SERVERS = (DOCUMENTS / "servers.md").read_text("utf-8")
TRANSACTIONS = (DOCUMENTS / "transactions.md").read_text("utf-8")
UPGRADING = (DOCUMENTS / "upgrading.md").read_text("utf-8")
STRUCTURE = "data.core.structure.StructureData."
GRANTS, CHECK_INTERVAL = programs_of(SERVERS, "sql")
WITH_TLS, WITH_POOLER, WITH_HOSTS = (one.strip() for one in programs_of(SERVERS, "text"))


@pytest_asyncio.fixture
async def campaign(databases: Databases, tmp_path: Path) -> AsyncIterator[str]:
    async with campaign_as_default(databases, "main_0002", tmp_path) as dsn:
        yield dsn


@pytest.mark.quick
@pytest.mark.parametrize("page", sorted(one.name for one in DOCUMENTS.glob("*.md")))
def test_what_a_page_links_to_is_there(page):
    assert f"(aiidadb/docs/{page})" in (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", (DOCUMENTS / page).read_text("utf-8")):
        assert "://" in target or (DOCUMENTS / target).exists(), target


@pytest.mark.quick
@pytest.mark.parametrize("page", ["servers.md", "transactions.md", "notebooks.md", "djsite.md"])
def test_the_names_that_a_page_gives_exist(page):
    text = (DOCUMENTS / page).read_text("utf-8")
    managers = {
        "queries": aiidadb.QueryManager,
        "schema": aiidadb.SchemaManager,
        "settings": aiidadb.SettingsManager,
    }
    for part, name in re.findall(r"(?<![\w.])backend\.(\w+)(?:\.(\w+))?", text):
        assert hasattr(aiidadb.Backend, part) or part in managers, part
        if name and part in managers:
            assert hasattr(managers[part], name), f"{part}.{name}"
    for name in re.findall(r"(?<![\w./])aiidadb\.([a-z_]+\b|[A-Z]\w+)(?!/)", text):
        assert name in aiidadb.__all__, name
    # djsite's names that are the same here.
    for row in re.findall(r"^\| (.*) \| the same names on `backend\.(\w+)`", text, re.MULTILINE):
        for name in re.findall(r"\.(\w+)", row[0]):
            assert hasattr(managers[row[1]], name), f"backend.{row[1]}.{name}"


async def test_the_programs_on_servers_and_transactions_run(campaign, tmp_path):
    programs = [
        one.replace("postgresql://ada@localhost/aiida_copy", campaign)
        for one in (*programs_of(SERVERS), *programs_of(TRANSACTIONS))
    ]
    assert len(programs) == 3
    await run_as_scripts(programs, tmp_path)
    async with aiidadb.open_backend(campaign) as backend:
        assert await backend.settings.get("campaign", default=None) is None
        labels = await fetchval(campaign, "select array_agg(distinct label) from db_dbnode")
        assert "structure" not in labels


# What "Interrupt the kernel" does: it sends SIGINT to it.
INTERRUPTED = """
import os, signal

asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
try:
    async with backend.connection() as connection:
        await connection.execute("select pg_sleep(100)")
except asyncio.CancelledError:
    print("cancelled")
left = await backend.queries.get_full_types()
print(len(left))
"""


async def test_the_cells_of_the_page_on_notebooks_run(campaign, tmp_path):
    cells = programs_of(NOTEBOOKS)
    assert cells[-1] == "await backend.close()\n"
    programs = [for_a_notebook(one) for one in programs_of(SERVERS)]
    await run_as_cells([*cells[:-1], INTERRUPTED, cells[-1], *programs], tmp_path)


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


async def test_the_question_that_contributing_shows_can_be_asked(backend, tmp_path, monkeypatch):
    blocks = re.findall(r"^   ```(\w+)\n(.*?)^   ```$", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    (sql,), (module, method, test) = (
        [textwrap.dedent(text) for kind, text in blocks if kind == wanted]
        for wanted in ("sql", "python")
    )
    (tmp_path / "label_counts.sql").write_text(sql)
    monkeypatch.setitem(QUERIES, "label_counts", load_queries(tmp_path)["label_counts"])
    labels = ModuleType("labels")
    exec(module, vars(labels))
    manager = {"labels": labels, "served": served}
    exec(f"from __future__ import annotations\n{method}", manager)
    added = manager["get_label_counts"]
    monkeypatch.setattr(aiidadb.QueryManager, "get_label_counts", added, raising=False)
    tests: dict[str, Any] = {}
    exec(test, tests)
    await tests["test_labels_are_counted"](backend)


@pytest.mark.quick
def test_the_files_that_contributing_names_are_there():
    for name in re.findall(r"`([\w./]+\.(?:py|sql|md|toml))`", CONTRIBUTING):
        places = (name, f"aiidadb/{name}", f"benchmarks/{name}")
        is_example = name.endswith(("label_counts.sql", "labels.py", "test_labels.py"))
        assert is_example or any((ROOT / place).exists() for place in places), name


# ---------------------------------------------------------------- servers


async def test_the_grants_make_a_role_that_can_read_everything_and_change_nothing(
    campaign, monkeypatch
):
    reader, database = role_name(), urlsplit(campaign).path[1:]
    owner = await fetchval(campaign, "select current_user")
    grants = (
        re.sub(r"\breader\b", reader, GRANTS)
        .replace("aiida_main", f'"{database}"')
        .replace("for role aiida ", f"for role {owner} ")
    )
    await run_script(
        campaign,
        f'revoke all on database "{database}" from public; revoke all on schema public from public',
    )
    try:
        await run_script(campaign, grants)
        await run_script(campaign, "create table of_a_later_migration (id int)")
        way = _as_role(campaign, reader)
        assert await fetchval(way, "select count(*) from of_a_later_migration") == 0
        async with aiidadb.open_backend(way) as backend:
            assert (await backend.describe_server()).read_only
            statistics = await backend.queries.get_creation_statistics()
            bands = await backend.queries.get_bands_and_parents_structure(all_users=True)
            pks = [row.pk for row in bands]
            assert statistics["total"] > len(bands) > 0
            assert await backend.queries.get_closest_parents(pks, node_type=STRUCTURE)
            assert await backend.get_nodes_to_delete(pks)
            assert await backend.queries.get_processes()
            assert await backend.query().append(STRUCTURE, project="*").all()
            assert await backend.settings.get_all() is not None
            assert await backend.schema.get_schema_version_database()
            for change in (
                backend.delete_nodes_and_connections(pks),
                backend.settings.set("key", 1),
                backend.queries.set_labels({pks[0]: "label"}),
            ):
                with pytest.raises((aiidadb.ReadOnlyDatabase, aiidadb.PermissionDenied)):
                    await change
        # Not even where it lifts its own bar.
        async with connected(way) as connection:
            await connection.execute("set default_transaction_read_only = off")
            for change in ("delete from db_dblink", "create table another (id int)"):
                with pytest.raises(Exception, match="permission denied"):
                    await connection.execute(change)
    finally:
        await run_script(campaign, f"drop owned by {reader}; drop role {reader}")


def _as_role(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


async def test_the_setting_for_pgbouncer_is_taken(bare_dsn):
    role = role_name()
    await run_script(bare_dsn, f"create role {role} login")
    try:
        await run_script(bare_dsn, CHECK_INTERVAL.replace("reader", role))
        async with connected(_as_role(bare_dsn, role)) as connection:
            assert await connection.fetchval("show client_connection_check_interval") == "500ms"
    finally:
        await run_script(bare_dsn, f"drop role {role}")


async def test_the_dsn_with_tls_takes_the_right_certificate_alone(bare_dsn, tmp_path):
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("server", "127.0.0.1"))
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other").file
    async with tls_proxy(bare_dsn, context) as proxy:
        parts = urlsplit(proxy.dsn)
        for file, is_right in ((authority.file, True), (other, False)):
            dsn = (
                WITH_TLS.replace("reader@db.example.org/aiida_main", f"{parts.netloc}{parts.path}")
                .replace("/etc/ssl/certs/db-root.crt", quote(str(file), safe=""))
            )  # fmt: skip
            if is_right:
                async with aiidadb.open_backend(dsn) as backend:
                    assert await backend.describe_server()
            else:
                with pytest.raises(aiidadb.AiidaDbError, match="certificate"):
                    await aiidadb.open_backend(dsn)
    assert all(proxy.logins)


async def test_the_dsn_with_several_hosts_passes_over_one_that_is_away(bare_dsn):
    """Both of the page's hosts: one where nothing listens, and the server of the tests."""
    place = urlsplit(bare_dsn)
    here = parse_qs(place.query)["host"][0] if not place.hostname else place.hostname
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{quote(here, safe='')}:{place.port or 5432}"
        dsn = (
            WITH_HOSTS.replace("reader@db1.example.org,db2.example.org", f"postgres@{hosts}")
            .replace("/aiida_main", place.path)
            .replace("connect_timeout=3", "connect_timeout=2")
        )
        assert "target_session_attrs=prefer-standby" in dsn
        async with aiidadb.open_backend(dsn) as backend:
            assert (await backend.describe_server()).version
        with pytest.raises(aiidadb.UnreachableStorage, match="none of the 2 hosts"):
            dsn = dsn.replace("prefer-standby", "standby")
            await aiidadb.open_backend(dsn.replace("connect_timeout=2", "connect_timeout=1"))


@pytest.mark.quick
def test_the_dsn_for_a_pooler_says_that_there_is_one():
    profile = aiidadb.Profile.from_dsn(WITH_POOLER)
    assert (profile.port, profile.statement_cache_size) == (6432, 0)


@pytest.mark.quick
def test_the_options_of_waits_have_the_defaults_that_the_page_gives():
    table = SERVERS.partition("## Limits on waits")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|.*`(\w+)` \|$", table, re.MULTILINE)
    assert len(rows) == 4
    defaults = aiidadb.open_backend.__kwdefaults__
    for name, default, error in rows:
        assert defaults[name] == float(default)
        assert issubclass(getattr(aiidadb, error), aiidadb.AiidaDbError)


# ---------------------------------------------------------------- upgrading

# What needs a network or a message broker, which no test has.
NOT_RUN = ("python -m pip", "python3 -m venv", "source ", "verdi daemon", "daemon start")
# What asks; and what would try for long to reach a message broker, which the profile has not once
# AiiDA has converted its configuration.
WITHOUT_BROKER = """storage version
python - <<'END'
import json, os
with open(os.environ["CONFIG"]) as file:
    config = json.load(file)
config["profiles"]["main"]["process_control"] = {"backend": None, "config": {}}
with open(os.environ["CONFIG"], "w") as file:
    json.dump(config, file)
END
verdi --profile "$PROFILE" status"""
INSTEAD = {
    '--export-directory "$BACKUP/exports"': '--export-directory "$BACKUP/exports" --yes',
    "status\nverdi": f"{WITHOUT_BROKER}\nverdi",
}
BLOCKS = programs_of(UPGRADING, "sh")
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def _verdi(line: str) -> list[str]:
    words = shlex.split(line.replace('"$PROFILE"', "main"))
    return words[1:] if words[0] == "verdi" else []


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("verdi")])
def test_the_commands_of_verdi_exist(aiida_commands, line):
    command: Any = aiida_commands
    context = click.Context(command)
    words = [word for word in _verdi(line) if word != "main"]
    options = {word for word in words if word.startswith("--")}
    known = {option for one in command.params for option in one.opts}
    for word in words:
        if hasattr(command, "get_command") and not word.startswith("--"):
            command = command.get_command(context, word)
            assert command is not None, word
            known |= {option for one in command.params for option in one.opts}
    assert options <= known


@pytest.fixture(scope="module")
def aiida_commands() -> click.Command:
    from aiida.cmdline.commands.cmd_verdi import verdi

    return verdi


@pytest.fixture
def old_installation(tmp_path: Path) -> dict[str, str]:
    """AiiDA's folder of the time of 0.12, and the variables of the page for it."""
    home = tmp_path / "home"
    repository = unpack("legacy/repository_aiida-0.12.5", home / ".aiida" / "repository-main")
    return {
        "HOME": str(home),
        "AIIDA_PATH": str(home),
        "CONFIG": str(home / ".aiida" / "config.json"),
        "REPOSITORY": str(repository),
        "BACKUP": str(tmp_path / "backup"),
    }


async def test_the_commands_of_an_upgrade_run_from_end_to_end(databases, old_installation):
    dsn = await load_dump(databases, "legacy/1_aiida-0.12.5_django_0008")
    parts = urlsplit(dsn)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    old = {
        "AIIDADB_ENGINE": "postgresql_psycopg2",
        "AIIDADB_BACKEND": "django",
        "AIIDADB_NAME": parts.path[1:],
        "AIIDADB_HOST": host,
        "AIIDADB_PORT": str(parts.port or 5432),
        "AIIDADB_USER": parts.username or "postgres",
        "AIIDADB_PASS": "",
        "AIIDADB_REPOSITORY_URI": f"file://{old_installation['REPOSITORY']}",
        "TIMEZONE": "Europe/Zurich",
        "default_user_email": await fetchval(dsn, "select min(email) from db_dbuser"),
    }
    config = {"default_profiles": {"verdi": "main", "daemon": "main"}, "profiles": {"main": old}}
    config_file = Path(old_installation["CONFIG"])
    config_file.write_text(json.dumps(config))
    before = _files(Path(old_installation["REPOSITORY"]))
    environment = {
        **old_installation,
        "PGHOST": host,
        "PGPORT": str(parts.port or 5432),
        "PGUSER": parts.username or "postgres",
        "PGDATABASE": parts.path[1:],
        "PROFILE": "main",
        "PATH": f"{_place_of_aiidadb()}:{find_programs()}:/usr/bin:/bin",
        "PYTHONWARNINGS": "ignore",
    }
    settings, *blocks = BLOCKS
    assert {line.split("=")[0].removeprefix("export ") for line in settings.splitlines()} <= {
        *environment
    }
    printed = []
    for block in blocks:
        lines = [one for one in block.splitlines() if not _is_left_out(one)]
        script = "\n".join(lines)
        for command, instead in INSTEAD.items():
            script = script.replace(command, instead)
        if "verdi" in script and json.loads(config_file.read_text()) == config:
            # aiida-core puts the host into a URL unquoted, where a path cannot be.
            here = {"AIIDADB_HOST": "localhost", "AIIDADB_NAME": f"{parts.path[1:]}?host={host}"}
            config_file.write_text(json.dumps({**config, "profiles": {"main": {**old, **here}}}))
        ended = await asyncio.to_thread(
            finished, ["bash", "-euo", "pipefail", "-c", script], environment=environment
        )
        assert ended.returncode == 0, (script, ended.stdout, ended.stderr)
        printed.append(ended.stdout)
        if "--yes" in script:
            assert await fetchval(dsn, "select version_num from alembic_version") == "main_0002"
            assert list(Path(environment["BACKUP"], "exports").iterdir())
    whole = "\n".join(printed)
    assert "main_0002" in whole
    assert re.search(r"✔ storage:", whole), whole
    # At the end, the backup is back: database, files and configuration.
    assert await fetchval(dsn, "select count(*) from db_dbnode") == 288
    assert not await fetchval(dsn, "select to_regclass('alembic_version') is not null")
    assert json.loads(config_file.read_text()) == config
    now = _files(Path(old_installation["REPOSITORY"]))
    assert {name: now[name] for name in before} == before
    assert {name.split("/")[0] for name in set(now) - set(before)} <= {"container"}
    await databases.drop(dsn)


def _files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def _is_left_out(line: str) -> bool:
    is_old = line.startswith("verdi ") and "--profile" not in line
    return is_old or any(part in line for part in NOT_RUN)


def _place_of_aiidadb() -> str:
    return str(Path(sys.executable).parent)

"""The README tells the truth: its programs run as they stand, its names exist."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.cli import aiidadb as command_line
from tests.helpers.campaigns import NODES
from tests.helpers.documents import (
    ROOT,
    campaign_as_default,
    execute,
    for_a_notebook,
    programs_of,
    run_as_cells,
    run_as_scripts,
)
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.databases import Databases

README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = programs_of(README)
(SERVICE,) = (program for program in PROGRAMS if "FastAPI" in program)
(NOTEBOOK,) = (program for program in PROGRAMS if program.startswith("import aiidadb\n\nbackend ="))
(DELETION,) = (program for program in PROGRAMS if "\nDELETE = " in program)
(MIGRATION,) = (program for program in PROGRAMS if "\nMIGRATE = " in program)
READING = [one for one in PROGRAMS if one not in (SERVICE, NOTEBOOK, DELETION, MIGRATION)]
DATABASE = "postgresql://ada@localhost/aiida_copy"  # which a reader replaces


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def campaign(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path
) -> AsyncIterator[str]:
    """AiiDA's default profile has a campaign, once in each line."""
    async with campaign_as_default(databases, request.param, tmp_path) as dsn:
        yield dsn


def edited(program: str, dsn: str, *, changes: bool) -> str:
    """The program of a reader who names a database, and wants it to be changed or not."""
    program = program.replace(f'"{DATABASE}"', f'"{dsn}"').replace('"old"', '"main"')
    return re.sub(r"^(DELETE|MIGRATE) = False", rf"\1 = {changes}", program, flags=re.MULTILINE)


async def fingerprint(dsn: str) -> object:
    """What a program that only reads must leave as it is."""
    async with aiidadb.open_backend(dsn, schema_check=False) as backend:
        async with backend.connection() as connection:
            counts = [
                await connection.fetchval(f"select count(*) from {table}")
                for table in ("db_dbnode", "db_dblink", "db_dbsetting")
            ]
            changed = await connection.fetchval("select max(mtime) from db_dbnode")
        return str(await backend.schema.get_schema_version_database()), counts, changed


@pytest.mark.quick
def test_no_program_changes_a_database_that_its_reader_did_not_name():
    changing = re.compile(r"\.(set|delete\w*|migrate|initialise|add_\w+|remove_\w+|update_\w+)\(")
    for program in (*READING, SERVICE, NOTEBOOK):
        assert not changing.search(program), program
        assert not re.search(r"\b(update|insert|delete|drop) ", program, re.IGNORECASE), program
    for program in (DELETION, MIGRATION):
        assert re.search(r"open_backend\((DATABASE|PROFILE)[,)]", program)
        assert re.search(r"^(DELETE|MIGRATE) = False", program, re.MULTILINE)


@pytest.mark.parametrize("program", READING)
async def test_its_first_programs_run_and_change_nothing(campaign, program, capsys):
    before = await fingerprint(campaign)
    await asyncio.to_thread(execute, program)
    assert capsys.readouterr().out
    assert await fingerprint(campaign) == before


@pytest.mark.parametrize("program", [DELETION, MIGRATION], ids=["deletion", "migration"])
async def test_what_can_change_a_database_only_looks_at_first(campaign, program, capsys):
    before = await fingerprint(campaign)
    await asyncio.to_thread(execute, edited(program, campaign, changes=False))
    assert capsys.readouterr().out
    assert await fingerprint(campaign) == before


async def test_its_deletion_runs(campaign, capsys):
    await asyncio.to_thread(execute, edited(DELETION, campaign, changes=True))
    printed = capsys.readouterr().out.splitlines()
    would, were = (int(line.partition(" ")[0]) for line in printed)
    assert would == were > 1
    async with aiidadb.open_backend(campaign) as backend:
        assert (await backend.settings.get("last_cleanup")).value == {"nodes": were}


async def test_its_migration_runs(campaign, capsys):
    await asyncio.to_thread(execute, edited(MIGRATION, campaign, changes=True))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] in {"1.0.45", "main_0002"}
    assert printed[-1].startswith("main_0002 ")


ONE_LINE = pytest.mark.parametrize("campaign", ["django_0045"], indirect=True)


@ONE_LINE
async def test_its_commands_on_a_database_run(campaign):
    lines = re.findall(r"^aiidadb .*$", "\n".join(programs_of(README, "")), re.MULTILINE)
    assert [line.split()[-1] for line in lines] == ["--dry-run", "--check", "--plan", "NAME"]
    before = await fingerprint(campaign)
    for line in lines:
        # The last one asks; here it is answered beforehand.
        words = [campaign if word == DATABASE else word for word in line.split()]
        words = ["main" if word == "NAME" else word for word in words]
        words += ["--yes"] if words[-1] == "main" else []
        ended = await asyncio.to_thread(finished, [sys.executable, "-m", *words])
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout
        assert (await fingerprint(campaign) == before) == ("--yes" not in words)


def programs_to_run(dsn: str) -> list[str]:
    """What a reader runs, in an order in which all of it can run."""
    return [*READING, *(edited(one, dsn, changes=True) for one in (DELETION, MIGRATION))]


@ONE_LINE
async def test_its_programs_run_in_a_notebook(campaign, tmp_path):
    cells = [NOTEBOOK, *map(for_a_notebook, programs_to_run(campaign))]
    await run_as_cells(cells, tmp_path)


ASK_THE_SERVICE = """
import asyncio
import httpx


async def main() -> None:
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        print((await client.get("/statistics")).json()["total"])


asyncio.run(main())
"""


@ONE_LINE
async def test_its_programs_run_in_development_mode_without_a_warning(campaign, tmp_path):
    await run_as_scripts([f"{SERVICE}{ASK_THE_SERVICE}", *programs_to_run(campaign)], tmp_path)


@asynccontextmanager
async def serving() -> AsyncIterator[httpx.AsyncClient]:
    app = execute(SERVICE)["app"]
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def test_its_web_service_answers(campaign):
    async with serving() as client:
        statistics = (await client.get("/statistics")).json()
        assert statistics["total"] == NODES
        bands = (await client.get("/bands", params={"element": "Si"})).json()
        assert bands
        assert all("Si" in row["formula"] for row in bands)
        none = await client.get("/nodes/999999/structure")
        assert (none.status_code, none.json()["detail"]) == (
            404,
            "node 999999 comes from no structure",
        )
        refused = await client.get("/statistics", params={"timezone": "Atlantis"})
        assert (refused.status_code, "Atlantis" in refused.json()["detail"]) == (422, True)
        too_large = await client.get(f"/nodes/{2**70}/structure")
        assert too_large.status_code == 422


async def test_its_web_service_answers_a_hundred_requests_at_once(campaign):
    async with aiidadb.open_backend(aiidadb.load_profile()) as backend:
        rows = await backend.queries.get_bands_and_parents_structure(all_users=True)
        expected = await backend.queries.get_closest_parents(
            [row.pk for row in rows], node_type="data.core.structure.StructureData."
        )
    asked = [pk for pk in expected for _ in range(1 + 100 // len(expected))][:100]
    assert len(asked) == 100
    async with serving() as client:
        answers = await asyncio.gather(
            *(client.get(f"/nodes/{pk}/structure") for pk in asked),
            *(client.get("/statistics") for _ in range(10)),
        )
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json() for answer in answers[:100]] == [
        {"node": pk, "structure": expected[pk]} for pk in asked
    ]


async def test_its_web_service_says_when_the_database_is_away(campaign, databases):
    async with serving() as client:
        assert (await client.get("/statistics")).status_code == 200
        name = aiidadb.load_profile().database
        await databases.drop(databases.dsn(name))
        away = await client.get("/statistics")
    assert away.status_code == 503


async def test_its_web_service_says_when_all_connections_are_in_use(campaign):
    async with serving() as client:
        session = client._transport.app.state.backend._session
        session._taken._acquire_timeout = 0.2
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(session.pool.get_max_size()):
                await stack.enter_async_context(session.pool.acquire())
            busy = await client.get("/statistics")
        assert (busy.status_code, "connections" in busy.json()["detail"]) == (503, True)
        assert (await client.get("/statistics")).status_code == 200


async def test_its_web_service_says_when_no_server_can_be_reached(campaign):
    async with serving() as client:
        pool = client._transport.app.state.backend._session.pool
        pool.set_connect_args(host="127.0.0.1", port=1, connect_timeout=5)
        await pool.expire_connections()
        away = await client.get("/statistics")
        assert (away.status_code, "refused" in away.json()["detail"]) == (503, True)


def test_the_commands_that_ci_runs_stand_alone_on_a_line():
    for extra, then in (("demo", "python -m aiidadb demo"), ("test", "python -m pytest")):
        line = f"python -m pip install -e '.[{extra}]' && {then}"
        assert f"\n```\n{line}\n```\n" in README


@pytest.mark.quick
def test_the_wheel_that_it_installs_has_the_version_of_the_package():
    assert re.findall(r"dist/aiidadb-([\d.]+)-py3-none-any\.whl", README) == [aiidadb.__version__]


@pytest.mark.quick
def test_the_names_that_it_gives_exist():
    parts = {
        "queries": aiidadb.QueryManager,
        "schema": aiidadb.SchemaManager,
        "settings": aiidadb.SettingsManager,
    }
    named = set(re.findall(r"backend\.(\w+)\.(\w+)", README))
    assert len(named) > 5
    for part, method in named:
        assert hasattr(parts[part], method), f"backend.{part}.{method}"
    for name in re.findall(r"aiidadb\.([A-Za-z]\w+)", README):
        assert name in aiidadb.__all__ or name == "git", name
    # djsite's names that are the same here.
    for row in re.findall(r"^\| (.*) \| the same names on `backend\.(\w+)`", README, re.MULTILINE):
        for name in re.findall(r"\.(\w+)", row[0]):
            assert hasattr(parts[row[1]], name), f"backend.{row[1]}.{name}"


@pytest.mark.quick
def test_the_commands_and_options_that_it_gives_exist():
    section = README.partition("## On the command line")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        words = re.findall(r"`([^`]*)`", row)
        first = words[0].split()
        command: Any = command_line
        for word in first:
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
        assert command is not command_line, row
        known = {
            option
            for one in getattr(command, "params", ())
            for option in (*one.opts, *one.secondary_opts)  # as --follow, and as --no-follow
        }
        assert set(re.findall(r"--[\w-]+", words[0])) <= known, row
    for name in command_line.commands:
        assert f"`{name}" in section, name


@pytest.mark.quick
def test_the_files_that_it_links_to_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.quick
def test_its_figures_are_those_of_the_results():
    ended = finished([sys.executable, str(ROOT / "benchmarks" / "figures.py")])
    assert ended.returncode == 0, ended.stderr
    table = README.partition("<!-- begin of benchmarks/figures.py -->\n")[2]
    assert table.partition("<!-- end")[0].strip() == ended.stdout.strip()
    assert ended.stdout.count(" × |") == 5

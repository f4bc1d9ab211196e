"""The README tells the truth: its programs run as they stand, its names exist."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import types
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from pypika import Query

import aiidadb
from aiidadb.cli import aiidadb as command_line
from tests.helpers.campaigns import NODES, make_campaign, write_config
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.databases import Databases

README = (Path(__file__).parent.parent / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MIGRATION = "backend.schema.migrate("
(SERVICE,) = (program for program in PROGRAMS if "FastAPI" in program)
(NOTEBOOK,) = (program for program in PROGRAMS if program.startswith("import aiidadb\n\nbackend ="))
LAST_LINE = "asyncio.run(main())\n"


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def campaign(
    request: pytest.FixtureRequest,
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """AiiDA's default profile has a campaign, once in each line."""
    dsn = await make_campaign(databases, request.param)
    write_config(tmp_path, dsn)
    await make_repository(tmp_path / "repository", dsn)
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    await databases.drop(dsn)


async def make_repository(directory: Path, dsn: str) -> None:
    """AiiDA 1.x's file repository, with a file of one node."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        query = Query.from_(aiidadb.nodes).select(aiidadb.nodes.uuid).limit(1)
        uuid = str((await backend.queries.fetch(query))[0]["uuid"])
    folder = directory / "repository" / "node" / uuid[:2] / uuid[2:4] / uuid[4:] / "path"
    folder.mkdir(parents=True)
    (folder / "file.txt").write_text("content")


def execute(program: str) -> dict[str, Any]:
    module = types.ModuleType("from_the_readme")
    exec(compile(program, "README.md", "exec"), vars(module))
    return vars(module)


@pytest.mark.parametrize(
    "program",
    [one for one in PROGRAMS if one not in (SERVICE, NOTEBOOK) and MIGRATION not in one],
)
def test_its_programs_run(campaign, program, capsys):
    execute(program)
    assert capsys.readouterr().out


def test_its_migration_runs(campaign, capsys):
    (program,) = (one for one in PROGRAMS if MIGRATION in one)
    execute(program)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] in {"1.0.45", "main_0002"}
    assert printed[-1].startswith("main_0002 ")


ONE_LINE = pytest.mark.parametrize("campaign", ["django_0045"], indirect=True)

# Starts a kernel, and runs in it what comes in.
CELLS = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(startup_timeout=60)
told = []
try:
    for cell in json.load(sys.stdin):
        seen = []
        reply = client.execute_interactive(
            cell, timeout=60, output_hook=lambda message: seen.append(message["content"])
        )
        told.append((reply["content"]["status"], seen))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print(json.dumps(told, default=str))
"""


@ONE_LINE
async def test_its_programs_run_in_a_notebook(campaign, tmp_path):
    cells = [NOTEBOOK]
    for program in sorted(set(PROGRAMS) - {NOTEBOOK, SERVICE}, key=lambda one: MIGRATION in one):
        assert program.endswith(f"\n{LAST_LINE}")
        cells.append(program.replace(LAST_LINE, "await main()\n"))
    ended = await asyncio.to_thread(
        finished,
        [sys.executable, "-c", CELLS],
        input=json.dumps(cells),
        environment={"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path)},
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    for (status, seen), cell in zip(told, cells, strict=True):
        assert status == "ok", (cell, seen)
        assert not [one for one in seen if one.get("name") == "stderr"], seen
        assert [one for one in seen if one.get("name") == "stdout"], cell


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
    programs = sorted(set(PROGRAMS) - {NOTEBOOK, SERVICE}, key=lambda one: MIGRATION in one)
    for program in (f"{SERVICE}{ASK_THE_SERVICE}", *programs):
        file = tmp_path / "program.py"
        file.write_text(program)
        command = [sys.executable, "-X", "dev", "-W", "error", str(file)]
        ended = await asyncio.to_thread(finished, command)
        # That a step took long tells how busy the machine is.
        said = re.sub(
            r"^Executing <.*> took [\d.]+ seconds\n", "", ended.stderr, flags=re.MULTILINE
        )
        assert (ended.returncode, said) == (0, "")
        assert ended.stdout


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
        session._acquire_timeout = 0.2
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
            assert (Path(__file__).parent.parent / target).exists(), target

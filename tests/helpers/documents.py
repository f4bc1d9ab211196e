"""The programs of README and of the documents, and how they are run."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import types
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from pypika import Query

import aiidadb
from tests.helpers.campaigns import make_campaign, write_config
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tests.helpers.databases import Databases

__all__ = [
    "DOCUMENTS",
    "ROOT",
    "campaign_as_default",
    "execute",
    "for_a_notebook",
    "programs_of",
    "run_as_cells",
    "run_as_scripts",
]

ROOT: Final = Path(__file__).parent.parent.parent
"""The checkout."""

DOCUMENTS: Final = Path(aiidadb.__file__).parent / "docs"

_LAST_LINE: Final = "\nasyncio.run(main())\n"


def programs_of(text: str, language: str = "python") -> list[str]:
    """The blocks of a language, or of none (""), in a text in Markdown."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for of, block in blocks if of == language]


def execute(program: str) -> dict[str, Any]:
    """Run a program as a module; gives its names."""
    module = types.ModuleType("from_the_document")
    exec(compile(program, "document.md", "exec"), vars(module))
    return vars(module)


@asynccontextmanager
async def campaign_as_default(
    databases: Databases, schema: str, directory: Path
) -> AsyncIterator[str]:
    """AiiDA's default profile has a campaign, and a repository with a file; gives its DSN."""
    dsn = await make_campaign(databases, schema)
    write_config(directory, dsn)
    await _make_repository(directory / "repository", dsn)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AIIDA_PATH", str(directory))
        patched.chdir(directory)
        yield dsn
    await databases.drop(dsn)


async def _make_repository(directory: Path, dsn: str) -> None:
    """AiiDA 1.x's file repository, with a file of one node."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        query = Query.from_(aiidadb.nodes).select(aiidadb.nodes.uuid).limit(1)
        uuid = str((await backend.queries.fetch(query))[0]["uuid"])
    folder = directory / "repository" / "node" / uuid[:2] / uuid[2:4] / uuid[4:] / "path"
    folder.mkdir(parents=True)
    (folder / "file.txt").write_text("content")


def for_a_notebook(program: str) -> str:
    """A program in the form that it has in a cell."""
    assert program.endswith(_LAST_LINE)
    return program.replace(_LAST_LINE, "\nawait main()\n")


# Starts a kernel, and runs in it what comes in. They speak by sockets in the current directory:
# ports that are free when they are chosen can be another process's once the kernel asks for them.
_CELLS: Final = """
import json, sys
from jupyter_client.manager import KernelManager

manager = KernelManager(transport="ipc", ip="kernel")
manager.start_kernel()
client = manager.client()
client.start_channels()
answers = []
try:
    client.wait_for_ready(timeout=60)
    for cell in json.load(sys.stdin):
        seen = []
        reply = client.execute_interactive(
            cell, timeout=60, output_hook=lambda message: seen.append(message["content"])
        )
        answers.append((reply["content"]["status"], seen))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print(json.dumps(answers, default=str))
"""


async def run_as_cells(cells: list[str], directory: Path) -> None:
    """Run cells in a notebook's kernel: each has to print something, and no warning."""
    ended = await asyncio.to_thread(
        finished,
        [sys.executable, "-c", _CELLS],
        input=json.dumps(cells),
        environment={
            "IPYTHONDIR": str(directory / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(directory),
        },
    )
    assert ended.returncode == 0, ended.stderr
    for (status, seen), cell in zip(json.loads(ended.stdout), cells, strict=True):
        assert status == "ok", (cell, seen)
        assert not [one for one in seen if one.get("name") == "stderr"], seen
        shown = [one for one in seen if one.get("name") == "stdout" or "data" in one]
        assert shown or "print(" not in cell, cell


async def run_as_scripts(programs: Iterable[str], directory: Path) -> None:
    """Run programs in processes of their own, in development mode: without a warning."""
    for program in programs:
        file = directory / "program.py"
        file.write_text(program)
        command = [sys.executable, "-X", "dev", "-W", "error", str(file)]
        ended = await asyncio.to_thread(finished, command)
        # That a step took long says how busy the machine is.
        said = re.sub(
            r"^Executing <.*> took [\d.]+ seconds\n", "", ended.stderr, flags=re.MULTILINE
        )
        assert (ended.returncode, said) == (0, "")
        assert ended.stdout

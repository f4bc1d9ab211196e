"""What only the demo and benchmarks use is imported and read by nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Runs a script, and reports which of the package's modules it imported and what it opened or
# listed.
WATCHED = """
import contextlib, io, json, runpy, sys
touched = []
def watch(event, arguments):
    if event in {"open", "os.listdir", "os.scandir"}:
        touched.append(str(arguments[0]))
sys.addaudithook(watch)
with contextlib.redirect_stdout(io.StringIO()) as out:
    try:
        exec(sys.argv.pop(1))
    except SystemExit as ended:
        assert not ended.code, ended.code
modules = [name for name in sys.modules if name.startswith("aiidadb")]
print(json.dumps({"touched": touched, "modules": modules, "out": out.getvalue()}))
"""
COMMAND = 'runpy.run_module("aiidadb", run_name="__main__")'


def run_watched(script: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of_the_demo(seen: dict[str, object]) -> list[str]:
    modules = [name for name in seen["modules"] if name.startswith("aiidadb.demo")]
    files = [path for path in seen["touched"] if "sql/demo" in path or "aiidadb/demo" in path]
    return [*modules, *files]


def test_importing_the_package_touches_nothing_of_the_demo():
    seen = run_watched("import aiidadb")
    assert "aiidadb.sql" in seen["modules"]
    assert of_the_demo(seen) == []


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["status", "--help"]])
def test_help_touches_nothing_of_the_demo(arguments):
    seen = run_watched(COMMAND, *arguments)
    assert "Usage: " in seen["out"]
    assert of_the_demo(seen) == []


def test_a_command_touches_nothing_of_the_demo(main_dsn):
    seen = run_watched(COMMAND, "status", "--dsn", main_dsn)
    assert "main_0002" in seen["out"]
    assert of_the_demo(seen) == []


def test_the_watch_sees_what_the_demo_touches():
    seen = of_the_demo(run_watched("import aiidadb.demo.campaign"))
    assert "aiidadb.demo.campaign" in seen
    assert any(path.endswith("campaign_nodes.sql") for path in seen)

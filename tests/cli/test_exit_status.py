"""How commands end: one line on standard error, and the status that scripts expect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.command_line import fetch, locked, one_line
from tests.helpers.processes import LIMIT, finished, started
from tests.helpers.terminal import COMMAND


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate' (see aiidadb --help)"),
        (["stat"], "No such command 'stat': did you mean 'stats'? (see aiidadb --help)"),
        (["bands", "lst"], "did you mean 'list'? (see aiidadb bands --help)"),
        (["settings", "gte"], "did you mean 'get'?"),
        (["nodes", "delte", "1"], "did you mean 'delete'?"),
        (["stats", "--time", "UTC"], "No such option --time: did you mean '--timezone'? (see"),
        (["stats", "--frob"], "No such option"),
        (["stats", "--user", "x"], "'--user': 'x' is neither a pk nor an email address (see"),
        (["stats", "--days", "-1"], "--days"),
        (["--json"], "Missing command"),
        (["closest-parents"], "PKS"),
        (["closest-parents", "1", "--link-type", "x"], "--link-type"),
        (
            ["stats", "--dsn", "postgresql:///x", "--profile", "p"],
            "--dsn cannot be combined with --profile or --config (see",
        ),
        (["nodes", "delete", "1", "--json", "--dsn", "postgresql:///x"], "--yes or --dry-run"),
        (["nodes", "delete", "1", "--no-follow", "--no-create-forward"], "drop --no-follow"),
        (["bands", "list", "-A", "--past-days", "-1"], "days"),
        (["bands", "list", "-A", "--past-days", "nan"], "days"),
        (["bands", "list", "-A", "-p", "-inf"], "days"),
        (["bands", "list", "-A", "Si"], "unexpected"),
        (["--dsn", "postgresql:///x", "stats", "--dsn", "postgresql:///y"], "--dsn is given twice"),
        (["stats", "--profile", "x", "-p", "y"], "--profile is given twice"),
        (["--config", "a.json", "--config", "b.json", "stats"], "--config is given twice"),
        (["--repository", "a", "bands", "--repository", "b", "list"], "--repository is given"),
        (
            ["--dsn", "postgresql:///x", "stats", "--profile", "p"],
            "--dsn cannot be combined with --profile or --config (see",
        ),
        (["-p", "main", "demo"], "demo takes no --profile"),
        (["migrate", "--json", "--dsn", "postgresql:///x"], "--plan, --check, --sql or --dry-run"),
        (["init", "--to", "1.0.44", "--dsn", "postgresql:///x"], "--to"),
        (["settings", "set", "k", "text", "--dsn", "postgresql:///x"], "'\"text\"'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(run, arguments, message):
    assert message in one_line(run(*arguments), 2)


def test_errors_are_one_line_and_status_1(run, main_dsn, empty_dsn, tmp_path, monkeypatch):
    nowhere = "postgresql://postgres@127.0.0.1:9/x"
    assert "connection" in one_line(run("stats", "--dsn", nowhere), 1)
    assert "status" not in one_line(run("stats", "--dsn", empty_dsn, "--json"), 1)
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    assert "--config" in one_line(run("stats", "--config", tmp_path / "none.json"), 1)
    assert "AIIDA_PATH" in one_line(run("stats"), 1)
    secret = "postgresql://user:geheim@127.0.0.1:x/db"
    assert "geheim" not in one_line(run("stats", "--dsn", secret), 1)
    assert "Europe/Zurich" in one_line(run("stats", "--timezone", "Zurich", "--dsn", main_dsn), 1)
    assert "no way back" in one_line(run("migrate", "--to", "1.0.45", "--dsn", main_dsn), 1)
    assert "64 bits" in one_line(run("stats", "--dsn", main_dsn, "--user", 2**70), 1)


def test_an_old_database_is_sent_to_migrate(run, django_dsn):
    fetch(django_dsn, "delete from django_migrations where app = 'db' and name like '0045%'")
    fetch(django_dsn, """update db_dbsetting set val = '"1.0.44"' where key = 'db|schemaversion'""")
    said = one_line(run("stats", "--dsn", django_dsn), 1)
    assert said.endswith(": bring it up to date with `aiidadb migrate`\n")


def test_a_reader_that_leaves_is_no_error(main_campaign):
    for form in ([], ["--json"]):
        arguments = [*COMMAND, "bands", "list", "-A", "--dsn", main_campaign, *form]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            arguments, stdout=write, stderr=subprocess.PIPE, check=False, timeout=LIMIT
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_during_a_long_query_cancels_it_on_the_server(main_campaign, number, status):
    running = (
        "select pid from pg_stat_activity where datname = current_database() "
        "and application_name = 'aiidadb' and wait_event_type = 'Lock'"
    )
    with (
        locked(main_campaign, "db_dbnode"),
        started([*COMMAND, "stats", "--dsn", main_campaign]) as command,
    ):
        while not fetch(main_campaign, running):
            assert command.poll() is None  # it is killed where it takes too long
            time.sleep(0.05)
        command.send_signal(number)
        assert command.wait() == status
        assert command.stderr.read() == "Interrupted.\n"
        assert command.stdout.read() == ""
        assert not fetch(main_campaign, running)


def test_without_its_extra_it_says_which():
    for module in ("click", "rich"):
        script = f"import sys; sys.modules[{module!r}] = None; import aiidadb.__main__ as main; "
        done = finished([sys.executable, "-c", script + "main.main()"])
        assert done.returncode == 1
        assert (
            done.stderr == "Error: the command line needs its extra: pip install 'aiidadb[cli]'\n"
        )


def test_the_command_line_advises_what_can_be_done_there(run, main_dsn, tmp_path, monkeypatch):
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    assert one_line(run("stats"), 1).endswith(
        f"looked for {tmp_path / '.aiida'}; AIIDA_PATH is '{tmp_path}': correct it, or give "
        "--config or --dsn\n"
    )
    missing = tmp_path / "none.json"
    assert one_line(run("stats", "--config", missing), 1) == (
        f"Error: there is no configuration file {missing}: check --config\n"
    )
    said = one_line(run("bands", "list", "--user-email", "x@y", "--dsn", main_dsn), 1)
    assert said.endswith(" in the database: check --user-email, or add --all-users\n")


@pytest.mark.quick
def test_text_of_the_caller_is_not_rewritten(run, main_dsn):
    said = one_line(run("settings", "get", "pass all_users=True", "--dsn", main_dsn), 1)
    assert said == "Error: there is no setting 'pass all_users=True'\n"


@pytest.mark.parametrize(
    ("closed", "out"), [("<&-", "No nodes.\n"), (">&-", ""), ("2>&-", "No nodes.\n")]
)
def test_a_stream_that_the_shell_has_closed_is_empty_and_takes_all(main_dsn, closed, out):
    words = [*COMMAND, "stats", "--dsn", main_dsn]
    done = finished(["sh", "-c", f'exec "$@" {closed}', "sh", *words])
    assert (done.returncode, done.stdout, done.stderr) == (0, out, "")

"""``nodes delete``: shows, asks, deletes, and reports what was deleted."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest

from tests.helpers.campaigns import NODES, write_config
from tests.helpers.command_line import count, fetch, one_line
from tests.helpers.processes import LIMIT, finished
from tests.helpers.terminal import COMMAND, on_terminal, piped


def named(dsn: str) -> str:
    """A database as a question names it."""
    return f"the database {urlsplit(dsn).path[1:]}"


@pytest.mark.quick
def test_a_dry_run_deletes_nothing(run, main_campaign):
    of_structures = "node_type like 'data.core.structure.%'"
    first = fetch(main_campaign, f"select min(id) from db_dbnode where {of_structures}")[0][0]
    told = run("nodes", "delete", first, "--dsn", main_campaign, "--dry-run")
    assert told.status == 0
    assert re.match(
        rf"(\d+) nodes to delete in {named(main_campaign)}, \d+ of them by AiiDA's provenance "
        r"rules\n",
        told.out,
    )
    assert told.out.endswith("Nothing was deleted.\n")
    assert "links to nodes that stay" not in told.out
    # Both together, as verdi has them, is a dry run.
    verdi = run("nodes", "delete", first, "--follow", "-n", "-f", "--json", "--dsn", main_campaign)
    follow = verdi.json
    assert follow["dry_run"]
    assert follow["counts"]["nodes"] == len(follow["pks"]) > 1
    assert told.out.startswith(f"{len(follow['pks'])} nodes ")
    assert follow["spared"] == []
    assert count(main_campaign, "db_dbnode") == NODES


@pytest.mark.quick
def test_without_the_rules_it_says_what_is_cut_and_what_they_would_take(run, dsn):
    # An input of a calculation and what that created: one link between them both and others.
    first, created = fetch(
        dsn,
        "select taken.input_id, made.output_id from db_dblink as taken "
        "join db_dblink as made on made.input_id = taken.output_id and made.type = 'create' "
        "where taken.type = 'input_calc' order by taken.id limit 1",
    )[0]
    command = ("nodes", "delete", first, created, "--dsn", dsn)
    ruled = run(*command, "--dry-run", "--json").json
    bare = run(*command, "--no-follow", "--dry-run", "--json").json
    assert bare["pks"] == sorted([first, created])
    assert bare["spared"] == sorted(set(ruled["pks"]) - {first, created})
    pair = f"({first}, {created})"
    cut = f"(input_id in {pair}) <> (output_id in {pair})"
    assert bare["links_cut"] == count(dsn, f"db_dblink where {cut}") > 1
    told = run(*command, "--no-follow", "-n").out
    assert told.startswith(f"2 nodes to delete in {named(dsn)}\n")
    assert f"\nThis cuts {bare['links_cut']} links to nodes that stay.\n" in told
    spared = len(bare["spared"])
    title = f"{spared} more nodes that AiiDA's provenance rules would delete, and that stay"
    _, _, rest = told.partition(f"\n\n{title}\n")
    types = dict(line.split() for line in rest.splitlines()[1:-1])
    spared = ", ".join(map(str, bare["spared"]))
    assert types == {
        one["node_type"]: str(one["number"])
        for one in fetch(
            dsn,
            "select node_type, count(*) as number from db_dbnode "
            f"where id in ({spared}) group by node_type",
        )
    }
    assert run(*command, "--no-follow", "-f").status == 0
    assert count(dsn, "db_dbnode") == NODES - 2
    assert run("nodes", "delete", bare["spared"][0], "-y", "--dsn", dsn).status == 0


def test_a_node_that_is_linked_to_nothing_goes_alone(run, main_campaign):
    alone = fetch(
        main_campaign,
        "with cut as (delete from db_dblink where input_id = 8 or output_id = 8) "
        "select id from db_dbnode where id = 8",
    )[0][0]
    for form in ([], ["--no-follow"]):
        told = run("nodes", "delete", alone, "-n", *form, "--dsn", main_campaign).out
        assert told.startswith(f"1 node to delete in {named(main_campaign)}\n")
        assert "rules" not in told
        assert "stay" not in told


@pytest.mark.quick
def test_what_was_deleted_is_told(run, dsn):
    told = run("nodes", "delete", NODES, "--yes", "--dsn", dsn, "--json").json
    assert NODES in told["pks"]
    left = NODES - len(told["pks"])
    assert count(dsn, "db_dbnode") == left
    for form in (["--yes"], ["--no-follow", "--yes"], ["--strict", "-f"], []):
        wrong = run("nodes", "delete", NODES - 1, NODES, *form, "--dsn", dsn)
        assert "nothing was deleted: there is no node" in one_line(wrong, 1)
    assert count(dsn, "db_dbnode") == left


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y", 0, NODES - 1), ("n", 1, NODES), ("", 1, NODES)]
)
def test_it_asks_before_it_deletes(main_campaign, answer, status, left):
    with on_terminal(
        "nodes", "delete", str(NODES), "--no-follow", "--dsn", main_campaign
    ) as terminal:
        terminal.wait_for(f"Delete 1 node from {named(main_campaign)}? [y/N] ")
        terminal.send(f"{answer}\n")
        assert terminal.finish() == status
    assert ("Deleted 1 node" in terminal.text) == (status == 0)
    assert ("Deleting" in terminal.text and "1 of 1" in terminal.text) == (status == 0)
    assert count(main_campaign, "db_dbnode") == left


def test_ctrl_c_ends_the_question_at_once_and_no_connection_waits_for_it(main_campaign):
    with on_terminal(
        "nodes", "delete", str(NODES), "--no-follow", "--dsn", main_campaign
    ) as terminal:
        terminal.wait_for(f"Delete 1 node from {named(main_campaign)}? [y/N] ")
        end = time.monotonic() + LIMIT
        while fetch(
            main_campaign,
            "select pid from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and application_name = 'aiidadb'",
        ):
            assert time.monotonic() < end, "a connection waits for the answer"
            time.sleep(0.2)  # the server takes note of a connection's end in its own time
        terminal.send("\x03")
        assert terminal.finish() == 130
    assert terminal.text.endswith("Interrupted.\n")
    assert count(main_campaign, "db_dbnode") == NODES


def test_the_question_names_the_profile(main_campaign, tmp_path):
    config = str(write_config(tmp_path, main_campaign))
    done = piped("nodes", "delete", str(NODES), "--no-follow", "--config", config, stdin="n\n")
    where = f"{named(main_campaign)} (profile main)"
    assert (done.returncode, done.stderr) == (1, f"Delete 1 node from {where}? [y/N] ")
    assert done.stdout.startswith(f"1 node to delete in {where}\n")


def test_nobody_to_answer_is_an_error(main_campaign):
    done = piped("nodes", "delete", str(NODES), "--no-follow", "--dsn", main_campaign)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "Error: nothing was changed, because no answer could be read: add --yes\n"
    )
    words = [*COMMAND, "nodes", "delete", str(NODES), "--no-follow", "--dsn", main_campaign]
    closed = finished(["sh", "-c", 'exec "$@" <&-', "sh", *words])
    assert (closed.returncode, closed.stderr) == (1, done.stderr)
    agreed = piped(
        "nodes", "delete", str(NODES), "--no-follow", "--dsn", main_campaign, stdin="y\n"
    )
    assert agreed.returncode == 0

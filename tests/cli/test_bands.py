"""``bands list``: listed and selected."""

from __future__ import annotations

import datetime
import re

import pytest

from aiidadb.demo.campaign import GROUPS, USERS
from tests.helpers.campaigns import write_config
from tests.helpers.command_line import fetch, one_line


@pytest.mark.quick
def test_bands_are_listed_and_selected(run, main_campaign):
    every = run("bands", "list", "--all-users", "--dsn", main_campaign, "--json").json
    assert {"pk", "formula", "ctime", "label", "structure_pk"} <= set(every[0])
    told = run("bands", "list", "-A", "--dsn", main_campaign).out.splitlines()
    assert told[0] == f"{len(every)} band structures"
    assert told[1].split() == ["Pk", "Formula", "Structure", "Created", "Label"]
    assert len(told) == 2 + len(every)
    mine = run("bands", "list", "--user-email", USERS[0], "--dsn", main_campaign, "--json").json
    assert 0 < len(mine) < len(every)
    group = run("bands", "list", "-A", "--group", GROUPS[0], "--dsn", main_campaign, "--json").json
    assert 0 < len(group) < len(every)
    silicon = run("bands", "list", "-A", "--element", "Si", "--dsn", main_campaign, "--json").json
    assert silicon
    assert all("Si" in row["formula"] for row in silicon)
    counted = run(
        "bands", "list", "-A", "--formula-mode", "count", "--dsn", main_campaign, "--json"
    ).json
    assert [row["pk"] for row in counted] == [row["pk"] for row in every]


@pytest.mark.quick
def test_the_structure_of_bands_is_the_closest_over_the_links_asked_for(run, main_campaign):
    asked = ("bands", "list", "-A", "--dsn", main_campaign)
    used = run(*asked, "--json").json
    first = run(*asked).out.splitlines()[2].split()
    assert first[:3] == [
        str(used[0]["pk"]),
        used[0]["formula"],
        str(used[0]["structure_pk"]),
    ]
    data = run(*asked, "--link-type", "create", "--link-type", "input_calc", "--json").json
    assert {row["structure_pk"] for row in data} - {None} <= {row["structure_pk"] for row in used}
    given = run(*asked, "--link-type", "return", "--link-type", "input_work", "--json").json
    assert [row["pk"] for row in given] == [row["pk"] for row in used]
    assert given != used
    created = run(*asked, "--link-type", "create", "--json").json
    assert {row["formula"] for row in created} == {"<<NOT FOUND>>"}
    assert {row["structure_pk"] for row in created} == {None}
    assert run(*asked, "--link-type", "made").status == 2
    assert run(*asked, "--limit", "3", "--json").json == used[:3]
    assert run(*asked, "--limit", "1").out.splitlines()[0] == "1 band structure"
    assert run(*asked, "--limit", "0").status == 2


def test_bands_of_times_that_python_cannot_hold_are_listed(run, main_dsn):
    fetch(
        main_dsn,
        "insert into db_dbuser (id, email, first_name, last_name, institution) "
        "values (1, 'ada@epfl.ch', '', '', '')",
    )
    fetch(
        main_dsn,
        "insert into db_dbnode (uuid, node_type, label, description, ctime, mtime, user_id, "
        "attributes, extras, repository_metadata) "
        "select gen_random_uuid(), 'data.core.array.bands.BandsData.', '', '', time, now(), 1, "
        "'{}', '{}', '{}' from unnest(array["
        "'infinity', '0044-03-15 12:00+00 BC', '2024-05-17 09:30+00', '12026-01-01 00:00+00'"
        "]::timestamptz[]) as given (time)",
    )
    listed = run("bands", "list", "-A", "--dsn", main_dsn)
    assert [re.sub(r".*>> +", "", line).strip() for line in listed.out.splitlines()[2:]] == [
        "15 Mar 0044 BC",
        "17 May 2024",
        "01 Jan 12026",
        "infinity",
    ]
    rows = run("bands", "list", "-A", "--dsn", main_dsn, "--json").json
    assert [row["ctime"] for row in rows] == [None, "2024-05-17T09:30:00+00:00", None, None]
    assert [(row["problem"] or "").partition(":")[0] for row in rows] == [
        "ctime 0044-03-15 12",
        "",
        "ctime 12026-01-01 00",
        "ctime infinity",
    ]


def test_bands_without_a_default_user_say_what_to_add(run, main_campaign):
    nobody = run("bands", "list", "--dsn", main_campaign)
    assert nobody.status == 2
    assert re.fullmatch(r"Error: .*--user-email EMAIL, or --all-users .*\n", nobody.err)


@pytest.mark.quick
def test_the_database_is_looked_at_before_its_user(run, empty_dsn, bare_dsn, tmp_path):
    assert "the database is empty" in one_line(run("bands", "list", "--dsn", empty_dsn), 1)
    fetch(empty_dsn, "create table foreign_table (id integer)")
    assert "not an AiiDA database" in one_line(run("bands", "list", "--dsn", empty_dsn), 1)
    config = write_config(tmp_path, bare_dsn)  # has a default user, and the database has none
    assert one_line(run("bands", "list", "--config", config), 1).endswith(
        " is not in the database: add --user-email EMAIL, or --all-users\n"
    )


@pytest.mark.quick
def test_in_place_of_a_number_of_days_a_profile_is_recognised(run):
    for days in ("main", "1x", ""):
        assert one_line(run("bands", "list", "-p", days), 2) == (
            f"Error: Invalid value for '--past-days' / '-p': {days!r} is not a number of days; for "
            "a profile use --profile (see aiidadb bands list --help)\n"
        )
    assert "a number of days is 0 or more, not -1.0" in one_line(run("bands", "list", "-p-1"), 2)


@pytest.mark.quick
def test_the_short_options_are_those_of_verdi(run, shared_campaign):
    def listed(*arguments: object) -> list[int]:
        command = ("--dsn", shared_campaign, "--json", "bands", "list")
        return [row["pk"] for row in run(*command, *arguments).json]

    every = listed("-A")
    assert listed("-A", "--user-email", USERS[0]) == every
    age = 365 * 100
    assert listed("-A", "-p", age) == listed("--all-users", "--past-days", age) == every
    assert listed("-A", "-p", 0) == []
    # Several values behind one option.
    two = listed("-A", "--group", GROUPS[0], "--group", GROUPS[1])
    assert listed("-A", "-G", GROUPS[0], GROUPS[1]) == two == listed("-G", *GROUPS[:2], "-A")
    assert listed("-A", f"--groups={GROUPS[0]}", GROUPS[1]) == two
    either = listed("-A", "--element", "Si", "--element", "O")
    assert listed("-A", "-e", "Si", "O") == listed("--with-elements", "Si", "O", "-A") == either
    assert listed("-AeSi", "O") == listed("-eSi", "O", "-A") == listed("-Ae", "Si", "O") == either
    both = listed("-A", "--element-only", "O", "--element-only", "Ti")
    assert listed("-A", "-E", "O", "Ti") == both
    assert listed("-A", "--with-elements-exclusive", "O", "Ti") == both
    assert set(both) < set(either) < set(every)
    mode = ("-A", "--dsn", shared_campaign, "--json")
    compact = run("bands", "list", "-f", "hill_compact", *mode).json
    assert compact == run("bands", "list", "--formula-mode", "hill_compact", *mode).json
    raw = run("bands", "list", "-A", "-r", "--dsn", shared_campaign).out.splitlines()
    assert len(raw) == len(every)
    assert [int(line.split()[0]) for line in raw] == every
    rows = run("bands", "list", "-A", "--dsn", shared_campaign, "--json").json
    day = datetime.datetime.fromisoformat(rows[0]["ctime"]).strftime("%d %b %Y")
    assert raw[0].split() == [
        str(rows[0]["pk"]),
        rows[0]["formula"],
        *day.split(),
        rows[0]["label"],
    ]


def test_verdi_has_these_options(aiida_home):
    from aiida.cmdline.commands.cmd_data.cmd_bands import bands_list

    from aiidadb.cli.bands import list_bands

    ours = {name for option in list_bands.params for name in option.opts}
    theirs = {name for option in bands_list.params for name in option.opts}
    assert theirs <= ours

"""``bands list``: listed and selected."""

from __future__ import annotations

import re

import pytest

from aiidadb.demo.campaign import GROUPS, USERS


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


def test_bands_without_a_default_user_say_what_to_add(run, main_campaign):
    nobody = run("bands", "list", "--dsn", main_campaign)
    assert nobody.status == 2
    assert re.fullmatch(r"Error: .*--user-email EMAIL, or --all-users .*\n", nobody.err)
    unknown = run("bands", "list", "--user-email", "x@y", "--dsn", main_campaign)
    assert unknown.status == 1
    assert re.fullmatch(r"Error: .*'x@y'.*: add --all-users .*\n", unknown.err)

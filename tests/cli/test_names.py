"""Names that mean nothing: one line that says which, and status 1."""

from __future__ import annotations

import pytest

from aiidadb.cli.names import _meaning
from aiidadb.demo.campaign import GROUPS, USERS
from tests.helpers.command_line import fetch, one_line

STRUCTURE = "data.core.structure.StructureData."
NEW_GROUP = (
    "insert into db_dbgroup (uuid, label, type_string, time, description, extras, user_id) "
    "select '{uuid}', '{label}', '{type}', now(), '', '{{}}', min(id) from db_dbuser returning id"
)


def add_group(dsn: str, uuid: str, label: str, type_string: str = "core") -> int:
    return fetch(dsn, NEW_GROUP.format(uuid=uuid, label=label, type=type_string))[0][0]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["stats", "--user", "99"],
            f"there is no user 99: the users are 1 ({USERS[0]}), 2 ({USERS[1]}), 3 (",
        ),
        (["stats", "--user", 2**70], "64 bits"),
        (["stats", "--user", "ada@epfl.c"], f"no user 'ada@epfl.c': did you mean {USERS[0]!r}?"),
        (["stats", "--user", "?@"], f"there is no user '?@': the users are 1 ({USERS[0]}), 2 ("),
        (["closest-parents", "5", "9998", "9999"], "there are no nodes 9998, 9999"),
        (["closest-parents", "0"], "there is no node 0"),
        (["nodes", "delete", "8", "9999", "-n"], "nothing was deleted: there is no node 9999"),
        (["nodes", "delete", "9999", "-f", "--no-follow"], "there is no node 9999"),
        (
            ["closest-parents", "5", "--type", "StructureData"],
            f"'StructureData'; subclasses are not searched: did you mean {STRUCTURE!r}?",
        ),
        (["closest-parents", "5", "--type", "data.structure.StructurData."], f"n {STRUCTURE!r}?"),
        (
            ["closest-parents", "5", "--type", STRUCTURE[:-1]],
            f"did you mean {STRUCTURE!r} (with the final dot)?",
        ),
        (
            ["closest-parents", "5", "--type", "process."],
            "not searched: give one exact type, such as 'process.workflow.work",
        ),
        (["closest-parents", "5", "--type", "%"], "no node has exactly the type '%'; subclasses"),
        (
            ["closest-parents", "5", "--type", "data.array.ArrayData."],
            "did you mean 'data.core.array.bands.BandsData.'?",
        ),
        (
            ["closest-parents", "5", "--type", "process.ProcessNode."],
            "not searched: give the exact type, such as 'process.calculation.calcfunction.Calc",
        ),
        (
            ["bands", "list", "-A", "--element", "si", "--element-only", "Zz"],
            "there are no elements 'si', 'Zz': did you mean Si?",
        ),
        (
            ["bands", "list", "-A", "-e", "Si,C"],
            "no element 'Si,C': give several one after the other, without commas: Si C",
        ),
        (["bands", "list", "-A", "-E", "si, o; c"], "after the other, without commas: Si O C"),
        (
            ["bands", "list", "-A", "--group", "semiconductor"],
            "there is no group 'semiconductor': did you mean 'semiconductors'?",
        ),
        (
            ["bands", "list", "-A", "--group", ",".join(GROUPS[:2])],
            f"give several one after the other, without commas: {' '.join(GROUPS[:2])}",
        ),
        (["bands", "list", "-A", "--group-pk", "98", "99"], "there are no groups 98, 99"),
        (["bands", "list", "-A", "-G", "9" * 400, "f" * 33], "there are no groups"),
        (["bands", "list", "-A", "--user-email", "ada@epfl.c"], f"did you mean {USERS[0]!r}?"),
        (
            ["bands", "list", "--user-email", "x@y"],
            "no user with the email address 'x@y' in the database: check --user-email, or add -",
        ),
        (["bands", "list", "-A", "--user-email", "x@y"], "'x@y' in the database: check --user-"),
        (["settings", "get", "nothing"], "there is no setting 'nothing'"),
    ],
)
def test_a_wrong_name_is_an_error(run, shared_campaign, arguments, message):
    for form in ([], ["--json"]):
        form = ["--yes", *form] if arguments[0] == "nodes" and form else form
        assert message in one_line(run(*arguments, *form, "--dsn", shared_campaign), 1)


def test_where_there_are_no_users_none_are_listed(run, bare_dsn):
    said = one_line(run("stats", "--user", "77", "--dsn", bare_dsn), 1)
    assert "there is no user 77: the database has no users" in said


def test_many_wrong_names_make_a_short_message(run, shared_campaign):
    pks = range(10_000, 10_400)
    said = one_line(run("closest-parents", *pks, "--dsn", shared_campaign), 1)
    assert said.endswith("10008, 10009 and 390 more\n")
    labels = [letter * 300 for letter in "ghijklmnopqrs"]
    said = one_line(run("bands", "list", "-A", "-G", *labels, "--dsn", shared_campaign), 1)
    assert len(said) < 510


def test_either_spelling_of_a_type_is_right(run, dsn):
    for node_type in (STRUCTURE, STRUCTURE.replace("core.", "")):
        assert run("closest-parents", "5", "--type", node_type, "--dsn", dsn).status == 0


def test_that_there_are_no_structures_is_an_answer_to_those_who_named_none(run, main_dsn):
    fetch(
        main_dsn,
        "with person as (insert into db_dbuser (email, first_name, last_name, institution) "
        "values ('ada@epfl.ch', '', '', '') returning id) "
        "insert into db_dbnode (id, uuid, node_type, process_type, label, description, ctime, "
        "mtime, user_id, attributes, extras, repository_metadata) select 5, gen_random_uuid(), "
        "'data.core.int.Int.', '', '', '', now(), now(), id, '{}', '{}', '{}' from person",
    )
    told = run("closest-parents", "5", "--dsn", main_dsn)
    assert told.out.splitlines()[-1].split() == ["5", "none"]
    named = run("closest-parents", "5", "--type", STRUCTURE, "--dsn", main_dsn)
    assert "no node has exactly the type" in one_line(named, 1)


def test_a_group_is_its_pk_its_uuid_or_its_label_as_for_verdi(run, main_campaign):
    def listed(*groups: object) -> list[int]:
        command = ("bands", "list", "-A", "--json", "--dsn", main_campaign)
        return [row["pk"] for row in run(*command, "--group", *groups).json]

    pk, uuid = fetch(
        main_campaign, f"select id, uuid::text from db_dbgroup where label = '{GROUPS[0]}'"
    )[0]
    by_label = listed(GROUPS[0])
    assert by_label
    for identifier in (pk, uuid, uuid.replace("-", ""), uuid[:13], uuid.upper(), f"{GROUPS[0]}!"):
        assert listed(identifier) == by_label, identifier
    both = listed(GROUPS[0], GROUPS[1])
    assert set(both) == {*by_label, *listed(GROUPS[1])}
    # With --group-pk too, it is the groups that are among both.
    assert listed(GROUPS[0], GROUPS[1], "--group-pk", pk) == by_label

    add_group(main_campaign, "ffffffff-0000-4000-8000-000000000001", "2024")
    add_group(main_campaign, "ffffffff-0000-4000-8000-000000000002", "beef")
    assert (
        listed("2024!") == listed("beef!") == listed("ffffffff-0000-4000-8000-000000000001") == []
    )
    run_list = ("bands", "list", "-A", "--dsn", main_campaign, "--group")
    assert "did you mean '2024!', 'beef!'?" in one_line(run(*run_list, "2024", "beef"), 1)
    assert "means several groups" in one_line(run(*run_list, "ffffffff"), 1)
    other = add_group(main_campaign, "ffffffff-0000-4000-8000-000000000003", "2024", "core.auto")
    assert f"{other}\n" in one_line(run(*run_list, "2024!"), 1)


@pytest.mark.parametrize(
    "identifier",
    [
        "1", "12", " 12 ", "1_000", "-1", "12-", "1-2", "beef", "BEEF", "be-ef", "123e", "label",
        "metals", "1!", "beef!", "label!", "label!!", "-", "a b", "face.", "0b1", "٣",
    ],
)  # fmt: skip
def test_identifiers_are_read_as_aiida_reads_them(identifier, aiida_home):
    from aiida.orm.utils.loaders import GroupEntityLoader

    _, kind = GroupEntityLoader.infer_identifier_type(identifier)
    column = {"ID": "id", "UUID": "uuid", "LABEL": "label"}[kind.value]
    meant = _meaning(identifier)
    if meant is None:
        assert (kind.value, int(identifier) < 1) == ("ID", True)
    else:
        assert {field.name for field in meant.fields_()} == {column}

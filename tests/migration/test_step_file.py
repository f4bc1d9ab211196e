"""The SQL file of one step: what its header must say, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import SqlFileError
from aiidadb.migration.step_file import MigrationStep, OwnTrigger, read_steps
from aiidadb.migration.steps import PYTHON_STEPS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.quick

HEADER = """\
-- migration: django_0002
-- from: 1.0.1
-- to: 1.0.2
-- changes: something
-- why: for this test
-- tables: db_dbnode
-- drops: db_dbpath, db_dbnode.public
-- retypes: db_dbnode.uuid
-- remakes: db_dbnode.type, db_dbnode.label

"""


def read(path: Path) -> MigrationStep:
    (step,) = read_steps(path, {step.name: step for step in PYTHON_STEPS})
    return step


def test_a_header_tells_what_a_step_drops_retypes_and_remakes(tmp_path: Path) -> None:
    path = tmp_path / "0002_step.sql"
    path.write_text(HEADER + "select 1;")
    step = read(path)
    assert step.tables == ("db_dbnode",)
    assert step.drops == ("db_dbpath", "db_dbnode.public")
    assert step.retypes == ("db_dbnode.uuid",)
    assert step.remakes == ("db_dbnode.type", "db_dbnode.label")


def test_a_header_tells_a_trigger_and_a_foreign_key_that_a_step_drops(tmp_path: Path) -> None:
    path = tmp_path / "0002_step.sql"
    trigger = "trigger mine after insert on db_dblink for each row\n--     execute function a()"
    function = f"function a() with source {'0' * 32}"
    told = f"db_dbpath, {trigger}, {function}, foreign key mine.kind"
    path.write_text(HEADER.replace("db_dbpath", told) + "select 1;")
    step = read(path)
    assert step.drops == ("db_dbpath", "db_dbnode.public")
    assert step.drops_foreign_keys == ("mine.kind",)
    definition = "create trigger mine after insert on db_dblink for each row execute function a()"
    assert step.drops_trigger == OwnTrigger("mine", "db_dblink", definition, "a()", "0" * 32)
    for half in (trigger, function, f"{trigger}, {function.replace('a()', 'b()')}"):
        path.write_text(HEADER.replace("db_dbpath", half) + "select 1;")
        with pytest.raises(SqlFileError, match="trigger goes with the function that it calls"):
            read(path)


@pytest.mark.parametrize(
    "body",
    [
        "update db_dbnode set label = 'begin; commit;';",
        "-- commit;\nselect 1;",
        "do $$ begin perform 1; end $$;",
        "select 'it''s; rollback;';",
        'select 1 as "commit; begin";',
        "/* vacuum; */ select 1;",
        "-- call: export_logs",
        "set constraints all deferred;",
        "create index on db_dbnode (label);",
    ],
)
def test_a_step_may_hold_what_leaves_the_transaction_alone(tmp_path: Path, body: str) -> None:
    path = tmp_path / "0002_step.sql"
    path.write_text(HEADER + body)
    assert read(path).parts


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("begin; select 1; commit;", "'begin'.*runner alone"),
        ("select 1; COMMIT;", "'COMMIT'.*runner alone"),
        ("select 1;\nend;", "'end'.*runner alone"),
        ("select 1; rollback", "'rollback'.*runner alone"),
        ("abort;", "'abort'.*runner alone"),
        ("start  transaction;", "'start transaction'.*runner alone"),
        ("savepoint a;", "'savepoint'.*runner alone"),
        ("release savepoint a;", "'release'.*runner alone"),
        ("/* so */ prepare transaction 'a';", "'prepare transaction'.*runner alone"),
        ("vacuum db_dbnode;", "'vacuum'.*inside a transaction"),
        ("create index concurrently a on b (c);", "concurrently'.*inside a transaction"),
        ("create unique index concurrently a on b (c);", "concurrently'.*inside a transaction"),
        ("drop index concurrently a;", "concurrently'.*inside a transaction"),
        ("reindex table concurrently a;", "concurrently'.*inside a transaction"),
        ("copy a from stdin;", "'copy a from stdin'.*data along"),
        ("delete from a where id = $1;", r"no parameters such as \$1"),
        ("-- call: do_something_else", "no step written in Python named 'do_something_else'"),
        ("-- nothing but this", "nothing to execute"),
    ],
)
def test_a_step_that_would_end_its_transaction_is_refused(
    tmp_path: Path, body: str, message: str
) -> None:
    path = tmp_path / "0002_step.sql"
    path.write_text(HEADER + body)
    with pytest.raises(SqlFileError, match=f"0002_step.sql: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("old_line", "new_line", "message"),
    [
        ("-- why: for this test\n", "", "lacks why"),
        ("-- why: for this test", "-- reason: for this test", "why"),
        ("-- why: ", "-- extra: a\n-- why: ", "unknown keys extra"),
        ("-- to: 1.0.2", "-- to: 1.0.3", "django_0002, but leads to 1.0.3"),
        ("-- to: 1.0.2", "-- to: tomorrow", "not a schema version"),
        ("-- tables: db_dbnode", "-- tables: db_dbnode; drop", "not the name of a table"),
        ("-- tables: db_dbnode", "-- tables: db_dbnode.uuid", "not the name of a table"),
        (
            "-- drops: db_dbpath",
            "-- drops: public.db_dbpath.id",
            "drops is not the name of a table",
        ),
        ("db_dbpath, db", "db_dbpath,, db", "'' in the header's drops"),
        ("-- retypes: db_dbnode.uuid", "-- retypes: db_dbnode", "retypes is not table.column"),
        ("-- retypes: db_dbnode.uuid", "-- retypes:", "'' in the header's retypes"),
        ("db_dbnode.label", "label", "remakes is not table.column"),
        ("db_dbnode.label", "db_dbnode.type", "remakes has a name twice"),
    ],
)
def test_a_header_that_is_not_sound_is_refused(
    tmp_path: Path, old_line: str, new_line: str, message: str
) -> None:
    path = tmp_path / "0002_step.sql"
    path.write_text(HEADER.replace(old_line, new_line) + "select 1;")
    with pytest.raises(SqlFileError, match=f"0002_step.sql: .*{message}"):
        read(path)


OF_TWO_LINES = """\
-- migration: django_0045
-- from: 1.0.44
-- to: 1.0.45
-- also: 0edcdd5a30f0
-- changes: something
-- sqlalchemy changes: less
-- why: for this test
-- tables: db_dbgroup, auth_group
-- sqlalchemy tables: db_dbgroup
-- drops: auth_group
-- sqlalchemy drops: none
-- rows: select 1

select 'for both';
-- django alone:
select 'for Django';
-- sqlalchemy alone:
select 'for SQLAlchemy';
-- call: export_logs
-- both lines:
select 'for both again';
"""


def read_both(path: Path) -> tuple[MigrationStep, ...]:
    return read_steps(path, {step.name: step for step in PYTHON_STEPS})


def test_a_file_that_serves_both_lines_is_read_for_each(tmp_path: Path) -> None:
    path = tmp_path / "0045_step.sql"
    path.write_text(OF_TWO_LINES)
    django, sqlalchemy = read_both(path)
    assert (str(django.version), str(django.origin), django.name) == (
        "1.0.45", "1.0.44", "0045_step",
    )  # fmt: skip
    assert (str(sqlalchemy.version), str(sqlalchemy.origin), sqlalchemy.name) == (
        "0edcdd5a30f0", "bf591f31dd12", "44_0edcdd5a30f0_step",
    )  # fmt: skip
    assert django.file == sqlalchemy.file == "0045_step"
    assert (django.changes, sqlalchemy.changes) == ("something", "less")
    assert (django.tables, sqlalchemy.tables) == (("db_dbgroup", "auth_group"), ("db_dbgroup",))
    assert (django.drops, sqlalchemy.drops) == (("auth_group",), ())
    assert django.row_count == sqlalchemy.row_count == "select 1"
    assert django.python_steps == ()
    assert [step.name for step in sqlalchemy.python_steps] == ["export_logs"]
    scripts = [
        " ".join(part for part in step.parts if isinstance(part, str))
        for step in (django, sqlalchemy)
    ]
    assert [[text for text in ("both;", "Django", "SQLAlchemy", "again") if text.replace(";", "'")
             in script] for script in scripts] == [
        ["both;", "Django", "again"], ["both;", "SQLAlchemy", "again"],
    ]  # fmt: skip
    assert django.bookkeeping == "select pg_temp.aiidadb_note_step('0045_step', '1.0.45');"
    assert sqlalchemy.bookkeeping == "select pg_temp.aiidadb_note_revision('0edcdd5a30f0');"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- also: 0edcdd5a30f0\n", "", "whose header names two"),
        ("-- also: 0edcdd5a30f0", "-- also: 0edcdd5a30f1", "not a schema version"),
        ("-- also: 0edcdd5a30f0", "-- also: 1.0.46", "not a revision of the sqlalchemy line"),
        ("-- sqlalchemy drops", "-- sqlalchemy to", "unknown keys sqlalchemy to"),
        ("-- sqlalchemy drops", "-- django drops", "drops is not the name of a table"),
    ],
)
def test_a_file_that_tells_wrongly_of_another_line_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "0045_step.sql"
    path.write_text(OF_TWO_LINES.replace(old, new))
    with pytest.raises(SqlFileError, match=f"0045_step.sql: .*{message}"):
        read_both(path)


def test_a_file_of_one_line_has_no_parts_of_another(tmp_path: Path) -> None:
    path = tmp_path / "0002_step.sql"
    path.write_text(HEADER + "-- django alone:\nselect 1;")
    with pytest.raises(SqlFileError, match="step of one line, with parts of another"):
        read(path)

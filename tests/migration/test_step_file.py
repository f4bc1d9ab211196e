"""The SQL file of one step: what its header must say, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import SqlFileError
from aiidadb.migration.step_file import MigrationStep, OwnTrigger, read_step
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
    return read_step(path, {step.name: step for step in PYTHON_STEPS})


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
        ("-- to: 1.0.2", "-- to: tomorrow", "no schema version"),
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

"""The tree of errors, and the table that turns the driver's into ours."""

import concurrent.futures
import copy
import inspect
import multiprocessing
import pickle
import re

import asyncpg
import pytest

from aiidadb import exceptions
from aiidadb.exceptions import (
    AiidaDbError,
    AuthenticationError,
    ConcurrencyError,
    DatabaseError,
    IntegrityError,
    InvalidInputError,
    LockTimeout,
    PermissionDenied,
    QueryTimeout,
    ReadOnlyDatabase,
    ResourceError,
    UnknownOutcome,
    UnreachableStorage,
    translate,
)

pytestmark = pytest.mark.quick

CLASSES = {
    name: one for name, one in vars(exceptions).items()
    if inspect.isclass(one) and issubclass(one, AiidaDbError)
}  # fmt: skip


def test_every_error_is_of_the_one_root_and_public():
    assert exceptions.__all__ == sorted(exceptions.__all__)
    assert set(exceptions.__all__) == {*CLASSES, "translate"}


def test_the_tree_in_the_docstring_is_the_tree_of_the_code():
    drawn = {}
    above = {}
    for line in exceptions.__doc__.splitlines():
        found = re.match(r"    ([│├└─ ]*)(\w+)(?: \((\w+)\))?(?:  |$)", line)
        if found and found[2] in CLASSES:
            depth = len(found[1]) // 4
            above[depth] = found[2]
            drawn[found[2]] = above.get(depth - 1)
    assert drawn.pop("AiidaDbError") is None
    assert drawn == {
        name: one.__bases__[0].__name__ for name, one in CLASSES.items() if one is not AiidaDbError
    }


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08003", UnreachableStorage),
        ("08006", UnreachableStorage),
        ("23503", IntegrityError),
        ("23505", IntegrityError),
        ("25006", ReadOnlyDatabase),
        ("28P01", AuthenticationError),
        ("3D000", AuthenticationError),
        ("40001", ConcurrencyError),
        ("40P01", ConcurrencyError),
        ("40003", UnknownOutcome),
        ("42501", PermissionDenied),
        ("53100", ResourceError),
        ("53300", ResourceError),
        ("54001", ResourceError),
        ("55P03", LockTimeout),
        ("57014", QueryTimeout),
        ("57P01", UnreachableStorage),
        ("58030", ResourceError),
        ("42P01", DatabaseError),
        ("25P02", DatabaseError),
    ],
)
def test_what_a_caller_can_act_on_is_told_by_sqlstate(sqlstate, kind):
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": "what happened\nand more"})
    ours = translate(error)
    assert type(ours) is kind
    assert ours.sqlstate == sqlstate
    assert "what happened" in str(ours)
    assert "\n" not in str(ours)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("refused"), UnreachableStorage),
        (ConnectionResetError(), UnreachableStorage),
        (TimeoutError(), QueryTimeout),
        (asyncpg.InternalClientError("cannot switch to state 12"), UnreachableStorage),
        (asyncpg.TargetServerAttributeNotMatched("none of the hosts"), UnreachableStorage),
        (asyncpg.InterfaceError("the number of arguments cannot exceed 32767"), InvalidInputError),
        (asyncpg.UnsupportedServerFeatureError("no such type"), DatabaseError),
        (asyncpg.InterfaceError("connection is closed"), UnreachableStorage),
        (
            asyncpg.InterfaceError("connection has been released back to the pool"),
            UnreachableStorage,
        ),
    ],
)
def test_a_way_to_the_server_that_broke_is_told(error, kind):
    assert type(translate(error)) is kind


def test_a_timeout_says_how_long_it_was_and_how_to_allow_more():
    error = translate(TimeoutError(), seconds=2.5)
    assert str(error).startswith("the server did not answer within 2.5 seconds: allow more with op")
    assert "command_timeout" not in error.for_command_line()
    assert "within the time allowed: allow more" in str(translate(TimeoutError()))


def test_states_of_the_protocol_are_nothing_for_callers():
    error = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in …")
    assert str(translate(error)) == "the connection to the server broke: try again"


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
        asyncpg.exceptions.OutdatedSchemaCacheError("cached types"),
    ],
)
def test_a_schema_that_changed_under_a_connection_comes_with_advice(error):
    ours = translate(error)
    assert type(ours) is ConcurrencyError
    assert "run the transaction again" in str(ours)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_no_message_is_longer_than_500_characters(kind):
    for message, advice in (("x" * 2**20, None), ("x" * 2**20, "wait"), ("x", "y" * 2**20)):
        error = kind(message, advice=advice)
        assert len(str(error)) <= 500
        assert len(error.for_command_line()) <= 500
    assert str(kind("x" * 1000, advice="wait")).endswith("x: wait")


def test_a_message_can_be_printed_whatever_is_in_it():
    assert str(AiidaDbError("/tmp/\x1b[31m\udc80 é\n")) == "/tmp/\\x1b[31m\\udc80 é\n"


def test_what_an_interface_error_hides_is_told():
    hidden = asyncpg.PostgresError.new({"C": "57P01", "M": "terminating"})
    error = asyncpg.InterfaceError("cannot use Connection.transaction() …")
    error.__context__ = hidden
    assert type(translate(error)) is UnreachableStorage


@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncpg.InterfaceError("x"), AiidaDbError("x"), KeyboardInterrupt()]
)
def test_what_is_not_the_servers_passes(error):
    assert translate(error) is None


def test_an_error_is_what_happened_and_the_advice_for_python():
    error = AiidaDbError("it is locked", advice="call unlock()", command_advice="use the key")
    assert str(error) == "it is locked: call unlock()"
    assert (error.advice, error.command_advice) == ("call unlock()", "use the key")
    assert error.for_command_line() == "it is locked: use the key"


def test_the_command_line_has_the_same_advice_unless_another_was_given():
    assert AiidaDbError("it is locked").for_command_line() == "it is locked"
    assert AiidaDbError("it is locked", advice="wait").for_command_line() == "it is locked: wait"
    only_there = AiidaDbError("it is locked", command_advice="use the key")
    assert str(only_there) == "it is locked"
    assert only_there.for_command_line() == "it is locked: use the key"


def made(kind: type[AiidaDbError]) -> AiidaDbError:
    named = {"sqlstate": "42P01"} if issubclass(kind, DatabaseError) else {}
    error = kind("it is locked", advice="call unlock()", command_advice="use the key", **named)
    error.add_note("since yesterday")
    return error


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        *(
            pytest.param(lambda error, way=way: pickle.loads(pickle.dumps(error, way)), id=str(way))
            for way in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_copied_and_pickled_an_error_keeps_all_that_it_says(kind, again):
    before = made(kind)
    after = again(before)
    assert type(after) is kind
    assert (str(after), after.args) == (str(before), before.args)
    assert str(after) == "it is locked: call unlock()"
    assert after.for_command_line() == "it is locked: use the key"
    assert vars(after) == vars(before)


def test_an_error_comes_back_from_another_process():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        raised = pool.submit(raise_one).exception(timeout=60)
    assert type(raised) is UnreachableStorage
    assert str(raised) == "terminating (SQLSTATE 57P01): " + raised.advice
    assert raised.sqlstate == "57P01"


def raise_one() -> None:
    raise translate(asyncpg.PostgresError.new({"C": "57P01", "M": "terminating"}))

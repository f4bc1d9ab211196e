"""The profile: a frozen value that says where a database is, and gives no password away."""

from __future__ import annotations

import dataclasses
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from aiidadb.connecting.profiles.profile import Profile
from aiidadb.exceptions import ConfigurationError, InvalidInputError, InvalidTypeError
from tests.helpers.hostile import Array

pytestmark = pytest.mark.quick


def test_a_profile_is_frozen_hashable_and_equal_to_its_like() -> None:
    one, other = (Profile.from_dsn("postgresql://ada:s3@h/db?options=-c%20jit%3Doff") for _ in "ab")
    assert one == other
    assert len({one, other, dataclasses.replace(one, password="x")}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.password = "x"  # type: ignore[misc]


def test_the_password_of_a_dsn_shows_nowhere() -> None:
    profile = Profile.from_dsn("postgresql://ada:s3cret@h/db")
    assert "s3cret" not in f"{profile!r} {profile} {[profile]}"
    assert profile.password == "s3cret"


def test_from_dsn_takes_what_a_dsn_cannot_say(tmp_path: Path) -> None:
    dsn = "postgresql://ada:s3@h1,h2/aiida?target_session_attrs=read-write&application_name=x"
    profile = Profile.from_dsn(dsn)
    assert (profile.name, profile.default_user_email, profile.repository) == ("aiida", None, None)
    assert profile == Profile.from_dsn(dsn)
    assert hash(profile) == hash(Profile.from_dsn(dsn))
    profile = Profile.from_dsn(
        dsn, name="main", default_user_email="ada@epfl.ch", repository=tmp_path
    )
    assert profile.name == "main"
    assert profile.default_user_email == "ada@epfl.ch"
    assert profile.repository == tmp_path
    assert Profile.from_dsn(dsn, repository=tmp_path.as_uri()).repository == tmp_path
    assert Profile.from_dsn(dsn, repository="a b").repository == Path("a b")
    with pytest.raises(ConfigurationError, match="give the directory"):
        Profile.from_dsn(dsn, repository="file:x")


def test_arguments_for_asyncpg_are_new_each_time() -> None:
    profile = Profile.from_dsn("postgresql://h1,h2:2/db?options=-c%20jit%3Doff")
    arguments = profile.connect_arguments()
    assert arguments == {
        "host": ["h1", "h2"],
        "port": [5432, 2],
        "database": "db",
        "server_settings": {"jit": "off"},
    }
    arguments["server_settings"]["jit"] = "on"
    arguments["host"].clear()
    assert profile.connect_arguments() != arguments


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"name": None},
        {"host": 5},
        {"host": ["a", "b"]},
        {"host": ("a", 5)},
        {"port": "5432"},
        {"port": True},
        {"database": b"db"},
        {"user": 5},
        {"password": 5},
        {"repository": "/data"},
        {"pool_options": {}},
        {"notes": "one"},
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidTypeError):
        Profile(**{"name": "main", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "a\0b"},
        {"database": "a\ud800"},
        {"password": "a\0b"},
        {"host": "a\0b"},
        {"port": 0},
        {"port": 99999},
        {"port": 10**5000},
        {"host": ("a", "b"), "port": (1, 2, 3)},
        {"repository": Path("a\0b")},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_no_database_can_have_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Profile(**{"name": "main", **wrong})


@pytest.mark.parametrize("argument", ["dsn", "name", "default_user_email", "repository"])
@pytest.mark.parametrize("wrong", [5, b"x", ["x"], object(), Array()])
def test_an_argument_of_a_wrong_type_is_refused(argument: str, wrong: Any) -> None:
    with pytest.raises(InvalidTypeError):
        Profile.from_dsn(**{"dsn": "postgresql:///db", argument: wrong})


def test_how_many_statements_are_kept_is_a_part_of_the_way_to_a_database():
    profile = Profile.from_dsn("postgresql://h/db?statement_cache_size=0")
    assert profile.statement_cache_size == 0
    assert profile.connect_arguments()["statement_cache_size"] == 0
    default = Profile.from_dsn("postgresql://h/db")
    assert default != profile
    assert "statement_cache_size" not in default.connect_arguments()
    assert Profile("x", statement_cache_size=5).connect_arguments() == {"statement_cache_size": 5}
    with pytest.raises(InvalidInputError, match="statement_cache_size"):
        Profile("x", statement_cache_size=-1)
    with pytest.raises(InvalidTypeError, match="statement_cache_size"):
        Profile("x", statement_cache_size="0")


@pytest.mark.parametrize("rest", ["h:x/db", "h@h/db", "h/db?sslmode=sometimes"])
def test_no_frame_of_an_error_shows_a_password(rest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Profile.from_dsn(f"postgresql://ada:s3cret@{rest}")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [text for text in told.format() if "aiidadb/connecting/profiles/profile.py" in text]
    assert frames
    assert "s3cret" not in "".join(frames)


@pytest.mark.parametrize(
    "wrong",
    [
        {"statement_cache_size": -1},
        {"statement_cache_size": "5"},
        {"host": "a\0"},
        {"host": 5},
        {"port": 0},
        {"port": "x"},
        {"repository": Path("/a\0")},
        {"repository": "/a"},
        {"pool_options": ["x"]},
        {"user": 5},
        {"password": "s3cret\0"},
        {"password": ["s3cret"]},
        {"no_such_field": 1},
    ],
    ids=repr,
)
def test_no_frame_of_an_error_of_making_one_shows_a_password(wrong: Any) -> None:
    with pytest.raises((InvalidInputError, TypeError)) as caught:
        Profile(**{"name": "n", "password": "s3cret", **wrong})
    assert "s3cret" not in _frames_of_ours(caught.value)


@pytest.mark.parametrize("wrong", [{"name": 5}, {"repository": "/a\0"}, {"repository": "/\ud800"}])
def test_neither_does_one_of_an_argument_beside_the_dsn(wrong: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Profile.from_dsn("postgresql://ada:s3cret@h/d", **wrong)
    assert "s3cret" not in _frames_of_ours(caught.value)


def _frames_of_ours(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    # Those that a data class generates have no file.
    frames = [one for one in told.stack if "/tests/" not in one.filename]
    assert frames
    return "".join(f"{one.filename} {one.locals}" for one in frames)


@pytest.mark.parametrize(
    "options",
    [
        (5,),
        ("abc",),
        ("ab",),
        (("a", [1]),),
        ((1, "a"),),
        (("a", 1, 2),),
        (("server_settings", 5),),
        (("server_settings", (("a", 1),)),),
        (("dsn", "postgresql:///"),),
        (Array(),),
    ],
    ids=repr,
)
def test_pool_options_are_pairs(options: Any) -> None:
    with pytest.raises(InvalidTypeError, match="pool_options must be pairs"):
        Profile("n", pool_options=options)


def test_what_asyncpg_is_given_is_text_and_nothing_else() -> None:
    # It takes no subclass of str.
    arguments = Profile.from_dsn("postgresql://ada:s3cret@h/db").connect_arguments()
    assert {type(value) for value in arguments.values()} == {str}

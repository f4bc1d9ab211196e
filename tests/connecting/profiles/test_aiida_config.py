"""Profiles are read from every version of AiiDA's configuration, as AiiDA reads them."""

from __future__ import annotations

import errno
import json
import os
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiidadb.connecting.profiles.aiida_config import load_profile
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.exceptions import (
    ConfigurationError,
    ConfigurationVersionError,
    InvalidTypeError,
    MissingConfigurationError,
    ProfileConfigurationError,
)
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = range(11)
PASSWORD = "p:@ss/w%C3rd"
UUID = "f3b1c2d4e5f60718293a4b5c6d7e8f90"


def configuration(version: int) -> dict[str, Any]:
    """A configuration with the profile ``main``, as the AiiDA of its time wrote it."""
    broker = {
        "broker_protocol": "amqp",
        "broker_username": "guest",
        "broker_password": "guest",
        "broker_host": "127.0.0.1",
        "broker_port": 5672,
        "broker_virtual_host": "",
    }
    profile: dict[str, Any] = {"default_user_email": "ada@epfl.ch"}
    if version <= 1:
        profile["TIMEZONE"] = "Europe/Zurich"
    else:
        profile["PROFILE_UUID"] = UUID
    if version <= 5:
        profile |= {
            "AIIDADB_ENGINE": "postgresql_psycopg2",
            "AIIDADB_BACKEND": "django",
            "AIIDADB_NAME": "aiida_main",
            "AIIDADB_HOST": "db.epfl.ch",
            "AIIDADB_PORT": "5433" if version <= 2 else 5433,
            "AIIDADB_USER": "aiida",
            "AIIDADB_PASS": PASSWORD,
            "AIIDADB_REPOSITORY_URI": "file:////home/ada/.aiida/repository-main/",
        }
        if version >= 4:
            profile |= broker
    else:
        profile["storage"] = {
            "backend": {6: "django", 7: "psql_dos", 8: "psql_dos"}.get(version, "core.psql_dos"),
            "config": {
                "database_engine": "postgresql_psycopg" if version >= 9 else "postgresql_psycopg2",
                "database_hostname": "db.epfl.ch",
                "database_port": 5433,
                "database_username": "aiida",
                "database_password": PASSWORD,
                "database_name": "aiida_main",
                "repository_uri": "file:///home/ada/.aiida/repository-main",
            },
        }
        if version >= 7:
            profile["storage"]["_v6_backend"] = "django"
        if version >= 8:
            profile["test_profile"] = False
        profile["process_control"] = {"backend": "rabbitmq", "config": broker}
    content: dict[str, Any] = {"profiles": {"main": profile}}
    if version >= 1:
        compatible = {1: 0, 2: 0, 3: 3, 4: 3}.get(version, version)
        content["CONFIG_VERSION"] = {"CURRENT": version, "OLDEST_COMPATIBLE": compatible}
    if version <= 2:
        content["default_profiles"] = {"daemon": "main", "verdi": "other"}
    else:
        content["default_profile"] = "main"
    return content


def storage(content: dict[str, Any], name: str = "main") -> dict[str, Any]:
    """The part of a configuration that says where a profile's database is."""
    profile: dict[str, Any] = content["profiles"][name]
    config: dict[str, Any] = profile["storage"]["config"] if "storage" in profile else profile
    return config


def key(version: int, name: str) -> str:
    """What a key of version 6 was called."""
    old = {
        "database_engine": "AIIDADB_ENGINE",
        "database_hostname": "AIIDADB_HOST",
        "database_port": "AIIDADB_PORT",
        "database_username": "AIIDADB_USER",
        "database_password": "AIIDADB_PASS",
        "database_name": "AIIDADB_NAME",
        "repository_uri": "AIIDADB_REPOSITORY_URI",
    }
    return old[name] if version <= 5 else name


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a configuration; gives the file."""

    def write_to(content: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=4))
        return path

    return write_to


# ------------------------------------------------------------------------------- all versions


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_read(version: int, write: Callable[[object], Path]) -> None:
    profile = load_profile("main", config=write(configuration(version)))
    assert profile == Profile(
        name="main",
        uuid=None if version <= 1 else UUID,
        host="db.epfl.ch",
        port=5433,
        database="aiida_main",
        user="aiida",
        password=PASSWORD,
        default_user_email="ada@epfl.ch",
        repository=Path("/home/ada/.aiida/repository-main"),
        backend={7: "psql_dos", 8: "psql_dos", 9: "core.psql_dos", 10: "core.psql_dos"}.get(
            version, "django"
        ),
    )
    assert profile.connect_arguments() == {
        "host": "db.epfl.ch",
        "port": 5433,
        "database": "aiida_main",
        "user": "aiida",
        "password": PASSWORD,
    }


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_name_it_is_the_default_profile(
    version: int, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    content["profiles"]["other"] = content["profiles"]["main"]
    assert load_profile(config=write(content)).name == "main"
    assert load_profile("other", config=write(content)).name == "other"


def test_the_default_of_old_is_the_daemons_then_verdis(write: Callable[[object], Path]) -> None:
    content = configuration(1)
    content["profiles"]["other"] = content["profiles"]["main"]
    content["default_profiles"] = {"verdi": "other"}
    assert load_profile(config=write(content)).name == "other"


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
def test_host_and_password_may_be_null(version: int, write: Callable[[object], Path]) -> None:
    content = configuration(version)
    storage(content)[key(version, "database_hostname")] = None
    storage(content)[key(version, "database_password")] = None
    storage(content)[key(version, "database_port")] = None
    profile = load_profile("main", config=write(content))
    assert (profile.host, profile.port, profile.password) == (None, None, None)
    assert profile.connect_arguments() == {"database": "aiida_main", "user": "aiida"}


def test_empty_host_port_and_password_are_as_null(write: Callable[[object], Path]) -> None:
    content = configuration(0)
    storage(content).update(AIIDADB_HOST="", AIIDADB_PORT="", AIIDADB_PASS="")
    profile = load_profile("main", config=write(content))
    assert (profile.host, profile.port, profile.password) == (None, None, None)


def test_what_a_profile_can_do_without(write: Callable[[object], Path]) -> None:
    content = configuration(10)
    del content["profiles"]["main"]["PROFILE_UUID"]
    del content["profiles"]["main"]["default_user_email"]
    del content["profiles"]["main"]["process_control"]
    del storage(content)["repository_uri"]
    del storage(content)["database_engine"]
    profile = load_profile("main", config=write(content))
    assert (profile.uuid, profile.default_user_email, profile.repository) == (None, None, None)


def test_before_there_were_backends_it_was_django(write: Callable[[object], Path]) -> None:
    content = configuration(0)
    del storage(content)["AIIDADB_BACKEND"]
    assert load_profile("main", config=write(content)).backend == "django"


@pytest.mark.parametrize(
    ("version", "uri", "path"),
    [
        (5, "file:///home/ada/my%20files", "/home/ada/my%20files"),
        (10, "file:///home/ada/my%20files", "/home/ada/my files"),
        (10, "file:///home/ada/my files/", "/home/ada/my files"),
        (10, "file://localhost/data", "/data"),
    ],
)
def test_the_repository_is_a_directory(
    version: int, uri: str, path: str, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    storage(content)[key(version, "repository_uri")] = uri
    assert load_profile(config=write(content)).repository == Path(path)


def test_several_hosts_and_a_socket_as_sqlalchemy_takes_them(
    write: Callable[[object], Path],
) -> None:
    content = configuration(10)
    storage(content)["database_hostname"] = "a.epfl.ch,b.epfl.ch"
    assert load_profile(config=write(content)).host == ("a.epfl.ch", "b.epfl.ch")
    storage(content)["database_hostname"] = "/var/run/postgresql"
    assert load_profile(config=write(content)).host == "/var/run/postgresql"


def test_what_aiida_hands_to_the_driver_goes_to_asyncpg(write: Callable[[object], Path]) -> None:
    content = configuration(10)
    storage(content)["engine_kwargs"] = {
        "pool_size": 3,
        "connect_args": {
            "sslmode": "require",
            "connect_timeout": 5,
            "keepalives": False,
            "prepare_threshold": None,
            "autocommit": True,
        },
    }
    profile = load_profile(config=write(content))
    assert dict(profile.pool_options) == {"ssl": "require", "connect_timeout": 5.0}
    storage(content)["engine_kwargs"]["connect_args"] = {"channel_binding": "require"}
    with pytest.raises(ConfigurationError, match=r"config\.json: .*config asks for channel_bind"):
        load_profile(config=write(content))


# ------------------------------------------------------------------------------- where it is


def test_config_is_the_file_or_its_directory(write: Callable[[object], Path]) -> None:
    path = write(configuration(10))
    assert load_profile(config=path) == load_profile(config=str(path.parent))


def put(directory: Path, name: str) -> None:
    directory.mkdir(parents=True)
    content = configuration(10)
    content["profiles"][name] = content["profiles"].pop("main")
    content["default_profile"] = name
    (directory / "config.json").write_text(json.dumps(content))


@pytest.mark.quick
def test_the_first_directory_of_aiida_path_that_exists_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "home/.aiida", "at_home")
    put(tmp_path / "b/.aiida", "in_b")
    put(tmp_path / "c/.aiida", "in_c")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path, name in [
        (None, "at_home"),
        ("", "at_home"),
        (os.pathsep, "at_home"),
        ("~", "at_home"),
        (f"{tmp_path}/b", "in_b"),
        (f"{tmp_path}/b/.aiida", "in_b"),
        (f"{tmp_path}/b/.aiida/", "in_b"),
        (os.pathsep.join([f"{tmp_path}/a", f"{tmp_path}/c/.aiida", f"{tmp_path}/b"]), "in_c"),
    ]:
        if path is None:
            monkeypatch.delenv("AIIDA_PATH", raising=False)
        else:
            monkeypatch.setenv("AIIDA_PATH", path)
        assert load_profile().name == name, path


def test_where_it_was_looked_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "home/.aiida", "at_home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIIDA_PATH", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(
        MissingConfigurationError,
        match=r"a/\.aiida, .*/b/\.aiida; AIIDA_PATH is '/.*/b': correct it, or give config= or a ",
    ):
        load_profile()
    (tmp_path / "b/.aiida").mkdir(parents=True)
    with pytest.raises(
        MissingConfigurationError,
        match=r"/b/\.aiida/config\.json; AIIDA_PATH is '/.*/b': correct it, or give config= or a ",
    ):
        load_profile()


def test_reading_makes_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "there/.aiida", "main")
    (tmp_path / "there/.aiida/config.json").write_text(json.dumps(configuration(0)))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))

    def state() -> list[tuple[str, int, bytes]]:
        return [
            (str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(tmp_path.rglob("*"))
        ]

    before = state()
    load_profile(config=tmp_path / "there/.aiida")
    for path in ("there", "nowhere"):
        monkeypatch.setenv("AIIDA_PATH", str(tmp_path / path))
        if path == "there":
            load_profile()
        else:
            with pytest.raises(MissingConfigurationError):
                load_profile()
    monkeypatch.delenv("AIIDA_PATH")
    with pytest.raises(MissingConfigurationError):
        load_profile()
    assert state() == before


# ------------------------------------------------------------------------- what is not right


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_profile_is_told_from_those_that_there_are(
    version: int, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    content["profiles"]["archive"] = content["profiles"]["main"]
    path = write(content)
    for name in ("mian", ""):
        with pytest.raises(ProfileConfigurationError, match=f"{path}.*archive, main") as caught:
            load_profile(name, config=path)
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"profiles": {}, "CONFIG_VERSION": {"CURRENT": 10, "OLDEST_COMPATIBLE": 10}},
        {"CONFIG_VERSION": {"CURRENT": 10}},
        {},
    ],
)
def test_no_default_profile_is_told(content: object, write: Callable[[object], Path]) -> None:
    with pytest.raises(ProfileConfigurationError, match="has no profiles: create one"):
        load_profile(config=write(content))


def test_the_profiles_that_there_are_are_named(write: Callable[[object], Path]) -> None:
    content = {"profiles": {"main": {}, "archive": {}}, "CONFIG_VERSION": {"CURRENT": 10}}
    with pytest.raises(ProfileConfigurationError, match=r"one of archive, main$") as nothing:
        load_profile(config=write(content))
    assert nothing.value.for_command_line().endswith(": give --profile with one of archive, main")
    content["default_profile"] = "gone"
    missing = "its default profile is 'gone', which it does not have: name one of archive, main$"
    with pytest.raises(ProfileConfigurationError, match=missing):
        load_profile(config=write(content))
    with pytest.raises(
        ProfileConfigurationError, match="profiles are archive, main: did you mean 'main'"
    ):
        load_profile("mian", config=write(content))


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name",
    [
        "database_hostname",
        "database_port",
        "database_username",
        "database_password",
        "database_name",
    ],
)
def test_a_missing_key_is_named_with_the_file(
    version: int, name: str, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    del storage(content)[key(version, name)]
    path = write(content)
    place = "profiles.main" if version <= 5 else "profiles.main.storage.config"
    with pytest.raises(ProfileConfigurationError) as caught:
        load_profile("main", config=path)
    assert str(caught.value) == f"{path}: {place}.{key(version, name)} is missing"


@pytest.mark.parametrize("version", [0, 5, 6, 10])
@pytest.mark.parametrize(
    "port", ["five", "5432.0", "-1", " 5432", "٥٤٣٢", 0, 65536, 5432.0, True, [5432]]
)
def test_a_port_that_is_no_port_is_refused(
    version: int, port: object, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    storage(content)[key(version, "database_port")] = port
    path = write(content)
    with pytest.raises(ProfileConfigurationError, match="not a port: give a number from") as caught:
        load_profile("main", config=path)
    assert str(caught.value).startswith(f"{path}: profiles.main.")
    assert key(version, "database_port") in str(caught.value)


@pytest.mark.parametrize(
    "backend", ["core.sqlite_dos", "core.sqlite_zip", "core.sqlite_temp", "sqlite_zip", "my.own"]
)
def test_a_profile_that_is_not_in_postgresql_is_refused(
    backend: str, write: Callable[[object], Path]
) -> None:
    content = configuration(10)
    content["profiles"]["main"]["storage"] = {
        "backend": backend,
        "config": {"filepath": "/home/ada/.aiida/repository/sqlite_dos"},
    }
    with pytest.raises(
        ProfileConfigurationError, match="only profiles stored in PostgreSQL"
    ) as caught:
        load_profile(config=write(content))
    assert f"profiles.main.storage.backend is {backend!r}" in str(caught.value)


def test_neither_is_one_of_old_in_sqlite(write: Callable[[object], Path]) -> None:
    content = configuration(0)
    storage(content).update(AIIDADB_ENGINE="sqlite3", AIIDADB_NAME="/home/ada/aiida.db")
    storage(content).update(AIIDADB_HOST="", AIIDADB_PORT="", AIIDADB_USER="")
    with pytest.raises(ProfileConfigurationError, match=r"AIIDADB_ENGINE is 'sqlite3': .*Postgre"):
        load_profile("main", config=write(content))


@pytest.mark.parametrize("version", [11, 12, 99])
def test_a_newer_configuration_is_refused(version: int, write: Callable[[object], Path]) -> None:
    content = configuration(10)
    content["CONFIG_VERSION"] = {"CURRENT": version, "OLDEST_COMPATIBLE": version}
    path = write(content)
    with pytest.raises(ConfigurationVersionError, match=f"CURRENT is {version}, written by a ne"):
        load_profile(config=path)


@pytest.mark.parametrize("number", ["10", None, -1, 1.5, True, [1]])
def test_a_version_that_is_no_number_is_refused(
    number: object, write: Callable[[object], Path]
) -> None:
    content = configuration(10)
    content["CONFIG_VERSION"]["CURRENT"] = number
    with pytest.raises(
        ConfigurationError, match=r"CONFIG_VERSION\.CURRENT is not a version number"
    ):
        load_profile(config=write(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(profiles=[]), "profiles is not an object"),
        (lambda c: c["profiles"].update(main=None), "profiles.main is not an object"),
        (lambda c: c["profiles"]["main"].pop("storage"), "profiles.main.storage is missing"),
        (
            lambda c: c["profiles"]["main"]["storage"].pop("config"),
            "profiles.main.storage.config is missing",
        ),
        (
            lambda c: c["profiles"]["main"]["storage"].update(backend=None),
            "profiles.main.storage.backend is empty",
        ),
        (lambda c: storage(c).update(database_name=None), "database_name is empty"),
        (lambda c: storage(c).update(database_username=7), "database_username is not text"),
        (lambda c: storage(c).update(database_password=1234), "database_password is not text"),
        (
            lambda c: storage(c).update(repository_uri="/data"),
            "repository_uri is not a file:// URI",
        ),
        (
            lambda c: storage(c).update(repository_uri="file:data"),
            "repository_uri is not a file://",
        ),
        (
            lambda c: storage(c).update(repository_uri="s3://u:p@b/d"),
            "repository_uri is not a file",
        ),
        (lambda c: storage(c).update(database_hostname="h/x"), "host that is neither"),
        (lambda c: c["profiles"]["main"].update(default_user_email=1), "default_user_email is no"),
        (lambda c: c.update(default_profile=["main"]), "default_profile is not text"),
        (lambda c: c.update(CONFIG_VERSION=10), "CONFIG_VERSION is not an object"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(
    change: Callable[[dict[str, Any]], object], message: str, write: Callable[[object], Path]
) -> None:
    content = configuration(10)
    change(content)
    path = write(content)
    with pytest.raises(ConfigurationError) as caught:
        load_profile(config=path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"profiles": {"main": {"AIIDADB_PASS": "s3cret"}',
            "is not valid JSON: .* in line 1, column 49",
        ),
        ("", "is not valid JSON"),
        ("[]", "does not hold a JSON object"),
        ('"s3cret"', "does not hold a JSON object"),
        ("[" * 100_000, "is not valid JSON"),
        ("9" * 5_000, "is not valid JSON"),
    ],
)
def test_broken_json_is_told_without_its_content(
    content: str, message: str, write: Callable[[object], Path]
) -> None:
    path = write(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_profile(config=path)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"profiles": "\xff\xfe\xfd"}')
    with pytest.raises(ConfigurationError, match="is not valid JSON"):
        load_profile(config=tmp_path)


def test_what_is_no_readable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingConfigurationError, match=r"no configuration file .*config\.json"):
        load_profile(config=tmp_path)
    with pytest.raises(MissingConfigurationError, match=r"no configuration file .*nowhere"):
        load_profile(config=tmp_path / "nowhere")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_profile(config=tmp_path)


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
def test_the_password_shows_nowhere(version: int, write: Callable[[object], Path]) -> None:
    profile = load_profile("main", config=write(configuration(version)))
    assert PASSWORD not in f"{profile!r} {profile} {[profile]}"
    assert profile.password == PASSWORD


# --------------------------------------------------------------------- beside aiida-core 2.9.4


def run_aiida(script: str, home: Path, *arguments: str) -> Any:
    """Run a script with aiida-core in a process of its own; gives what it prints as JSON."""
    ended = finished(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *arguments],
        environment={"AIIDA_PATH": str(home), "HOME": str(home)},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def seen_by_us(profile: Profile) -> dict[str, object]:
    return {
        "uuid": profile.uuid,
        "host": profile.host,
        "port": profile.port,
        "database": profile.database,
        "user": profile.user,
        "password": profile.password,
        "email": profile.default_user_email,
        "repository": str(profile.repository),
        "backend": profile.backend,
    }


SEEN_BY_AIIDA = """
    def seen(profile):
        config = profile.storage_config
        return {
            "uuid": profile.uuid,
            "host": config["database_hostname"],
            "port": int(config["database_port"]),
            "database": config["database_name"],
            "user": config["database_username"],
            "password": config["database_password"],
            "email": profile.default_user_email,
            "repository": str(get_filepath_container(profile).parent),
            "backend": profile.storage_backend,
        }
"""


def test_what_aiida_core_writes_is_read_as_it_reads_it(tmp_path: Path) -> None:
    theirs = run_aiida(
        """
    import json, pathlib, sys
    from aiida.manage.configuration import Profile, get_config, get_config_path
    from aiida.storage.psql_dos.backend import get_filepath_container
    """
        + SEEN_BY_AIIDA
        + """
    config = get_config(create=True)
    for number, name in enumerate(("first", "näme with spaces")):
        config.add_profile(Profile(name, {
            "default_user_email": f"{number}@epfl.ch",
            "storage": {"backend": "core.psql_dos", "config": {
                "database_engine": "postgresql_psycopg",
                "database_hostname": "localhost", "database_port": 5432 + number,
                "database_username": "ada", "database_password": "p@ss wörd/%20",
                "database_name": f"db {number}",
                "repository_uri": pathlib.Path(f"/data/my files/{name}").as_uri(),
            }},
            "process_control": {"backend": None, "config": {}},
        }))
    config.set_default_profile("näme with spaces")
    config.store()
    config = get_config()
    print(json.dumps([get_config_path(), config.default_profile_name,
                      {name: seen(config.get_profile(name)) for name in config.profile_names}]))
    """,
        tmp_path,
    )
    path, default, profiles = theirs
    assert load_profile(config=path).name == default
    assert len(profiles) == 2
    for name, profile in profiles.items():
        assert seen_by_us(load_profile(name, config=path)) == profile


def test_a_file_on_its_way_through_aiida_cores_versions_is_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text(json.dumps(configuration(0)))
    theirs = run_aiida(
        """
    import json, pathlib, sys
    from aiida.manage.configuration import Profile
    from aiida.manage.configuration.migrations import upgrade_config
    from aiida.storage.psql_dos.backend import get_filepath_container
    """
        + SEEN_BY_AIIDA
        + """
    home = pathlib.Path(sys.argv[1])
    content = json.loads((home / "0.json").read_text())
    for version in range(1, 11):
        content = upgrade_config(content, target=version)
        (home / f"{version}.json").write_text(json.dumps(content))
    print(json.dumps(seen(Profile("main", content["profiles"]["main"]))))
    """,
        tmp_path,
        str(tmp_path),
    )
    for version in VERSIONS:
        profile = load_profile(config=tmp_path / f"{version}.json")
        ours = seen_by_us(profile)
        different = {name for name in ours if ours[name] != theirs[name]}
        # AiiDA makes up a UUID where there is none, and renames backends as it goes.
        assert different <= {"uuid", "backend", "repository"}
        assert ours["repository"] == str(theirs["repository"]).replace("//", "/")
    assert (ours["uuid"], ours["backend"]) == (theirs["uuid"], theirs["backend"])


def test_aiida_path_leads_where_it_leads_aiida_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / ".aiida", "at_home")
    put(tmp_path / "b/.aiida", "in_b")
    put(tmp_path / "c.aiida/.aiida", "in_c")
    paths = ["", "~", ":", f"{tmp_path}/b", f"{tmp_path}/b/.aiida", f"{tmp_path}/c.aiida"]
    paths += [f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/c.aiida", f":{tmp_path}/c.aiida/:~"]
    theirs = run_aiida(
        """
    import json, os, sys
    from aiida.manage.configuration import settings
    found = []
    for path in sys.argv[1:]:
        os.environ["AIIDA_PATH"] = path
        found.append(str(settings._get_configuration_directory_from_envvar()))
    print(json.dumps(found))
    """,
        tmp_path,
        *paths,
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    for path, directory in zip(paths, theirs, strict=True):
        monkeypatch.setenv("AIIDA_PATH", path)
        assert load_profile() == load_profile(config=directory), path


# ------------------------------------------------------------------------------- not readable


def refuse_to_look_at(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Let a directory be one that this process may not look into, also where it is root's."""
    real = Path.stat

    def stat(self: Path, **options: Any) -> os.stat_result:
        if directory in self.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)


def test_a_directory_that_may_not_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "second" / ".aiida", "second")
    refuse_to_look_at(monkeypatch, tmp_path / "first")
    monkeypatch.setenv("AIIDA_PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    assert load_profile().name == "second"
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path / "first"))
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        load_profile()
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        load_profile(config=tmp_path / "first" / "config.json")


def test_so_is_one_of_aiida_s_own_that_may_not_be_read_and_one_of_no_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "first" / ".aiida", "first")
    put(tmp_path / "second" / ".aiida", "second")
    refuse_to_look_at(monkeypatch, tmp_path / "first" / ".aiida")
    for first in (tmp_path / "first", tmp_path / "first" / ".aiida", "~nobody-such"):
        monkeypatch.setenv("AIIDA_PATH", f"{first}:{tmp_path / 'second'}")
        assert load_profile().name == "second"
        monkeypatch.setenv("AIIDA_PATH", str(first))
        with pytest.raises(ConfigurationError, match=r"read: Permission|which is not known"):
            load_profile()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    for path in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(ConfigurationError, match="is not a file"):
            load_profile(config=path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        load_profile(config="/dev/zero")


@pytest.mark.parametrize(
    "path", ["x" * 5000, "/" + "y/" * 5000, "a\0b", "a\ud800b", "~nobody-such/x"]
)
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_profile(config=path)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("wrong", [5, b"main", ["main"], object()])
def test_name_and_path_of_a_wrong_type_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidTypeError):
        load_profile(wrong)
    with pytest.raises(InvalidTypeError):
        load_profile(config=wrong)


@pytest.mark.parametrize("name", ["database_username", "database_name", "database_hostname"])
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_postgresql_cannot_hold_is_refused(
    name: str, text: str, write: Callable[[object], Path]
) -> None:
    content = configuration(10)
    storage(content)[name] = text
    with pytest.raises(ConfigurationError, match=r"NUL|surrogate"):
        load_profile(config=write(content))


# ------------------------------------------------------------------------------- AiiDA 2.x


@pytest.mark.parametrize("version", range(6, 11))
@pytest.mark.parametrize("existing", [None, "r%41", "rA"])
def test_the_repository_is_where_aiida_of_that_version_has_it(
    version: int, existing: str | None, tmp_path: Path, write: Callable[[object], Path]
) -> None:
    content = configuration(version)
    storage(content)["repository_uri"] = f"file://{tmp_path}/r%41"
    if existing is not None:
        (tmp_path / existing).mkdir()
    plain = version <= 8 or (version == 9 and existing == "r%41")
    expected = tmp_path / ("r%41" if plain else "rA")
    assert load_profile(config=write(content)).repository == expected


def test_what_only_advises_the_driver_is_noted(write: Callable[[object], Path]) -> None:
    content = configuration(10)
    storage(content)["engine_kwargs"] = {
        "connect_args": {
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 5,
            "tcp_user_timeout": 1000,
            "application_name": "aiida",
            "sslmode": "require",
        }
    }
    profile = load_profile(config=write(content))
    assert dict(profile.pool_options) == {
        "ssl": "require",
        "server_settings": (("application_name", "aiida"),),
    }
    assert len(profile.notes) == 5
    assert profile.notes[0].endswith("connect_args.keepalives is not used: "
                                     "asyncpg, the driver, does not set it")  # fmt: skip
    assert profile.notes[0] in repr(profile)
    storage(content)["engine_kwargs"]["connect_args"]["sslmode"] = "sometimes"
    with pytest.raises(ConfigurationError, match="sslmode"):
        load_profile(config=write(content))


def test_a_profile_without_advice_has_no_notes(write: Callable[[object], Path]) -> None:
    assert load_profile(config=write(configuration(10))).notes == ()


# ------------------------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    "change",
    [
        {"database_port": "x"},
        {"database_hostname": 5},
        {"database_name": "a\0"},
        {"repository_uri": "http://x"},
        {"repository_uri": "file:///a%00b"},
        {"repository_uri": "file:///\ud800"},
    ],
    ids=str,
)
def test_no_frame_of_an_error_shows_a_password(
    change: dict[str, object], write: Callable[[object], Path]
) -> None:
    content = configuration(10)
    storage(content).update(change)
    path = write(content)
    del content
    with pytest.raises(
        ProfileConfigurationError, match=f"config.json: .*{next(iter(change))} "
    ) as (caught):
        load_profile(config=path)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = "".join(told.format())
    assert "load_profile" in frames
    assert PASSWORD not in frames

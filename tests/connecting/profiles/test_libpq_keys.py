"""libpq's keys become what asyncpg calls them, or are refused with the reason."""

from __future__ import annotations

import inspect
import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import asyncpg
import pytest
from psycopg import pq

from aiidadb.connecting.profiles.dsn import parse_dsn
from aiidadb.connecting.profiles.libpq_keys import LIBPQ_KEYS
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.quick


def options(dsn: str) -> dict[str, object]:
    return dict(parse_dsn(dsn).options)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=verify-full", {"ssl": "verify-full"}),
        ("ssl=true", {"ssl": "require"}),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("connect_timeout=7", {"connect_timeout": 7.0}),
        ("connect_timeout=0", {"connect_timeout": None}),
        ("connect_timeout=-1", {"connect_timeout": None}),
        ("passfile=/etc/pgpass", {"passfile": "/etc/pgpass"}),
        ("krbsrvname=pg&gsslib=gssapi", {"gsslib": "gssapi", "krbsrvname": "pg"}),
        ("application_name=a%20b", {"server_settings": (("application_name", "a b"),)}),
        ("fallback_application_name=f", {"server_settings": (("application_name", "f"),)}),
        (
            "application_name=a&fallback_application_name=f",
            {"server_settings": (("application_name", "a"),)},
        ),
        (
            "options=-c%20jit%3Don%20-csearch_path%3Da,b%20--work-mem%3D1MB",
            {"server_settings": (("jit", "on"), ("search_path", "a,b"), ("work_mem", "1MB"))},
        ),
        ("options=-c a.b=x\\ y", {"server_settings": (("a.b", "x y"),)}),
        (
            "options=-c%20application_name%3Do&application_name=a",
            {"server_settings": (("application_name", "a"),)},
        ),
        ("options=-c%20client_encoding%3DUTF8", {}),
        ("options=-e", {"server_settings": (("options", "-e"),)}),
        ("options=-c", {"server_settings": (("options", "-c"),)}),
        ("options=jit%3Don", {"server_settings": (("options", "jit=on"),)}),
        ("sslmode=require&sslnegotiation=direct", {"ssl": "require", "direct_tls": True}),
        ("sslnegotiation=postgres", {}),
        ("sslrootcert=system", {"ssl": True}),
        ("sslrootcert=system&sslmode=verify-full", {"ssl": True}),
        (
            "sslcert=/c&sslpassword=a%2Bb&ssl_min_protocol_version=tlsv1.3",
            {
                "dsn": (
                    ("sslcert", "/c"),
                    ("sslpassword", "a+b"),
                    ("ssl_min_protocol_version", "TLSv1.3"),
                )
            },
        ),
        (
            "gssencmode=prefer&channel_binding=prefer&client_encoding=utf8&keepalives=0&service=",
            {},
        ),
        ("load_balance_hosts=disable&sslcompression=0&sslsni=1&sslcertmode=allow", {}),
        ("max_protocol_version=latest&tcp_user_timeout=0&replication=off", {}),
    ],
)
def test_keys_become_what_asyncpg_calls_them(query: str, expected: dict[str, object]) -> None:
    assert options(f"postgresql://h/db?{query}") == expected


def test_time_to_connect_is_for_each_host() -> None:
    dsn = "postgresql://a,b,c/db?connect_timeout=5"
    assert options(dsn) == {"connect_timeout": 5.0}
    # asyncpg's own spans all hosts.
    assert Profile.from_dsn(dsn).connect_arguments()["timeout"] == 15.0


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://h:x/db", "port that is not a number from 1 to 65535"),
        ("postgresql://ada:s3cret/db", "if it is part of a password, write user:password@host"),
        ("postgresql://ada@h:s3cret/db", "percent-encode what is special in the password"),
        ("postgresql://ada@h:54x/db", "^the DSN has a port that is not a number from 1 to 65535: "),
        ("postgresql://ada:s3cret@h:x/db", "has the port 'x': give a number from 1 to 65535"),
        ("postgresql://h:0/db", "port that is not a number"),
        ("postgresql://h:65536/db", "port that is not a number"),
        (f"postgresql://h:{'9' * 5000}/db", "port that is not a number"),
        ("postgresql://h/db?port=x", "^the DSN has the port 'x': give a number from 1 to 65535$"),
        ("postgresql://h:5432/db?port=0", "^the DSN has the port '0': give a number"),
        ("postgresql:///db?host=a,b&port=1,2,3", "3 ports for 2 hosts"),
        ("postgresql:///db?port=1,2", "2 ports for 0 hosts"),
        ("postgresql://a,,b/db", "empty host among its hosts"),
        ("postgresql://%40socket/db", "neither a name nor an address"),
        ("postgresql:///db?host=run/postgresql", "begins with /"),
        ("postgresql://h/db?host=x&hostaddr=1.2.3.4", "leave the other out"),
        ("postgresql://h/db?statement_cache_size=none", "'none' for statement_cache_size"),
        ("postgresql://h/db?statement_cache_size=-1", "'-1' for statement_cache_size"),
        ("postgresql://h/db?connect_timeout=soon", "'soon' for connect_timeout: give whole sec"),
        ("postgresql://h/db?sslmode=on", "'on' for sslmode: give one of disable, allow, prefer"),
        ("postgresql://h/db?target_session_attrs=rw", "read-write, read-only"),
        (
            "postgresql://h/db?sslmod=require",
            "an unknown parameter 'sslmod': did you mean 'sslmode'",
        ),
        (
            "postgresql://h/db?jit=off",
            "unknown parameter 'jit': see 'Parameter Key Words' in Postg",
        ),
        ("postgresql://h/db?jit=off", "settings of the server into options="),
        ("postgresql://h/db?command_timeout=5", "options of the pool go to open_backend"),
        ("postgresql://h/db?ssl=false", "'ssl'"),
        ("postgresql://h/db?keepalives=1", "keepalives, which is not supported"),
        ("postgresql://h/db?keepalives_idle=30", "tcp_keepalives_idle"),
        ("postgresql://h/db?gssencmode=require", "gssencmode"),
        ("postgresql://h/db?channel_binding=require", "channel_binding"),
        ("postgresql://h/db?client_encoding=latin1", "UTF-8"),
        ("postgresql://h/db?options=-c%20client_encoding%3Dlatin1", "UTF-8"),
        ("postgresql://h/db?load_balance_hosts=random", "in the order given"),
        ("postgresql://h/db?service=prod", "write what the service file says"),
        ("postgresql://h/db?require_auth=scram-sha-256", "require_auth"),
        ("postgresql://h/db?replication=database", "replication"),
        ("postgresql://h/db?sslnegotiation=direct", "needs sslmode=require"),
        ("postgresql://h/db?sslnegotiation=fast", "one of postgres, direct"),
        ("postgresql://h/db?sslrootcert=system&sslmode=require", "sslrootcert=system"),
        ("postgresql://h/db?sslrootcert=system&sslpassword=x", "sslrootcert=system"),
        ("postgresql://h/db?ssl_min_protocol_version=1.2", "TLSv1.2"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(dsn: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_dsn(dsn)


def test_every_key_of_libpq_is_known() -> None:
    keys = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    assert keys <= LIBPQ_KEYS


def test_only_arguments_of_asyncpg_come_out() -> None:
    profile = Profile.from_dsn(
        "postgresql://ada:s3@a,b:2/db?sslmode=require&sslnegotiation=direct&sslpassword=x"
        "&connect_timeout=5&application_name=x&passfile=/p&krbsrvname=k&gsslib=sspi"
        "&target_session_attrs=any"
    )
    assert set(profile.connect_arguments()) <= set(inspect.signature(asyncpg.connect).parameters)


async def test_files_of_tls_reach_asyncpg(tmp_path: Path) -> None:
    certificate = tmp_path / "a+b & c.crt"
    certificate.write_text("no certificate")
    profile = Profile.from_dsn(
        f"postgresql://ada@localhost/db?sslmode=verify-ca&sslrootcert={quote(str(certificate), '')}"
    )
    with pytest.raises(ssl.SSLError, match="NO_CERTIFICATE"):
        await asyncpg.connect(**profile.connect_arguments())


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("sslmode=verify-full&sslrootcert=/no/such", True),
        ("sslmode=require&sslcrl=/no/such", True),
        ("sslkey=/no/such", True),
        ("sslmode=disable&sslcert=/no/such", False),
        ("sslmode=prefer&sslrootcert=/no/such", False),  # which then is not looked at
    ],
)
def test_a_file_of_tls_that_is_missing_is_named(query: str, refused: bool) -> None:
    profile = Profile.from_dsn(f"postgresql://h/db?{query}&sslpassword=S3cret")
    if refused:
        with pytest.raises(ConfigurationError, match="there is no file /no/such") as caught:
            profile.connect_arguments()
        assert "S3cret" not in str(caught.value)
    else:
        assert "/no/such" in unquote(profile.connect_arguments()["dsn"])

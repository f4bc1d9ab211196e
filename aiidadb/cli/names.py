"""Names that people type: what they mean in this database, and an error where they mean nothing.

In Python a name that nothing has gives an empty answer, as in djsite. At a command line it is more
often a slip.
"""

from __future__ import annotations

import difflib
import re
import shlex
import uuid
from typing import TYPE_CHECKING, Final

from pypika import Query

from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.tables import groups, nodes, users
from aiidadb.exceptions import InvalidInputError, NotExistent
from aiidadb.messages import quote, shorten, suggest
from aiidadb.pks import as_pks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pypika.terms import Criterion

    from aiidadb.backend import Backend
    from aiidadb.criteria.node_types import Spelling

__all__ = [
    "find_groups",
    "find_user",
    "require_elements",
    "require_node_type",
    "require_nodes",
    "require_user_email",
]

_MOST_NAMED: Final = 10

_LABEL_MARK: Final = "!"
"""What AiiDA takes for "this is a label" at the end of an identifier."""

# Those of today's periodic table, and AiiDA's own for what is unknown.
_ELEMENTS: Final = frozenset(
    re.findall(
        "[A-Z][a-z]?",
        "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge "
        "As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm "
        "Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U "
        "Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og",
    )
)


def require_elements(symbols: Iterable[str]) -> None:
    """Refuse symbols that no chemical element has.

    Raises:
        NotExistent: Some are none.
    """
    wrong = [symbol for symbol in dict.fromkeys(symbols) if symbol not in _ELEMENTS]
    parts = [part for symbol in wrong for part in re.split(r"[\s,;]+", symbol) if part]
    meant = [part.capitalize() for part in parts if part.capitalize() in _ELEMENTS]
    advice = _did_you_mean(meant)
    if len(meant) == len(parts) and parts != wrong:
        advice = _apart(meant)
    _require_none("element", map(quote, wrong), advice)


async def require_nodes(backend: Backend, pks: Iterable[int]) -> None:
    """Refuse pks that no node has.

    Raises:
        NotExistent: Some have no node.
    """
    asked = as_pks(pks)
    query = Query.from_(nodes).select(nodes.id).where(nodes.id.isin(asked))
    found = {row["id"] for row in await backend.queries.fetch(query)}
    _require_none("node", (str(pk) for pk in asked if pk not in found))


async def require_node_type(backend: Backend, node_type: str) -> None:
    """Refuse a type that no node has exactly; either line's spelling of it will do.

    Raises:
        NotExistent: There is no such node.
    """
    query = Query.from_(nodes).select(nodes.id).where(nodes.node_type == node_type).limit(1)
    if await backend.queries.fetch(query):
        return
    assert backend.version is not None  # else the query would have failed
    numbers = (await backend.queries.get_creation_statistics())["types"]
    known = sorted(numbers)
    spelling = spelling_of(backend.version)
    begin = spelling.texts["node_type"](f"{node_type.rstrip('.')}.")
    inside = [one for one in known if one.startswith(begin)] if len(begin) > 1 else []
    advice = None
    if inside and begin not in inside:  # a package, of which none is more similar than another
        advice = f"give one exact type, such as {quote(max(inside, key=lambda one: numbers[one]))}"
    elif meant := _closest(node_type, known):
        advice = suggest(node_type, meant[0])
    elif below := _types_below(spelling, node_type, known):
        advice = f"give the exact type, such as {_listed(list(map(quote, below)))}"
    raise NotExistent(
        f"no node has exactly the type {quote(node_type)}; subclasses are not searched",
        advice=advice,
    )


def _types_below(spelling: Spelling, node_type: str, known: Iterable[str]) -> list[str]:
    """Those of the types that are of subclasses: their packages are inside of the type's."""
    package = spelling.texts["node_type"](node_type.rstrip(".").rpartition(".")[0] + ".")
    return [one for one in known if package != "." and one.startswith(package)]


async def find_user(backend: Backend, user: int | str) -> int:
    """The user who is meant.

    Args:
        backend: The database.
        user: A pk, or an email address.

    Returns:
        The user's pk.

    Raises:
        NotExistent: There is no such user.
    """
    query = Query.from_(users).select(users.id, users.email).orderby(users.id)
    known: dict[int, str] = {row["id"]: row["email"] for row in await backend.queries.fetch(query)}
    advice = None
    if isinstance(user, str):
        found = [pk for pk, email in known.items() if email == user]
        advice = _did_you_mean(map(quote, _closest(user, list(known.values()))))
    else:
        found = [pk for pk in as_pks(user) if pk in known]
    if found:
        return found[0]
    there = _listed([f"{pk} ({email})" for pk, email in known.items()])
    raise NotExistent(
        f"there is no user {quote(user)}",
        advice=advice or (f"the users are {there}" if known else "the database has no users"),
    )


async def require_user_email(backend: Backend, email: str, *, otherwise: str = "") -> None:
    """Refuse the address of a user who does not exist.

    Args:
        backend: The database.
        email: What ``--user-email`` was given.
        otherwise: What else can be done than to check it.

    Raises:
        NotExistent: There is no such user.
    """
    known = [
        row["email"]
        for row in await backend.queries.fetch(
            Query.from_(users).select(users.email).orderby(users.email)
        )
    ]
    if email not in known:
        raise NotExistent(
            f"there is no user with the email address {quote(email)} in the database",
            advice=_did_you_mean(map(quote, _closest(email, known)))
            or f"check --user-email{otherwise}",
        )


async def find_groups(
    backend: Backend, identifiers: Sequence[str], pks: Sequence[int] = ()
) -> list[int] | None:
    """The groups that are meant.

    An identifier is read as ``verdi`` reads it: an integer is a pk; what has but hexadecimal digits
    and dashes is a UUID, or its beginning; all else is a label, and so is all that ends in ``!``.
    (Source: aiida-core, ``aiida.orm.utils.loaders.OrmEntityLoader``.)

    Args:
        backend: The database.
        identifiers: Pks, UUIDs and labels.
        pks: Pks. With identifiers too, it is the groups that are among both.

    Returns:
        Their pks; None where nothing was asked.

    Raises:
        NotExistent: Some mean no group.
        InvalidInputError: One means several groups.
    """
    if not identifiers and not pks:
        return None
    named = await _find_identified(backend, identifiers) if identifiers else None
    if not pks:
        return named
    asked = as_pks(pks)
    query = Query.from_(groups).select(groups.id).where(groups.id.isin(asked))
    found = {row["id"] for row in await backend.queries.fetch(query)}
    _require_none("group", (str(pk) for pk in asked if pk not in found))
    return asked if named is None else sorted(set(named).intersection(asked))


async def _find_identified(backend: Backend, identifiers: Sequence[str]) -> list[int]:
    found: list[int] = []
    missing: list[str] = []
    for identifier in dict.fromkeys(identifiers):
        criterion = _meaning(identifier)
        if criterion is None:
            missing.append(identifier)
            continue
        query = Query.from_(groups).select(groups.id).where(criterion).orderby(groups.id)
        meant = [row["id"] for row in await backend.queries.fetch(query)]
        if len(meant) > 1:
            raise InvalidInputError(
                f"{quote(identifier)} means several groups: give the pk of one: {_listed(meant)}"
            )
        found += meant
        if not meant:
            missing.append(identifier)
    if missing:
        query = Query.from_(groups).select(groups.label).orderby(groups.label)
        labels = [row["label"] for row in await backend.queries.fetch(query)]
        advice = _did_you_mean(_meant_labels(missing, labels))
        parts = [part.strip() for one in missing for part in one.split(",")]
        if len(parts) > len(missing) and set(parts).issubset(labels):
            advice = _apart(map(shlex.quote, parts))
        _require_none("group", map(quote, missing), advice)
    return sorted(set(found))


def _meaning(identifier: str) -> Criterion | None:
    """The criterion for the groups that an identifier means; None where it can mean none."""
    if identifier.endswith(_LABEL_MARK):
        return groups.label == identifier.rstrip(_LABEL_MARK)
    try:
        pk = int(identifier)
    except ValueError:
        pass
    else:
        return groups.id == pk if 0 < pk < 2**63 else None
    digits = identifier.replace("-", "")
    if re.fullmatch("[0-9a-fA-F]+", digits) is None:
        return groups.label == identifier
    if len(digits) > len(uuid.UUID(int=0).hex):
        return None
    first, last = (uuid.UUID(digits.ljust(32, fill)) for fill in "0f")
    return groups.uuid.between(first, last)


def _meant_labels(missing: Iterable[str], labels: Sequence[str]) -> list[str]:
    """What should have been typed, for labels that look like pks or UUIDs, or have a slip."""
    meant = []
    for identifier in missing:
        if identifier in labels:
            meant.append(quote(f"{identifier}{_LABEL_MARK}"))
        else:
            meant += map(quote, _closest(identifier, labels))
    return meant


def _closest(name: str, names: Sequence[str]) -> list[str]:
    """The one of some names that is most like another, or has it inside, if there is any."""
    close = difflib.get_close_matches(name, names, n=1)
    if close or not name:
        return close
    return [one for one in names if name.casefold() in one.casefold()][:1]


def _require_none(what: str, wrong: Iterable[str], advice: str | None = None) -> None:
    names = list(wrong)
    if names:
        there = f"there is no {what}" if len(names) == 1 else f"there are no {what}s"
        raise NotExistent(f"{there} {_listed(names)}", advice=advice)


def _did_you_mean(names: Iterable[str]) -> str | None:
    found = list(dict.fromkeys(names))
    return f"did you mean {_listed(found)}?" if found else None


def _apart(names: Iterable[str]) -> str:
    """How several values are given that were given as one."""
    return f"give several one after the other, without commas: {' '.join(names)}"


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(shorten(str(name), 60) for name in names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown

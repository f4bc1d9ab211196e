"""Dictionaries that have AiiDA 2.x's form already, as nearly all have, and are only looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiidadb.querybuilder.dictionary import EDGE_MARK, KEYS, VERTEX_KEYS
from aiidadb.querybuilder.draft import Draft
from aiidadb.querybuilder.entity_types import entity_type_of
from aiidadb.querybuilder.parts import is_number_of_rows, read_number_of_rows
from aiidadb.querybuilder.relations import keywords_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.querybuilder.dictionary import QueryDict, VertexDict

__all__ = ["is_canonical", "read_canonical"]

_TYPE_KEYS: Final[Mapping[str, str]] = {"node": "node_type", "group": "type_string"}
_PROJECTED: Final[Mapping[str, frozenset[str] | None]] = {"cast": None, "func": None}
_ORDERED: Final[Mapping[str, frozenset[str] | None]] = {
    "cast": None,
    "order": frozenset({"asc", "desc"}),
}
"""By key what it can be; None: any text, which the compiler judges."""

_NOTHING: Final[frozenset[str]] = frozenset()


def is_canonical(dictionary: Mapping[str, object]) -> bool:
    """Whether a dictionary has the form that :meth:`Draft.as_dict` gives, as far as paths go.

    What is in its parts may still be in a looser form, or wrong.
    """
    if dictionary.keys() != KEYS:
        return False
    path, filters = dictionary["path"], dictionary["filters"]
    if type(path) is not list or type(filters) is not dict or not path:
        return False
    if not (is_number_of_rows(dictionary["limit"]) and is_number_of_rows(dictionary["offset"])):
        return False
    for vertex in path:
        if type(vertex) is not dict or vertex.keys() != VERTEX_KEYS:
            return False
        entity, tag = vertex["orm_base"], vertex["tag"]
        if type(entity) is not str or type(tag) is not str:
            return False
        own = filters.get(tag)
        if type(own) is not dict or (entity in _TYPE_KEYS and _TYPE_KEYS[entity] not in own):
            return False
    return True


def read_canonical(query: QueryDict) -> QueryDict:
    """A query whose path has 2.x's form, as :meth:`Draft.read` gives it, except for the filters.

    Reading takes about as long as compiling. So what has the form of :meth:`Draft.as_dict` in all
    its parts, as nearly every query has, is only looked at.

    Args:
        query: It is not to be used any more afterwards. Of its filters there is nothing left.

    Raises:
        InvalidInputError: Something in it is not valid.
        InvalidTypeError: Something in it is not of the type that it must have.
    """
    tags = _tags_of_written(query["path"])
    if (
        tags is None
        or type(query["distinct"]) is not bool
        or not _are_written(query["project"], tags, _PROJECTED)
        or type(query["order_by"]) is not list
        or not all(_are_written(spec, tags, _ORDERED) for spec in query["order_by"])
        or not _is_map_of_names(query["project_map"])
    ):
        return Draft.read(query).query
    query["filters"] = tags
    read_number_of_rows(query["limit"], "limit")
    read_number_of_rows(query["offset"], "offset")
    return query


def _tags_of_written(path: Sequence[VertexDict]) -> dict[str, dict[str, Any]] | None:
    """The tags of a path without anything that Draft.append would change or refuse; else None.

    Returns:
        Filters that ask for nothing, by tag.
    """
    tags: dict[str, dict[str, Any]] = {}
    for vertex in path:
        tag, entity, given = vertex["tag"], vertex["orm_base"], vertex["entity_type"]
        for text in given if type(given) is list and given else (given,):
            if type(text) is not str or entity_type_of(text, entity).entity != entity:
                return None
        if not tag or EDGE_MARK in tag or tag in tags or type(vertex["outerjoin"]) is not bool:
            return None
        edge_tag, keyword, joined = (
            vertex["edge_tag"],
            vertex["joining_keyword"],
            vertex["joining_value"],
        )
        if not tags:
            if keyword is not None or joined is not None or edge_tag is not None:
                return None
        elif (
            type(edge_tag) is not str
            or edge_tag in tags
            or edge_tag == tag
            or keyword not in keywords_of(entity)
            or joined not in tags
        ):
            return None
        else:
            tags[edge_tag] = {}
        tags[tag] = {}
    return tags


def _are_written(
    parts: Mapping[str, Sequence[Mapping[str, Mapping[str, str]]]],
    tags: Mapping[str, object],
    known: Mapping[str, frozenset[str] | None],
) -> bool:
    """Whether projections or orders have the form of as_dict, and stand under tags of the query."""
    if type(parts) is not dict or not parts.keys() <= tags.keys():
        return False
    for part in parts.values():
        if type(part) is not list:
            return False
        for one in part:
            if type(one) is not dict:
                return False
            for name, options in one.items():
                if type(name) is not str or type(options) is not dict:
                    return False
                for key, value in options.items():
                    values = known.get(key, _NOTHING)
                    if type(value) is not str or not (values is None or value in values):
                        return False
    return True


def _is_map_of_names(given: object) -> bool:
    """Whether the names in ``dict()`` have the form of as_dict."""
    return type(given) is dict and all(
        type(tag) is str
        and type(names) is dict
        and all(type(one) is str for pair in names.items() for one in pair)
        for tag, names in given.items()
    )

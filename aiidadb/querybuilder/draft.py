"""A query that is being put together: read in every form that AiiDA takes, written in that of 2.x.

Nothing here knows of SQL or of a database. What is asked for is checked as far as AiiDA checks it
while a query is put together; the rest is left to the compiler.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from aiidadb.arguments import as_flag
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import did_you_mean, quote
from aiidadb.querybuilder.dictionary import EDGE_MARK, KEYS, VERTEX_KEYS
from aiidadb.querybuilder.entities import ENTITIES
from aiidadb.querybuilder.entity_types import EntityType, entity_type_of, type_filters
from aiidadb.querybuilder.parts import (
    as_text,
    optional_text,
    read_filters,
    read_number_of_rows,
    read_orders,
    read_projections,
)
from aiidadb.querybuilder.relations import keywords_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiidadb.querybuilder.dictionary import QueryDict, VertexDict

__all__ = ["Draft"]

_MOST_TAGS: Final = 99
_JOINING: Final = (
    "direction",
    *dict.fromkeys(one for each in ENTITIES for one in keywords_of(each)),
)
_ARGUMENTS: Final = (
    *VERTEX_KEYS,
    *("cls", "filters", "project", "subclassing", "edge_filters", "edge_project"),
    *_JOINING,
)
"""What ``append()`` takes, and a vertex of a dictionary has."""


class Draft:
    """A query that is being put together, as AiiDA's QueryBuilder does it.

    What fails changes nothing.

    Attributes:
        query: What was asked so far.
    """

    def __init__(self) -> None:
        self.query: QueryDict = {
            "path": [],
            "filters": {},
            "project": {},
            "project_map": {},
            "order_by": [],
            "limit": None,
            "offset": None,
            "distinct": False,
        }
        self._tags_of_class: dict[object, list[str]] = {}

    @classmethod
    def read(cls, dictionary: Mapping[str, Any] | QueryDict) -> Draft:
        """Read a dictionary of AiiDA 2.x or 1.x, or of a client that sends JSON.

        Raises:
            InvalidInputError: Something in it is not valid.
            InvalidTypeError: Something in it is not of the type that it must have.
        """
        if not isinstance(dictionary, dict):
            raise InvalidTypeError(f"a query is a dictionary, not {quote(dictionary)}")
        for key in dictionary:
            if key not in KEYS:
                raise InvalidTypeError(f"a query has no key {quote(key)}: {_known(key, KEYS)}")
        draft = cls()
        path = dictionary.get("path", ())
        if not isinstance(path, list | tuple):
            raise InvalidTypeError(f"the path must be a list, not {quote(path)}")
        for item in path:
            draft._append_item(item)
        for name, add in (("project", draft.add_projection), ("filters", draft.add_filter)):
            parts = dictionary.get(name) or {}
            if not isinstance(parts, dict):
                raise InvalidTypeError(f"{name} must be a dictionary of tags, not {quote(parts)}")
            for tag, part in parts.items():
                add(tag, part)
        draft._set_project_map(dictionary.get("project_map") or {})
        draft.limit(dictionary.get("limit"))
        draft.offset(dictionary.get("offset"))
        if order_by := dictionary.get("order_by"):
            draft.order_by(order_by)
        distinct = dictionary.get("distinct")
        draft.distinct(False if distinct is None else distinct)
        return draft

    def as_dict(self) -> QueryDict:
        """The query in AiiDA 2.x's form, as a copy."""
        return copy.deepcopy(self.query)

    # ------------------------------------------------------------ the path

    def append(
        self,
        cls: object = None,
        entity_type: object = None,
        tag: str | None = None,
        filters: object = None,
        project: object = None,
        *,
        subclassing: bool = True,
        edge_tag: str | None = None,
        edge_filters: object = None,
        edge_project: object = None,
        outerjoin: bool = False,
        joining_keyword: str | None = None,
        joining_value: object = None,
        orm_base: str | None = None,
        **joining: object,
    ) -> None:
        """Add a vertex; takes and raises what :meth:`aiidadb.QueryBuilder.append` does."""
        for name in joining:
            if name not in _JOINING:
                raise InvalidInputError(
                    f"append() has no argument {quote(name)}: {_known(name, _ARGUMENTS)}"
                )
        types, is_list = _types_of(cls, entity_type, orm_base)
        tag = self._new_tag(tag, types)
        keyword, joined = self._joining(types[0].entity, joining_keyword, joining_value, joining)
        query = self.query
        if query["path"]:
            edge_tag = self._new_edge_tag(edge_tag, joined, tag)
        else:
            edge_tag = optional_text(edge_tag, "edge_tag")
        own: dict[str, Any] = type_filters(types, subclassing=as_flag(subclassing, "subclassing"))
        if filters is not None:
            own.update(read_filters(filters))
        vertex: VertexDict = {
            "entity_type": [one.text for one in types] if is_list else types[0].text,
            "orm_base": types[0].entity,
            "tag": tag,
            "joining_keyword": keyword,
            "joining_value": joined,
            "edge_tag": edge_tag,
            "outerjoin": as_flag(outerjoin, "outerjoin"),
        }
        projected, names = read_projections(() if project is None else project)
        edge_own = {} if edge_filters is None else read_filters(edge_filters)
        edge_projected, edge_names = read_projections(() if edge_project is None else edge_project)
        # All of it is right: from here on nothing fails.
        query["filters"][tag] = own
        query["project"][tag] = projected
        self._name(tag, names)
        if query["path"]:
            assert edge_tag is not None
            query["filters"][edge_tag] = edge_own
            query["project"][edge_tag] = edge_projected
            self._name(edge_tag, edge_names)
        query["path"].append(vertex)
        if isinstance(cls, type | list | tuple | set):
            self._tags_of_class.setdefault(_class_key(cls), []).append(tag)

    def last_tag(self) -> str:
        """The tag of the last vertex.

        Raises:
            InvalidInputError: There is none.
        """
        if not self.query["path"]:
            raise InvalidInputError("the query is empty: append something first")
        return self.query["path"][-1]["tag"]

    def tag_of(self, given: object) -> str:
        """The tag that a tag or a class stands for.

        Raises:
            InvalidInputError: None does, or several do.
        """
        tags = self.query["filters"]
        if isinstance(given, str):
            if given in tags:
                return str.__str__(given)
            hint = did_you_mean(given, tags)
            hint = hint or f"there are {', '.join(map(quote, tags)) or 'none'}"
            raise InvalidInputError(f"there is no tag {quote(given)}: {hint}")
        several = given if isinstance(given, list | tuple | set) else [given]
        if not all(isinstance(one, type) for one in several):
            raise InvalidTypeError(f"{quote(given)} is neither a tag nor a class")
        found = self._tags_of_class.get(_class_key(given), [])
        if len(found) != 1:
            what = f"the tags {', '.join(found)}" if found else "no tag"
            raise InvalidInputError(f"{quote(given)} stands for {what}: give one tag")
        return found[0]

    def _append_item(self, item: object) -> None:
        if not isinstance(item, dict):
            self.append(item)
            return
        for key in item:
            if not isinstance(key, str):
                raise InvalidTypeError(f"a vertex has no key {quote(key)}: keys are texts")
            if key not in _ARGUMENTS:
                raise InvalidInputError(
                    f"a vertex has no key {quote(key)}: {_known(key, _ARGUMENTS)}"
                )
        self.append(**item)

    def _new_tag(self, tag: str | None, types: list[EntityType]) -> str:
        taken = self.query["filters"]
        if tag:
            tag = as_text(tag, "tag")
            if EDGE_MARK in tag:
                raise InvalidInputError(
                    f"the tag {quote(tag)} holds {EDGE_MARK!r}, which only tags of edges do"
                )
            if tag in taken:
                raise InvalidInputError(f"the tag {quote(tag)} is used already")
            return tag
        base = "-".join(one.text.rstrip(".").rsplit(".", 1)[-1] or "node" for one in types)
        for number in range(1, _MOST_TAGS + 1):
            if (made := f"{base}_{number}") not in taken:
                return made
        raise InvalidInputError(f"there are {_MOST_TAGS} vertices like {quote(base)}: give tags")

    def _new_edge_tag(self, edge_tag: str | None, joined: str | None, tag: str) -> str:
        if edge_tag is None:
            assert joined is not None
            edge_tag = f"{joined}{EDGE_MARK}{tag}"
        edge_tag = as_text(edge_tag, "edge_tag")
        if edge_tag in self.query["filters"] or edge_tag == tag:
            raise InvalidInputError(f"the tag {quote(edge_tag)} is used already")
        return edge_tag

    def _joining(
        self, entity: str, keyword: object, value: object, given: dict[str, object]
    ) -> tuple[str | None, str | None]:
        """How a new vertex is joined: the keyword, and the tag that it is joined to."""
        path = self.query["path"]
        known = keywords_of(entity)
        for name, what in given.items():
            is_direction = name == "direction" and entity == "node"
            if name not in known and not is_direction:
                raise InvalidInputError(
                    f"{quote(name)} does not join a {entity}: there are "
                    f"{', '.join(known) or 'none'}"
                )
            if keyword:
                raise InvalidInputError(f"{quote(keyword)} and {quote(name)} both say how to join")
            keyword, value = self._direction(what) if is_direction else (name, self.tag_of(what))
        if not path:
            return optional_text(keyword, "joining_keyword"), optional_text(value, "joining_value")
        if keyword is None:
            keyword = "with_incoming" if entity == "node" else "with_node"
            value = path[-1]["tag"]
        keyword = as_text(keyword, "joining_keyword")
        if keyword not in known:
            raise InvalidInputError(
                f"{quote(keyword)} does not join a {entity}: {_known(keyword, known)}"
            )
        return keyword, self.tag_of(value)

    def _direction(self, steps: object) -> tuple[str, str]:
        path = self.query["path"]
        if not isinstance(steps, int):
            raise InvalidTypeError(f"direction must be an integer, not {quote(steps)}")
        if steps == 0 or abs(steps) > len(path):
            raise InvalidInputError(
                f"direction={quote(steps)} points to no vertex: there are {len(path)} before it"
            )
        return "with_incoming" if steps > 0 else "with_outgoing", path[-abs(steps)]["tag"]

    # ------------------------------------------------------------ what is asked of it

    def add_filter(self, tag: object, filters: object) -> None:
        """Add to the filters of a vertex or edge; those of the same key are replaced."""
        self.query["filters"][self.tag_of(tag)].update(read_filters(filters))

    def add_projection(self, tag: object, projections: object) -> None:
        """Say what is projected of a vertex or edge, in place of what was said before."""
        found = self.tag_of(tag)
        self.query["project"][found], names = read_projections(projections)
        self._name(found, names)

    def order_by(self, order: object) -> None:
        """Say how rows are ordered, in place of what was said before."""
        specs = order if isinstance(order, list | tuple) else [order]
        found = []
        for spec in specs:
            if not isinstance(spec, dict):
                raise InvalidTypeError(
                    f"order_by takes dictionaries of tags and fields, not {quote(spec)}"
                )
            found.append({self.tag_of(tag): read_orders(fields) for tag, fields in spec.items()})
        self.query["order_by"] = found

    def limit(self, number: object) -> None:
        """Say how many rows there are at most."""
        self.query["limit"] = read_number_of_rows(number, "limit")

    def offset(self, number: object) -> None:
        """Say how many rows are skipped."""
        self.query["offset"] = read_number_of_rows(number, "offset")

    def distinct(self, value: object = True) -> None:
        """Say whether equal rows are one."""
        if not isinstance(value, bool):
            raise InvalidTypeError(f"distinct takes True or False, not {quote(value)}")
        self.query["distinct"] = value

    def _name(self, tag: str, names: dict[str, str]) -> None:
        if names:
            self.query["project_map"].setdefault(tag, {}).update(names)

    def _set_project_map(self, given: object) -> None:
        if not isinstance(given, dict):
            raise InvalidTypeError(f"project_map must be a dictionary, not {quote(given)}")
        for tag, names in given.items():
            if not isinstance(tag, str) or not isinstance(names, dict):
                raise InvalidTypeError("project_map has a dictionary of names for each tag")
            if not all(isinstance(one, str) for pair in names.items() for one in pair):
                raise InvalidTypeError("project_map has texts for fields and for their names")
        self.query["project_map"] = {tag: dict(names) for tag, names in given.items()}


def _types_of(cls: object, entity_type: object, orm_base: object) -> tuple[list[EntityType], bool]:
    """The types of a vertex, and whether they were given as a list of several."""
    given = entity_type if cls is None else cls
    if given is None:
        raise InvalidInputError("a vertex needs an entity type, or a class")
    if cls is not None and entity_type is not None:
        raise InvalidInputError("a vertex has either a class or an entity type, not both")
    entity = optional_text(orm_base, "orm_base")
    several = list(given) if isinstance(given, list | tuple | set) else [given]
    if not several:
        raise InvalidInputError("a vertex needs an entity type, or a class: the list is empty")
    types = [entity_type_of(one, entity) for one in several]
    entities = dict.fromkeys(one.entity for one in types)
    if len(entities) > 1:
        raise InvalidInputError(f"one vertex cannot be both: {' and '.join(entities)}")
    return types, len(several) > 1


def _known(name: object, known: Collection[str]) -> str:
    """What may have been meant by a name that is not known, or else all that are."""
    return did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"


def _class_key(given: object) -> object:
    return tuple(given) if isinstance(given, list | set) else given

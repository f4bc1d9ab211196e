"""AiiDA's dictionaries of queries: read in every form that AiiDA takes, written in that of 2.x.

Nothing here knows of SQL or of a database. What is asked for is checked as far as AiiDA checks it
while a query is put together; the rest is left to the compiler.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, TypedDict

from aiidadb.arguments import as_flag
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import did_you_mean, quote
from aiidadb.querybuilder.entity_types import EntityType, entity_type_of, type_filters
from aiidadb.querybuilder.relations import keywords_of
from aiidadb.querybuilder.shape import DEEPEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "KEYS",
    "VERTEX_KEYS",
    "Draft",
    "QueryDict",
    "VertexDict",
    "is_canonical",
    "read_canonical",
]


class VertexDict(TypedDict):
    """An item of a query's path, as ``as_dict()`` gives it."""

    entity_type: str | list[str]
    orm_base: str
    tag: str
    joining_keyword: str | None
    joining_value: str | None
    edge_tag: str | None
    outerjoin: bool


class QueryDict(TypedDict):
    """A query, as ``QueryBuilder.as_dict()`` of AiiDA 2.x gives it."""

    path: list[VertexDict]
    filters: dict[str, dict[str, Any]]
    project: dict[str, list[dict[str, dict[str, str]]]]
    project_map: dict[str, dict[str, str]]
    order_by: list[dict[str, list[dict[str, dict[str, str]]]]]
    limit: int | None
    offset: int | None
    distinct: bool


KEYS: Final = QueryDict.__annotations__.keys()
VERTEX_KEYS: Final = VertexDict.__annotations__.keys()

_EDGE_MARK: Final = "--"
_MOST_TAGS: Final = 99
_TYPE_KEYS: Final[Mapping[str, str]] = {"node": "node_type", "group": "type_string"}
_APPEND: Final = frozenset(
    {
        *VERTEX_KEYS,
        *("cls", "filters", "project", "subclassing", "edge_filters", "edge_project"),
    }
)


def is_canonical(dictionary: Mapping[str, object]) -> bool:
    """Whether a dictionary has the form that :meth:`Draft.as_dict` gives, as far as paths go.

    What is in its parts may still be in a looser form, or wrong.
    """
    if dictionary.keys() != KEYS:
        return False
    path, filters = dictionary["path"], dictionary["filters"]
    if type(path) is not list or type(filters) is not dict or not path:
        return False
    if not (_is_number_of_rows(dictionary["limit"]) and _is_number_of_rows(dictionary["offset"])):
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
    _number_of_rows(query["limit"], "limit")
    _number_of_rows(query["offset"], "offset")
    return query


_PROJECTED: Final[Mapping[str, frozenset[str] | None]] = {"cast": None, "func": None}
_ORDERED: Final[Mapping[str, frozenset[str] | None]] = {
    "cast": None,
    "order": frozenset({"asc", "desc"}),
}
"""By key what it can be; None: any text, which the compiler judges."""


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
        if not tag or _EDGE_MARK in tag or tag in tags or type(vertex["outerjoin"]) is not bool:
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


_NOTHING: Final[frozenset[str]] = frozenset()


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
                known = did_you_mean(key, KEYS) or f"there are {', '.join(KEYS)}"
                raise InvalidTypeError(f"a query has no key {quote(key)}: {known}")
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
        types, is_list = _types_of(cls, entity_type, orm_base)
        tag = self._new_tag(tag, types)
        keyword, joined = self._joining(types[0].entity, joining_keyword, joining_value, joining)
        query = self.query
        if query["path"]:
            edge_tag = self._new_edge_tag(edge_tag, joined, tag)
        else:
            edge_tag = _optional_text(edge_tag, "edge_tag")
        own: dict[str, Any] = type_filters(types, subclassing=as_flag(subclassing, "subclassing"))
        if filters is not None:
            own.update(_filters(filters))
        vertex: VertexDict = {
            "entity_type": [one.text for one in types] if is_list else types[0].text,
            "orm_base": types[0].entity,
            "tag": tag,
            "joining_keyword": keyword,
            "joining_value": joined,
            "edge_tag": edge_tag,
            "outerjoin": as_flag(outerjoin, "outerjoin"),
        }
        projected, names = _projections(() if project is None else project)
        edge_own = {} if edge_filters is None else _filters(edge_filters)
        edge_projected, edge_names = _projections(() if edge_project is None else edge_project)
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
        self.append(**item)

    def _new_tag(self, tag: str | None, types: list[EntityType]) -> str:
        taken = self.query["filters"]
        if tag:
            tag = _as_text(tag, "tag")
            if _EDGE_MARK in tag:
                raise InvalidInputError(
                    f"the tag {quote(tag)} holds {_EDGE_MARK!r}, which only tags of edges do"
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
            edge_tag = f"{joined}{_EDGE_MARK}{tag}"
        edge_tag = _as_text(edge_tag, "edge_tag")
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
                unknown = did_you_mean(name, [*known, *_APPEND])
                raise InvalidInputError(
                    f"{quote(name)} does not join a {entity}: "
                    f"{unknown or 'there are ' + (', '.join(known) or 'none')}"
                )
            if keyword:
                raise InvalidInputError(f"{quote(keyword)} and {quote(name)} both say how to join")
            keyword, value = self._direction(what) if is_direction else (name, self.tag_of(what))
        if not path:
            return _optional_text(keyword, "joining_keyword"), _optional_text(
                value, "joining_value"
            )
        if keyword is None:
            keyword = "with_incoming" if entity == "node" else "with_node"
            value = path[-1]["tag"]
        keyword = _as_text(keyword, "joining_keyword")
        if keyword not in known:
            hint = did_you_mean(keyword, known) or f"there are {', '.join(known) or 'none'}"
            raise InvalidInputError(f"{quote(keyword)} does not join a {entity}: {hint}")
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
        self.query["filters"][self.tag_of(tag)].update(_filters(filters))

    def add_projection(self, tag: object, projections: object) -> None:
        """Say what is projected of a vertex or edge, in place of what was said before."""
        found = self.tag_of(tag)
        self.query["project"][found], names = _projections(projections)
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
            found.append({self.tag_of(tag): _orders(fields) for tag, fields in spec.items()})
        self.query["order_by"] = found

    def limit(self, number: object) -> None:
        """Say how many rows there are at most."""
        self.query["limit"] = _number_of_rows(number, "limit")

    def offset(self, number: object) -> None:
        """Say how many rows are skipped."""
        self.query["offset"] = _number_of_rows(number, "offset")

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
    entity = _optional_text(orm_base, "orm_base")
    several = list(given) if isinstance(given, list | tuple | set) else [given]
    if not several:
        raise InvalidInputError("a vertex needs an entity type, or a class: the list is empty")
    types = [entity_type_of(one, entity) for one in several]
    entities = dict.fromkeys(one.entity for one in types)
    if len(entities) > 1:
        raise InvalidInputError(f"one vertex cannot be both: {' and '.join(entities)}")
    return types, len(several) > 1


def _class_key(given: object) -> object:
    return tuple(given) if isinstance(given, list | set) else given


def _filters(given: object) -> dict[str, Any]:
    """Filters as a dictionary, with what aiida-core's own objects stand for put in their place."""
    if not isinstance(given, dict):
        as_filter = getattr(given, "as_filter", None)
        if callable(as_filter):  # a boolean field of aiida-core's
            given = as_filter()
        items = getattr(given, "items", None)
        if not callable(items) or isinstance(given, type):
            raise InvalidTypeError(f"filters must be a dictionary, not {quote(given)}")
        given = dict(items())
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = getattr(key, "backend_key", key)
        if not isinstance(name, str):
            raise InvalidTypeError(f"a filter is on the name of a field, not on {quote(key)}")
        name = str.__str__(name)
        if _is_entity(value):
            found[f"{name}_id"] = value.pk
        else:
            found[name] = _copied(value)
    return found


_IMMUTABLE: Final = frozenset({str, int, float, bool, type(None)})


def _copied(value: Any, depth: int = 0) -> Any:
    """A value that does not change with what the caller does to it later."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if depth > DEEPEST:
        raise InvalidInputError(f"a filter is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_plain(key): _copied(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [one if type(one) in _IMMUTABLE else _copied(one, depth + 1) for one in value]
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever the object's own methods raise
        raise InvalidTypeError(f"{quote(value)} cannot be the value of a filter") from None


def _plain(key: Any) -> Any:
    """A key, as a plain text where it is one of a class of its own."""
    return str.__str__(key) if isinstance(key, str) else key


def _is_entity(value: object) -> bool:
    kind = type(value)
    return kind.__module__.startswith("aiida.") and any(
        base.__name__ == "Entity" for base in kind.__mro__
    )


def _projections(given: object) -> tuple[list[dict[str, dict[str, str]]], dict[str, str]]:
    """Projections in AiiDA's form, and what fields are called in ``dict()`` instead."""
    names: dict[str, str] = {}
    found = []
    for one in given if isinstance(given, list | tuple) else [given]:
        if isinstance(one, dict):
            items: Iterable[tuple[object, object]] = one.items()
        elif isinstance(one, str) or hasattr(one, "backend_key"):
            items = [(one, {})]
        elif type(one).__name__ == "QbFields":
            fields: Any = one
            items = [(fields[name], {}) for name in fields]
        else:
            raise InvalidInputError(f"{quote(one)} is not the name of a field, or a dictionary")
        found.append({_field(field, names): _options(spec) for field, spec in items})
    return found, names


def _field(given: object, names: dict[str, str]) -> str:
    field = getattr(given, "backend_key", given)
    if not isinstance(field, str):
        raise InvalidTypeError(f"a field is named by a text, not by {quote(given)}")
    field = str.__str__(field)
    name = getattr(given, "key", field)
    if isinstance(name, str) and name != field:
        names[field] = name
    return field


def _options(spec: object) -> dict[str, str]:
    if not isinstance(spec, dict):
        raise InvalidTypeError(
            f"the options of a projection are a dictionary, such as {{'cast': 'f'}}, not "
            f"{quote(spec)}"
        )
    for key, value in spec.items():
        if key not in ("func", "cast"):
            raise InvalidInputError(f"a projection takes 'cast' and 'func', not {quote(key)}")
        _as_text(value, f"{key} of a projection")
    return {str.__str__(key): str.__str__(value) for key, value in spec.items()}


def _orders(fields: object) -> list[dict[str, dict[str, str]]]:
    found = []
    for one in fields if isinstance(fields, list | tuple) else [fields]:
        field = getattr(one, "backend_key", one)
        if isinstance(field, str):
            found.append({str.__str__(field): {"order": "asc"}})
        elif isinstance(one, dict):
            found.append({_field(name, {}): _order(spec) for name, spec in one.items()})
        else:
            raise InvalidInputError(f"rows cannot be ordered by {quote(one)}: name a field")
    return found


def _order(spec: object) -> dict[str, str]:
    if isinstance(spec, str):
        spec = {"order": spec}
    if not isinstance(spec, dict):
        raise InvalidTypeError(f"an order is 'asc' or 'desc', or a dictionary, not {quote(spec)}")
    for key, value in spec.items():
        if key not in ("order", "cast"):
            raise InvalidInputError(f"an order takes 'order' and 'cast', not {quote(key)}")
        if key != "cast" or value is not None:
            _as_text(value, f"{key} of an order")
    found = {_plain(key): _plain(value) for key, value in spec.items()}
    found.setdefault("order", "asc")
    if found["order"] not in ("asc", "desc"):
        raise InvalidInputError(f"an order is 'asc' or 'desc', not {quote(found['order'])}")
    return found


def _number_of_rows(number: object, what: str) -> int | None:
    if number is not None and not isinstance(number, int):
        raise InvalidTypeError(f"{what} must be a number of rows, or None, not {quote(number)}")
    if not _is_number_of_rows(number):
        raise InvalidInputError(f"{what} must be a number of rows, not {quote(number)}")
    return number


def _is_number_of_rows(number: object) -> bool:
    return number is None or (isinstance(number, int) and 0 <= number < 2**63)


def _as_text(value: object, what: str) -> str:
    """A text, as a plain one."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{what} must be a text, not {quote(value)}")
    return str.__str__(value)


def _optional_text(value: object, what: str) -> str | None:
    return None if value is None else _as_text(value, what)

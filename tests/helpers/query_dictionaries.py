"""Dictionaries of queries over what is in a database, drawn by hypothesis.

Most of what is asked for is so: it is found in rows that are joined as the query joins them. What
aiida-core 2.9.4 cannot answer, or answers wrongly, is left out: the table of differences in the
documentation says what that is, and has tests of its own.
"""

from __future__ import annotations

import datetime
import math
import operator
import re
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from aiidadb.querybuilder.entities import ENTITIES, LINK
from aiidadb.querybuilder.entity_types import entity_type_of, type_filters
from aiidadb.querybuilder.relations import Walk, keywords_of, relation_of
from tests.helpers.query_contents import Contents, places_in, value_at

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from aiidadb.querybuilder.entities import Column
    from tests.helpers.query_contents import Row

__all__ = ["EVERYTHING", "SMALL", "features_of", "queries"]

_TIME: Final = datetime.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)
_UUID: Final = uuid.UUID("b6f216b8-a42a-4ba1-b15e-526a61d3a59c")

SMALL: Final = Contents(
    {
        "node": [
            {"id": 1, "uuid": _UUID, "node_type": "data.core.dict.Dict.", "process_type": None,
             "label": "one", "ctime": _TIME, "dbcomputer_id": None, "user_id": 1,
             "attributes": {"a": {"b": [1, 2.5, "x", None, True]}}, "extras": {"é \"'": "%"}},
            {"id": 2, "uuid": _UUID, "node_type": "process.calculation.calcjob.CalcJobNode.",
             "process_type": "aiida.calculations:x", "label": "", "ctime": _TIME,
             "dbcomputer_id": 1, "user_id": 1, "attributes": {}, "extras": {"list": [1]}},
        ],
        "group": [{"id": 1, "label": "all", "type_string": "core", "time": _TIME, "user_id": 1,
                   "extras": {"x": 1}}],
        "computer": [{"id": 1, "label": "daint", "metadata": {"cores": 5}}],
        "user": [{"id": 1, "email": "ada@epfl.ch"}],
        "authinfo": [{"id": 1, "enabled": True, "aiidauser_id": 1, "dbcomputer_id": 1}],
        "comment": [{"id": 1, "content": "hm", "dbnode_id": 1, "user_id": 1, "mtime": _TIME}],
        "log": [{"id": 1, "message": "oh", "dbnode_id": 2, "time": _TIME, "metadata": {}}],
        "link": [{"id": 1, "input_id": 1, "output_id": 2, "type": "input_calc", "label": "in"}],
    },
    [{"id": 1, "dbnode_id": 1, "dbgroup_id": 1}],
)  # fmt: skip
"""Where there is no database: not quite all of AiiDA's columns, and a row or two of each table."""

_ON_COLUMNS: Final = ("==", ">", "<", ">=", "<=", "like", "ilike", "in", "and", "or")
_IN_JSON: Final = (
    *_ON_COLUMNS, "=>", "=<", "of_type", "contains", "has_key", "of_length", "longer", "shorter",
)  # fmt: skip
_RARE: Final = (
    "in",
    "contains",
    "of_length",
    "longer",
    "shorter",
    "has_key",
)  # fewer places have what they ask for
_COMBINED: Final = ("and", "or", "!and", "!or")
_CASTS: Final = "fibtjd"
_JOINS: Final = [
    (entity, keyword, relation.joined)
    for entity in ENTITIES
    for keyword, relation in keywords_of(entity).items()
]
EVERYTHING: Final = frozenset(
    [f"{sign}{name} on a column" for name in _ON_COLUMNS for sign in ("", "!")]
    + [f"{sign}{name} in JSON" for name in _IN_JSON for sign in ("", "!")]
    + [f"{name} of filters" for name in _COMBINED]
    + [f"cast {cast}" for cast in _CASTS]
    + [f"order by cast {cast}" for cast in _CASTS]
    + [f"{entity} {keyword}" for entity, keyword, _ in _JOINS]
    + [f"{entity} first" for entity in ENTITIES]
    + [f"{number} vertices" for number in (1, 2, 3, 4)]
    + ["max", "count", "*", "**", "order_by", "limit", "offset", "distinct", "outer join"]
    + ["filter of an edge", "projection of an edge", "odd key", "key that is missing", "null"]
)
"""What queries can have, by the names of :func:`features_of`."""

_SYNONYMS: Final[dict[str, dict[str, str]]] = {
    "node": {"pk": "id", "user": "user_id", "computer": "dbcomputer_id"},
    "group": {"pk": "id", "user": "user_id"},
    "comment": {"pk": "id", "user": "user_id", "node": "dbnode_id"},
    "log": {"pk": "id", "node": "dbnode_id"},
    "authinfo": {"pk": "id", "user": "aiidauser_id", "computer": "dbcomputer_id"},
    "user": {"pk": "id"},
    "computer": {"pk": "id"},
}
_SIGNS: Final = {
    "==": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "=>": operator.ge, "=<": operator.le,
}  # fmt: skip
_LENGTHS: Final = {"of_length": operator.eq, "longer": operator.gt, "shorter": operator.lt}
_JSON_TYPES: Final = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number",
    type(None): "null",
}  # fmt: skip
_PATTERNS: Final = ("%", "%a%", "_%", "%\\%%", "S%", "%1", "%\\_%", "%'%")
_LISTS: Final = (dict, list)
_ABSENT: Final = object()
_MOST_WALKS: Final = 2
_PLAIN_STEP: Final = re.compile(r"\w+", re.ASCII)


def queries(contents: Contents = SMALL) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries as ``as_dict()`` gives them."""
    # They are drawn evenly: hypothesis's own choices come to the same few ones again and again,
    # and what they are good for, finding a smaller query, would ask aiida-core for each.
    return st.randoms(use_true_random=True).map(lambda chance: _Drawing(contents, chance).query())


# ---------------------------------------------------------------- what is in a query


def features_of(query: dict[str, Any]) -> Counter[str]:
    """How often each operator, join, cast and so on comes up in a query."""
    return Counter(_features(query))


def _features(query: dict[str, Any]) -> Iterator[str]:
    yield f"{len(query['path'])} vertices"
    for place, vertex in enumerate(query["path"]):
        entity = vertex["orm_base"]
        yield f"{entity} {vertex['joining_keyword']}" if place else f"{entity} first"
        if vertex["outerjoin"]:
            yield "outer join"
    for name in ("order_by", "limit", "offset", "distinct"):
        if query[name] not in (None, False, []):
            yield name
    yield from _features_of_parts(query)


def _features_of_parts(query: dict[str, Any]) -> Iterator[str]:
    edges = {vertex["edge_tag"] for vertex in query["path"]}
    for what, parts in (("filter", query["filters"]), ("projection", query["project"])):
        yield from (f"{what} of an edge" for tag, part in parts.items() if part and tag in edges)
    for filters in query["filters"].values():
        yield from _features_of_filters(filters)
    for projections in query["project"].values():
        for name, options in _fields(projections):
            yield from _features_of_key(name)
            yield name  # of which only `*` and `**` are asked for
            yield from (options.get("func", ""), f"cast {options.get('cast')}")
    for spec in query["order_by"]:
        for fields in spec.values():
            yield from (f"order by cast {options.get('cast')}" for _, options in _fields(fields))


def _fields(parts: list[dict[str, dict[str, str]]]) -> Iterator[tuple[str, dict[str, str]]]:
    for one in parts:
        yield from one.items()


def _features_of_filters(filters: dict[str, Any]) -> Iterator[str]:
    for key, what in filters.items():
        bare = key.lstrip("!~")
        if bare in ("and", "or"):
            yield f"{_one_sign(key)} of filters"
            for one in what:
                yield from _features_of_filters(one)
            continue
        yield from _features_of_key(key)
        where = "in JSON" if "." in key or key in ("attributes", "extras") else "on a column"
        yield from _features_of_operators(what if isinstance(what, dict) else {"==": what}, where)


def _features_of_operators(operators: dict[str, Any], where: str) -> Iterator[str]:
    for name, value in operators.items():
        yield f"{_one_sign(name)} {where}"
        if value is None:
            yield "null"
        if name.lstrip("!~") in ("and", "or"):
            for one in value:
                yield from _features_of_operators(one, where)


def _features_of_key(key: str) -> Iterator[str]:
    steps = key.split(".")[1:]
    if any(_PLAIN_STEP.fullmatch(step) is None for step in steps):
        yield "odd key"
    if "missing" in steps:
        yield "key that is missing"


def _one_sign(name: str) -> str:
    bare = name.lstrip("!~")
    return bare if bare == name else f"!{bare}"


# ---------------------------------------------------------------- whether a row meets a filter


def _meets(row: Row, filters: dict[str, Any]) -> bool:
    """Whether it does, about: SQL's null is false here."""
    for key, what in filters.items():
        bare = key.lstrip("!~")
        if bare in ("and", "or"):
            each = [_meets(row, one) for one in what]
            is_met = not each or (all(each) if bare == "and" else any(each))
            if is_met != (bare == key):
                return False
            continue
        value = value_at(row, key, _ABSENT)
        if not _fits(value, what if isinstance(what, dict) else {"==": what}):
            return False
    return True


def _fits(value: Any, operators: dict[str, Any]) -> bool:
    return all(
        _fits_one(value, name.lstrip("!~"), wanted) == (name[:1] not in "!~")
        for name, wanted in operators.items()
    )


def _fits_one(value: Any, name: str, wanted: Any) -> bool:
    if name in ("and", "or"):
        return (all if name == "and" else any)(_fits(value, one) for one in wanted)
    if name in ("like", "ilike"):
        return _is_like(str(value), wanted, re.IGNORECASE if name == "ilike" else 0)
    if name in _LENGTHS:
        return isinstance(value, list) and _LENGTHS[name](len(value), wanted)
    if isinstance(value, uuid.UUID):
        value, wanted = value.hex, str(wanted).replace("-", "").lower()
    try:
        return bool(_TRUTH[name](value, wanted))
    except TypeError:
        return False


def _is_like(text: str, pattern: str, flags: int) -> bool:
    parts = [re.escape(part).replace("_", ".") for part in re.split(r"(?<!\\)%", pattern)]
    return re.fullmatch(".*".join(parts), text, flags | re.DOTALL) is not None


def _is_of_type(value: Any, wanted: str) -> bool:
    return wanted == ("null" if value is _ABSENT else _JSON_TYPES.get(type(value)))


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, dict) and isinstance(part, dict):
        return all(key in value and _contains(value[key], one) for key, one in part.items())
    if isinstance(value, list) and isinstance(part, list):
        return all(any(_contains(item, one) for item in value) for one in part)
    return bool(value == part)


_TRUTH: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **_SIGNS,
    "in": lambda value, wanted: value in wanted,
    "has_key": lambda value, wanted: _is_list(value) and wanted in value,
    "contains": _contains,
    "of_type": _is_of_type,
}


# ---------------------------------------------------------------- one query


class _Drawing:
    """Draws one query, and beside it rows that most likely are among those that it finds."""

    def __init__(self, contents: Contents, chance: random.Random) -> None:
        self._contents = contents
        self._chance = chance
        self._found: dict[str, Row] = {}
        self._first_join = _JOINS[0]
        self.path: list[dict[str, Any]] = []
        self.filters: dict[str, Any] = {}
        self.project: dict[str, Any] = {}

    def pick(self, items: Any) -> Any:
        return self._chance.choice(items if isinstance(items, list | tuple | str) else list(items))

    def happens(self, one_in: float) -> bool:
        return self._chance.random() * one_in < 1

    def query(self) -> dict[str, Any]:
        number = self.pick((1, 1, 2, 2, 2, 3, 3, 4))
        self.first_vertex(is_alone=number == 1)
        while len(self.path) < number and self.next_vertex():
            pass
        query: dict[str, Any] = {
            "path": self.path,
            "filters": self.filters,
            "project": self.project,
            "project_map": {},
            "order_by": [],
            "limit": None,
            "offset": None,
            "distinct": self.happens(4),
        }
        if self.happens(8):
            self.function()
            return query
        for vertex in self.path:
            self.projections(vertex["tag"], vertex["orm_base"])
        for vertex in self.path[1:]:
            if self.is_link(vertex) and self.happens(2):
                names = self._chance.sample(list(LINK.columns), self.pick((1, 2)))
                self.project[vertex["edge_tag"]] = [
                    {name: {}} for name in (["*"] if self.happens(4) else names)
                ]
        if self.happens(2):
            self.order(query)
        return query

    @staticmethod
    def is_link(vertex: dict[str, Any]) -> bool:
        return vertex["joining_keyword"] in ("with_incoming", "with_outgoing")

    # ------------------------------------------------------------ the path

    def first_vertex(self, *, is_alone: bool) -> None:
        # Evenly by what can be joined to it, so that rare joins come up too.
        entity = self.pick((*ENTITIES, "link", "link", *["node"] * 6))
        rows = self._contents.rows[entity]
        if not is_alone:
            new, keyword, entity = self._first_join = self.pick(_JOINS)
            rows = self._contents.rows[entity]
            rows = [
                row for row in rows if self._contents.partners(new, keyword, entity, row)
            ] or rows
        if self.happens(1.5):
            rows = [row for row in rows if _has_much_json(row)] or rows
        self.add(entity, self.pick(rows), None, None, is_loose=is_alone)

    def next_vertex(self) -> bool:
        walks = sum(isinstance(self.relation(vertex), Walk) for vertex in self.path[1:])
        choices = [
            (vertex, entity, keyword)
            for vertex in self.path
            for entity, keyword, joined in _JOINS
            if joined == vertex["orm_base"]
            and (walks < _MOST_WALKS or not isinstance(keywords_of(entity)[keyword], Walk))
        ]
        for _ in range(5):
            vertex, entity, keyword = self.pick(choices)
            if len(self.path) == 1:
                entity, keyword, _ = self._first_join
            joined = vertex["orm_base"]
            found = self._contents.partners(entity, keyword, joined, self._found[vertex["tag"]])
            found = [one for one in found if _has_much_json(one[0])] or found
            if found or self.happens(20):
                row, edge = self.pick(found) if found else (self.pick(self.rows(entity)), {})
                self.add(entity, row, keyword, vertex["tag"], edge)
                return True
        return False

    def rows(self, entity: str) -> list[Row]:
        return self._contents.rows[entity]

    def relation(self, vertex: dict[str, Any]) -> object:
        joined = next(one for one in self.path if one["tag"] == vertex["joining_value"])
        return relation_of(vertex["orm_base"], vertex["joining_keyword"], joined["orm_base"])

    def add(
        self,
        entity: str,
        row: Row,
        keyword: str | None,
        joined: str | None,
        edge: Row | None = None,
        *,
        is_loose: bool = False,
    ) -> None:
        tag = f"v{len(self.path)}"
        types = [entity_type_of(one, entity) for one in self.types(entity, row)]
        own = row.get("node_type", row.get("type_string"))
        exact = all(one.text.removeprefix("group.") == own for one in types)
        self.filters[tag] = dict(type_filters(types, subclassing=not (exact and self.happens(2))))
        vertex = {
            "entity_type": types[0].text if len(types) == 1 else [one.text for one in types],
            "orm_base": entity,
            "tag": tag,
            "joining_keyword": keyword,
            "joining_value": joined,
            "edge_tag": f"{joined}--{tag}" if joined else None,
            "outerjoin": bool(joined) and self.happens(6),
        }
        self.path.append(vertex)
        self._found[tag] = row
        self.project[tag] = []
        if joined is None and not is_loose and entity == "node" and not self.happens(4):
            self.filters[tag]["id"] = row["id"]  # or rows that many joins multiply are too many
        most = 1 if vertex["outerjoin"] else 3
        for _ in range(self._chance.randint(1 if is_loose else 0, most)):
            self.filters[tag].update(self.met(entity, row))
        if joined:
            self.filters[vertex["edge_tag"]] = {}
            self.project[vertex["edge_tag"]] = []
            if self.is_link(vertex) and edge and self.happens(2):
                self.filters[vertex["edge_tag"]] = self.met("link", edge)

    def types(self, entity: str, row: Row) -> list[str]:
        if entity == "group":
            return [self.pick(("group.core", f"group.{row['type_string']}"))]
        if entity != "node":
            return [entity]
        own = row["node_type"]
        base = "data.Data." if own.startswith("data.") else "process.ProcessNode."
        several = [self.pick(("", "", "", base, own))]
        if self.happens(6):
            several.append(self.pick(("data.core.dict.Dict.", "process.workflow.WorkflowNode.")))
        return several

    # ------------------------------------------------------------ filters

    def met(self, entity: str, row: Row) -> dict[str, Any]:
        """A filter, which the row most likely meets."""
        asked = self.filter(entity, row)
        for _ in range(0 if self.happens(10) else 12):
            if _meets(row, asked):
                break
            asked = self.filter(entity, row)
        return asked

    def filter(self, entity: str, row: Row, depth: int = 0) -> dict[str, Any]:
        if depth < 2 and self.happens(4):
            each = [self.filter(entity, row, depth + 1) for _ in range(self.pick((0, 1, 2, 2, 3)))]
            return {self.pick(("and", "or", "!and", "~or", "!or", "~and")): each}
        places = list(self.places(entity, row))
        if places and not self.happens(5):
            return self.in_json(entity, places)
        columns = [
            column
            for name, column in ENTITIES[entity].columns.items()
            if name in row and column.kind != "JSON"
        ]
        column = self.pick(columns)
        names = [name for name, real in _SYNONYMS.get(entity, {}).items() if real == column.name]
        name = self.pick(names) if names and self.happens(3) else column.name
        return {name: self.on_column(column, self.values(entity, column.name, row))}

    def values(self, entity: str, column: str, row: Row) -> list[Any]:
        """What stands in a column: in the row, and elsewhere."""
        rows = [] if entity == "link" and "id" not in row else self.rows(entity)
        return [row[column], *(self.pick(rows)[column] for _ in range(3) if rows)]

    def on_column(self, column: Column, values: list[Any], depth: int = 0) -> Any:
        if self.happens(10):
            return self.value(column, values)
        names = [
            name
            for name in _ON_COLUMNS
            if (name != "ilike" or column.kind == "text")
            and (column.kind != "flag" or name in ("==", "and", "or", "in"))
            and (depth == 0 or name not in ("and", "or"))
        ]
        name = self.pick(names)
        wanted: Any
        if name in ("and", "or"):
            each = [self.on_column(column, values, 1) for _ in range(self.pick((1, 2)))]
            wanted = [one if isinstance(one, dict) else {"==": one} for one in each]
        elif name == "in":
            wanted = self.several(column, values)
        elif name in ("like", "ilike"):
            wanted = self.pattern(values)
        else:
            wanted = self.value(column, values)
            if wanted is None:
                name = "=="  # aiida-core does not take None for others
        return {self.sign() + name: wanted}

    def sign(self) -> str:
        return str(self.pick(("", "", "", "!", "~")))

    def several(self, column: Column, values: list[Any]) -> Any:
        known = [value for value in values if value is not None] or values
        one = self.value(column, known, nulls=False)
        others = [one for one in values if type(one) is type(values[0])]
        if column.kind == "text":
            return [one, *(other for other in others if other is not None)]
        return self.pick((list, tuple))([one])

    def value(self, column: Column, values: list[Any], *, nulls: bool = True) -> Any:
        value = self.pick(values)
        if value is None or (nulls and self.happens(12)):
            return None
        if column.kind == "UUID":
            return self.pick((value, str(value), value.hex, str(value).upper()))
        if column.kind == "integer":
            return self.pick((value, value, value + 1, value - 1, float(value)))
        if column.kind == "time":
            later = value + datetime.timedelta(seconds=self.pick((-1, 1)))
            return self.pick((value, value, later, value.replace(tzinfo=None), value.date()))
        return value

    def pattern(self, values: Sequence[Any]) -> str:
        text = str(self.pick(values))
        if self.happens(3) or not text:
            return str(self.pick(_PATTERNS))
        escaped = re.sub(r"([\\%_])", r"\\\1", text)
        at = self._chance.randint(0, len(text))
        start = re.sub(r"([\\%_])", r"\\\1", text[:at])
        end = re.sub(r"([\\%_])", r"\\\1", text[at + 1 :])
        return str(self.pick((escaped, f"{start}%", f"%{end}", f"{start}_{end}")))

    # ------------------------------------------------------------ filters in JSON

    def places(self, entity: str, row: Row) -> Iterator[tuple[str, Any]]:
        """Fields in JSON, of the row or another one, and what is there in the row."""
        for name, column in ENTITIES[entity].columns.items():
            if column.kind != "JSON" or name not in row:
                continue
            # In filters, aiida-core has another name for what it projects as metadata.
            shown = "_metadata" if name == "metadata" else name
            places = list(places_in(shown, row[name]))
            other = places_in(shown, self.pick(self.rows(entity)).get(name))
            others = [(key, value_at(row, key, _ABSENT)) for key, _ in other]
            for key, value in (*places, *self._chance.sample(others, min(2, len(others)))):
                if "." in key or column.is_keyed:
                    yield key, value
            if column.is_keyed and self.happens(4):
                yield f"{shown}.missing", _ABSENT
                yield f"{places[-1][0]}.missing", _ABSENT

    def in_json(self, entity: str, places: list[tuple[str, Any]], depth: int = 0) -> dict[str, Any]:
        name = self.pick((*_IN_JSON, *_RARE))
        fitting = [(key, value) for key, value in places if _can_be_asked(name, value)]
        key, value = self.pick(fitting or places)
        elsewhere = [value_at(self.pick(self.rows(entity)), key, _ABSENT) for _ in range(2)]
        return {key: self.asked_of_json(name, [value, value, *elsewhere], depth)}

    def asked_of_json(self, name: str, values: list[Any], depth: int) -> Any:
        known = [one for one in values if one is not _ABSENT] or [self.pick(("x", 1, True, None))]
        value = self.pick(known)
        if value is None and name in _SIGNS:
            name = "=="
        if name == "==" and not isinstance(value, dict) and self.happens(3):
            return value
        if name in ("and", "or"):
            other = self.pick([one for one in _IN_JSON if one not in ("and", "or")])
            asked = [self.asked_of_json(one, values, depth + 1) for one in (other, "of_type")]
            each = [one if isinstance(one, dict) else {"==": one} for one in asked]
            return {self.sign() + name: each}
        if name in _SIGNS:
            return {self.sign() + name: self.compared(value, name)}
        if name in ("like", "ilike"):
            texts = [one for one in known if isinstance(one, str)]
            return {self.sign() + name: self.pattern(texts or ["x"])}
        wanted: Any
        if name == "of_type":
            wanted = _JSON_TYPES[type(value)]
            if self.happens(3):
                wanted = self.pick(list(_JSON_TYPES.values()))
        elif name == "in":
            wanted = [one for one in known if type(one) is type(value)]
            wanted = self._chance.sample(wanted, self._chance.randint(1, len(wanted)))
            if value is None or _is_list(value):
                wanted = self.pick((["x", "y"], [1, 2]))
        else:
            wanted = self.held(value, name)
        return {self.sign() + name: wanted}

    def compared(self, value: Any, name: str) -> Any:
        """A value to compare one in JSON with."""
        if isinstance(value, bool):  # which have an order in no query of aiida-core's
            return value if name == "==" else self.pick(("x", 1, 2.5))
        if isinstance(value, int | float):
            return self.pick((value, value + 1, value - 1, float(value)))
        return value

    def held(self, value: Any, name: str) -> Any:
        """What a list or object in JSON may be asked to have."""
        if name in _LENGTHS:
            length = len(value) if isinstance(value, list) else 1
            return max(0, length + self.pick((-1, 0, 0, 1)))
        if name == "has_key":
            keys = [one for one in value if isinstance(one, str)] if _is_list(value) else []
            return self.pick(keys or ["x"])
        if _is_list(value) and not self.happens(4):
            return self.part_of(value)
        return self.pick(([1], {"x": 1}))

    def part_of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: self.part_of(one) if _is_list(one) else one
                for key, one in value.items()
                if self.happens(1.5)
            }
        return [one for one in value if self.happens(1.5)]

    # ------------------------------------------------------------ projections and order

    def projections(self, tag: str, entity: str) -> None:
        fields: dict[str, dict[str, str]] = {}
        for _ in range(self.pick((0, 1, 1, 2))):
            kind = self.pick(["column", "JSON", "cast", "cast", "cast", "*", "**"])
            if kind == "**" and not fields:
                fields["**"] = {}
                break
            if kind == "*":
                fields["*"] = {}
                continue
            name, options = self.field(entity, self._found[tag], kind)
            fields[name] = options
        self.project[tag] = [{name: options} for name, options in fields.items()]

    def field(self, entity: str, row: Row, kind: str) -> tuple[str, dict[str, str]]:
        """What can be projected, or ordered by where it is no JSON without a cast."""
        places = [place for place in self.places(entity, row) if "." in place[0]]
        if kind in ("JSON", "cast") and places:
            key, _ = self.pick(places)
            if kind == "JSON":
                return key, {}
            keys: dict[str, list[str]] = {}
            for key, _ in places:
                for cast in self.casts(entity, key):
                    keys.setdefault(cast, []).append(key)
            # Few places have times; without more of these there are too few to count on.
            cast = "d" if "d" in keys and self.happens(2) else self.pick(keys)
            return self.pick(keys[cast]), {"cast": cast}
        names = [
            name
            for name, column in ENTITIES[entity].columns.items()
            if column.kind != "JSON" and name in row
        ]
        return self.pick(names), {}

    def casts(self, entity: str, key: str) -> str:
        """The casts that each row's value at a place can have."""
        possible = set(_CASTS)
        for row in self.rows(entity):
            value = value_at(row, key)
            if value is not None:
                possible &= set(_casts_of(value))
        return "".join(sorted(possible))

    def function(self) -> None:
        """One function of all rows, in place of all projections."""
        tag, entity = self.path[0]["tag"], self.path[0]["orm_base"]
        name = self.pick(("max", "count"))
        field, options = self.field(entity, self._found[tag], self.pick(("column", "cast")))
        column = ENTITIES[entity].columns.get(field)
        if name == "max" and (
            (column is not None and column.kind in ("UUID", "flag"))
            or options.get("cast") in ("j", "b")
        ):
            field, options = "id", {}
        self.project[tag] = [{field: {**options, "func": name}}]

    def order(self, query: dict[str, Any]) -> None:
        by: list[dict[str, Any]] = []
        for vertex in self.path:
            tag, entity = vertex["tag"], vertex["orm_base"]
            fields = [("id", dict[str, str]())]
            if self.happens(1.5):
                kind = self.pick(("column", "cast", "cast"))
                fields.insert(0, self.field(entity, self._found[tag], kind))
            fields = list(dict(fields).items())
            if query["distinct"]:
                # What aiida-core projects and orders by in JSON is not the same to the server.
                fields = [(name, options) for name, options in fields if not options]
                self.project[tag] = [{name: options} for name, options in fields]
            by.append(
                {
                    tag: [
                        {name: {"order": self.pick(("asc", "desc")), **options}}
                        for name, options in fields
                    ]
                }
            )
        query["order_by"] = by
        if self.happens(2):
            query["limit"] = self.pick((0, 1, 2, 5, 50, 50))
            query["offset"] = self.pick((None, 0, 0, 1, 2))


def _has_much_json(row: Row) -> bool:
    values = [value for value in row.values() if isinstance(value, dict)]
    return sum(map(len, values)) > 2


def _is_list(value: Any) -> bool:
    return isinstance(value, _LISTS)


def _can_be_asked(name: str, value: Any) -> bool:
    """Whether an operator has a chance with a value."""
    if name in ("like", "ilike"):
        return isinstance(value, str)
    if name in ("contains", "has_key"):
        return _is_list(value)
    if name in _LENGTHS:
        return isinstance(value, list)
    if name == "in":
        return isinstance(value, str | int | float)
    return True


def _casts_of(value: Any) -> str:
    if isinstance(value, bool):
        return "btj"
    if isinstance(value, int):
        return "fitj"
    if isinstance(value, float):
        return "ftj" if math.isfinite(value) else "t"
    if isinstance(value, str):
        return "dt" if re.match(r"\d{4}-\d\d-\d\dT", value) else "t"
    return "tj"

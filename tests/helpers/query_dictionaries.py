"""Dictionaries of queries over the database of ``query_world``, drawn by hypothesis.

What aiida-core 2.9.4 cannot answer, or answers wrongly, is left out: the table of differences in
the documentation says what that is, and has tests of its own.
"""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from aiidadb.querybuilder.entity_types import entity_type_of, type_filters
from aiidadb.querybuilder.relations import keywords_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SEEN", "queries"]

SEEN: Final[Counter[str]] = Counter()
"""How often each operator, join and cast was drawn."""

_DAY = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
_NOW = datetime.datetime.now(datetime.UTC)

_TYPES: Final[dict[str, list[str]]] = {
    "node": [
        "",
        "",
        "",
        "",
        "data.Data.",
        "data.core.structure.StructureData.",
        "data.core.dict.Dict.",
        "data.core.array.bands.BandsData.",
        "process.ProcessNode.",
        "process.calculation.calcjob.CalcJobNode.",
        "process.calculation.calcfunction.CalcFunctionNode.",
    ],
    "group": ["group.core", "group.core", "group.core.upf"],
    "computer": ["computer"],
    "user": ["user"],
    "comment": ["comment"],
    "log": ["log"],
    "authinfo": ["authinfo"],
}

# Columns, and values that some of them have.
_COLUMNS: Final[dict[str, dict[str, list[Any]]]] = {
    "node": {
        "id": [1, 5, 9, 17, 30, 2.0],
        "pk": [3, 12],
        "label": ["structure 1", "", "calculation 0.0", "nothing"],
        "node_type": ["data.core.dict.Dict.", "data.core.structure.StructureData."],
        "process_type": ["aiida.calculations:qe.pw", "x"],
        "ctime": [_DAY, _NOW],
        "user_id": [1, 2],
        "user": [1],
        "dbcomputer_id": [1, 2],
    },
    "group": {"id": [1, 2, 3], "label": ["relaxed", "relax_all"], "type_string": ["core"],
              "time": [_DAY, _NOW], "user_id": [1, 2], "description": ["of relaxed"]},
    "computer": {"id": [1, 2], "label": ["daint", "local_host"], "hostname": ["localhost"]},
    "user": {"id": [1, 2], "email": ["ada@epfl.ch"], "first_name": ["Emmy", ""]},
    "comment": {"id": [1, 3], "content": ["comment 1"], "user_id": [1], "ctime": [_DAY, _NOW]},
    "log": {"id": [1, 2], "levelname": ["ERROR"], "message": ["message 2"], "time": [_DAY]},
    "authinfo": {"id": [1, 2], "enabled": [True, False], "aiidauser_id": [1, 2]},
}  # fmt: skip
_LINK: Final[dict[str, list[Any]]] = {
    "label": ["structure", "result", "code"],
    "type": ["create", "input_calc", "return"],
    "input_id": [5, 8],
    "id": [1, 2, 3],
}

# Places in JSON, and values that some of them have.
_KEYS: Final[dict[str, list[Any]]] = {
    "extras.formula": ["Si", "SiO2", "x"],
    "extras.number": [0, 1, 2.0, 1.5],
    "extras.half": [0.5, 1.5, 2],
    "extras.flag": [True, False],
    "extras.nothing": [None, 1],
    "extras.list": [[1], [1, 2], []],
    "extras.list.0": [1, 2],
    "extras.list.2.deep": ["x%y_z"],
    "extras.only_some.a": [{"b": 1}, {"b": 2}],
    "extras.only_some.a.b": [1, 2, 3],
    "extras.optimade.elements": [["Si"], ["Si", "O"]],
    "extras.band_gap": [0.5, 1, 1.5],
    "extras.when": ["2024-02-01T00:00:00+00:00"],
    "extras.missing": ["x", 1],
    "attributes.process_state": ["finished", "waiting"],
    "attributes.exit_status": [0, 410, None],
    "attributes.energy": [-1.5, -3.0, 0],
    "attributes.converged": [True, False],
    "attributes.level": [0, 1],
    "attributes": [{"level": 0}],
}
_CASTS: Final = {
    "extras.number": "fi", "extras.half": "f", "extras.flag": "bt", "extras.formula": "t",
    "extras.when": "dt", "extras.only_some.a": "jt", "extras.list": "jt", "attributes.level": "i",
}  # fmt: skip
_PATTERNS: Final = ("%", "s%", "%1", "structure _", "%\\_%", "DATA%", "%a%", "Si%")
_FUNCTIONS: Final = ("max", "count")
_SIGNS: Final = ("", "", "", "!", "~")


@st.composite
def queries(draw: Callable[..., Any]) -> dict[str, Any]:
    """A dictionary as ``as_dict()`` gives it."""
    return _Drawing(draw).query()


class _Drawing:
    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw

    def pick(self, items: Any) -> Any:
        return self._draw(st.sampled_from(list(items)))

    def happens(self, one_in: int) -> bool:
        return self._draw(st.integers(1, one_in)) == 1

    def query(self) -> dict[str, Any]:
        self.path: list[dict[str, Any]] = []
        self.filters: dict[str, Any] = {}
        self.project: dict[str, Any] = {}
        self.edges: dict[str, str] = {}
        for number in range(self._draw(st.integers(1, 4))):
            self.vertex(number)
        distinct = self.happens(3)
        for vertex in self.path:
            self.projections(vertex["tag"], vertex["orm_base"])
        for tag, kind in self.edges.items():
            if kind == "link" and self.happens(3):
                self.project[tag] = [{self.pick(["label", "type", "*"]): {}}]
        query = {
            "path": self.path,
            "filters": self.filters,
            "project": self.project,
            "project_map": {},
            "order_by": [],
            "limit": None,
            "offset": None,
            "distinct": distinct,
        }
        if self.happens(6):
            self.function(query)
        elif self.happens(3):
            self.order(query)
        return query

    def vertex(self, number: int) -> None:
        tag = f"v{number}"
        keyword = joined = None
        if not self.path:
            entity = self.pick(["node", "node", "node", *_TYPES])
        else:
            joined = self.pick(self.path)
            choices = [
                (entity, name)
                for entity in _TYPES
                for name, relation in keywords_of(entity).items()
                if relation.joined == joined["orm_base"]
            ]
            entity, keyword = self.pick(choices)
            SEEN[f"{entity} {keyword}"] += 1
        types = [entity_type_of(self.pick(_TYPES[entity]), entity)]
        self.filters[tag] = dict(type_filters(types, subclassing=not self.happens(8)))
        vertex = {
            "entity_type": types[0].text,
            "orm_base": entity,
            "tag": tag,
            "joining_keyword": keyword,
            "joining_value": joined["tag"] if joined else None,
            "edge_tag": f"{joined['tag']}--{tag}" if joined else None,
            "outerjoin": bool(joined) and self.happens(6),
        }
        self.path.append(vertex)
        self.project[tag] = []
        # With many conditions there are no rows, and nothing to compare.
        for _ in range(self.pick((0, 0, 0, 1, 2) if joined else (0, 1, 1, 2))):
            self.filters[tag].update(self.filter(entity))
        if joined:
            edge = vertex["edge_tag"]
            self.filters[edge] = {}
            self.project[edge] = []
            self.edges[edge] = ""
            if keyword in ("with_incoming", "with_outgoing"):
                self.edges[edge] = "link"
                if self.happens(5):
                    name = self.pick(_LINK)
                    self.filters[edge] = {name: self.column(_LINK[name])}

    def filter(self, entity: str, depth: int = 0) -> dict[str, Any]:
        if depth < 2 and self.happens(4):
            each = [self.filter(entity, depth + 1) for _ in range(self._draw(st.integers(0, 3)))]
            name = self.pick(["and", "or", "!and", "~or", "or"])
            SEEN[name] += 1
            return {name: each}
        if entity in ("node", "group") and self.happens(2):
            keys = [key for key in _KEYS if entity == "node" or key.startswith("extras")]
            key = self.pick(keys)
            return {key: self.in_json(_KEYS[key])}
        key = self.pick(_COLUMNS[entity])
        return {key: self.column(_COLUMNS[entity][key])}

    def column(self, values: list[Any], depth: int = 0) -> Any:
        value = self.pick(values)
        kind = self.pick(["bare", "compare", "compare", "in", "like", "null", "nested"])
        if kind == "bare":
            return value
        if kind == "nested" and depth == 0:
            each = [self.column(values, 1) for _ in range(self._draw(st.integers(1, 2)))]
            each = [one if isinstance(one, dict) else {"==": one} for one in each]
            SEEN["nested"] += 1
            return {self.pick(_SIGNS) + self.pick(["and", "or"]): each}
        operator: str
        if kind == "in":
            same = [one for one in values if type(one) is type(value)]
            operator, value = "in", self._draw(st.lists(st.sampled_from(same), min_size=1))
        elif kind == "like" and not isinstance(value, bool):
            operator, value = "like", self.pick(_PATTERNS)
            if isinstance(values[0], str) and self.happens(3):
                operator = "ilike"
        elif kind == "null":
            operator, value = "==", None
        else:
            operator = self.pick(["==", "==", ">", "<", ">=", "<="])
        SEEN[operator] += 1
        return {self.pick(_SIGNS) + operator: value}

    def in_json(self, values: list[Any], depth: int = 0) -> Any:
        value = self.pick(values)
        kind = self.pick(["bare", "compare", "compare", "in", "like", "type", "length", "holds"])
        if self.happens(6) and depth == 0:
            each = [self.in_json(values, 1) for _ in range(self._draw(st.integers(1, 2)))]
            each = [one if isinstance(one, dict) else {"==": one} for one in each]
            return {self.pick(_SIGNS) + self.pick(["and", "or"]): each}
        if kind == "bare" and not isinstance(value, dict):
            return value
        operator = "=="
        if value is not None:
            operator = self.pick(["==", "==", ">", "<", ">=", "<=", "=>", "=<"])
        if kind == "in" and value is not None and not isinstance(value, dict | list):
            same = [one for one in values if type(one) is type(value)]
            operator, value = "in", self._draw(st.lists(st.sampled_from(same), min_size=1))
        elif kind == "like":
            operator, value = self.pick(["like", "ilike"]), self.pick(_PATTERNS)
        elif kind == "type":
            operator = "of_type"
            value = self.pick(["object", "array", "string", "number", "boolean", "null"])
        elif kind == "length":
            operator = self.pick(["of_length", "longer", "shorter"])
            value = self._draw(st.integers(0, 3))
        elif kind == "holds":
            operator = self.pick(["contains", "has_key"])
            value = self.pick([[1], ["Si"], {"b": 1}, [2, 1]])
            if operator == "has_key":
                value = self.pick(["b", "formula", "Si", "elements"])
        SEEN[operator] += 1
        return {self.pick(_SIGNS) + operator: value}

    def projections(self, tag: str, entity: str) -> None:
        fields: dict[str, dict[str, str]] = {}
        for _ in range(self._draw(st.integers(0, 2))):
            kind = self.pick(["column", "json", "cast", "*", "**"])
            if kind == "**" and not fields:
                fields["**"] = {}
                break
            if kind == "*":
                fields["*"] = {}
            elif kind in ("json", "cast") and entity == "node":
                key = self.pick(_CASTS if kind == "cast" else _KEYS)
                fields[key] = {}
                if kind == "cast":
                    fields[key] = {"cast": self.pick(_CASTS[key])}
                    SEEN[f"cast {fields[key]['cast']}"] += 1
            else:
                name = self.pick(_COLUMNS[entity])
                if name not in ("pk", "user"):
                    fields[name] = {}
        self.project[tag] = [{name: options} for name, options in fields.items()]

    def function(self, query: dict[str, Any]) -> None:
        query["project"] = {tag: [] for tag in query["project"]}
        name = self.pick(_FUNCTIONS)
        SEEN[name] += 1
        query["project"]["v0"] = [{"id": {"func": name}}]

    def order(self, query: dict[str, Any]) -> None:
        SEEN["order_by"] += 1
        if query["distinct"]:
            query["project"]["v0"] = [{"id": {}}, {"uuid": {}}]
            if query["path"][0]["orm_base"] in ("user", "authinfo"):
                query["project"]["v0"] = [{"id": {}}]
        query["order_by"] = [{"v0": [{"id": {"order": self.pick(["asc", "desc"])}}]}]
        if len(query["path"]) == 1 and self.happens(2):
            query["limit"] = self._draw(st.integers(0, 5))
            query["offset"] = self.pick([None, 0, 2])

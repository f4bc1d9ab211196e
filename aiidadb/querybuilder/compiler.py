"""Compiles a query to SQL text and parameters, without asking a database.

Names in the text are those of the fixed tables of ``entities`` and ``relations``, and aliases that
are made here: ``v0``, ``v1``, … for vertices, ``e1``, ``e2``, … for the edges that lead to them.
Everything of the caller's is a parameter.

A query is written in stages. The first one has all vertices that are joined without a walk to
ancestors or descendants; each walk begins a further one, with what is joined to where it leads. All
stages but the last are common table expressions, ``base0``, ``base1``, …, which hand on what
later ones need of them in columns ``x0``, ``x1``, ….
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from aiidadb.connecting.held_rows import FIRST_TIME, LAST_TIME
from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import did_you_mean, quote
from aiidadb.querybuilder.depth import bound_of_depth
from aiidadb.querybuilder.entities import (
    ENTITIES,
    MEMBERSHIP,
    WALK,
    Column,
    Entity,
    columns_of,
)
from aiidadb.querybuilder.filters import FilterWriter
from aiidadb.querybuilder.parameters import Parameters, of_filter
from aiidadb.querybuilder.records import RECORDS
from aiidadb.querybuilder.recursion import FAR, FURTHER, WalkNames, write_walk
from aiidadb.querybuilder.relations import Direct, Through, Walk, relation_of
from aiidadb.querybuilder.shape import NESTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiidadb.querybuilder.dictionary import QueryDict, VertexDict
    from aiidadb.querybuilder.parameters import Convert
    from aiidadb.querybuilder.relations import Relation
    from aiidadb.querybuilder.shape import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["ALL_ROWS", "COUNT", "Asked", "Compiled", "Field", "Guest", "Source", "compile_query"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a query.

    Attributes:
        what: Its rows, how many they are, or those of one page.
        after: For a page that is not the first: which of the last row's keys are null.
    """

    what: Literal["rows", "count", "page"]
    after: tuple[bool, ...] | None = None


ALL_ROWS: Final = Asked("rows")
COUNT: Final = Asked("count")


class Field(NamedTuple):
    """What is projected under one name.

    Attributes:
        tag: Of the vertex or edge.
        key: The name in ``dict()``.
        width: How many columns it takes.
        make: What makes a record of them; None for a value.
    """

    tag: str
    key: str
    width: int
    make: Callable[..., object] | None


class Guest(NamedTuple):
    """A criterion that is not AiiDA's, on one vertex or edge.

    Attributes:
        tag: Of the vertex or edge.
        bind: Gives SQL and values for its table and alias, and the number of the first parameter.
    """

    tag: str
    bind: Callable[[str, str, int], tuple[str, list[object]]]


class Compiled(NamedTuple):
    """A statement.

    Attributes:
        text: SQL with ``$n``.
        slots: For each parameter the place of its value, and what makes it of that.
        subjects: For each parameter the filter that it is of.
        constants: Values that belong to the shape, placed behind those of the query.
        fields: How a row is cut.
        keys: Of a page: how many columns behind the fields say where the next one begins.
        is_for_values: Whether the server should plan it anew for the values of each query, because
            what it joins may be one row, or very many.
    """

    text: str
    slots: tuple[tuple[int, Convert], ...]
    subjects: tuple[str, ...]
    constants: tuple[object, ...]
    fields: tuple[Field, ...]
    keys: int = 0
    is_for_values: bool = False

    def arguments(self, values: Sequence[object]) -> list[object]:
        """The parameters for the values of a query.

        Raises:
            InvalidInputError: A value cannot be what it is compared with.
        """
        every = (*values, *self.constants)
        try:
            return [
                every[place] if convert is None else convert(every[place])
                for place, convert in self.slots
            ]
        except InvalidInputError:
            self._refuse(every)
            raise

    def _refuse(self, values: Sequence[object]) -> None:
        """Say which filter it is that has a value that cannot be."""
        for (place, convert), subject in zip(self.slots, self.subjects, strict=True):
            if convert is not None:
                try:
                    convert(values[place])
                except InvalidInputError as error:
                    raise of_filter(subject, error) from None


class _Expression(NamedTuple):
    """A piece of SQL that is of one source.

    Attributes:
        sql: The piece.
        stage: Where it can stand.
        function: A function of all rows, which is called in the last stage.
    """

    sql: str
    stage: int
    function: str = ""


class Source(NamedTuple):
    """A vertex or edge, as it stands in the statement.

    Attributes:
        entity: What it is.
        alias: Its alias.
        stage: The stage that it is in.
        columns: SQL of the columns.
        plain: By name or synonym, how what is no place in JSON is projected, and its type.
        record: The same of each column of its record, if there is one.
    """

    entity: Entity
    alias: str
    stage: int
    columns: Mapping[str, str]
    plain: Mapping[str, tuple[_Expression, str]]
    record: Sequence[tuple[_Expression, str]]

    def sql(self, column: Column) -> str:
        """SQL for a column."""
        return self.columns[column.name]


# Nearly all queries have the same few: to put them together anew would take as long as the rest of
# a short query.
@lru_cache(maxsize=256)
def _source_of_table(name: str, alias: str, version: SchemaVersion, stage: int) -> Source:
    """A vertex or edge that has a table, by the name of what it is."""
    entity = _WITH_TABLES[name]
    columns = {
        column: "null::jsonb" if spelled is None else f"{alias}.{spelled}"
        for column, spelled in columns_of(entity.table, version).items()
    }
    return _source(entity, alias, stage, columns)


@lru_cache(maxsize=64)
def _source_of_walk(alias: str, stage: int, is_downwards: bool) -> Source:
    ends = (f"{alias}.start_id", f"{alias}.node_id")
    ancestor, descendant = ends if is_downwards else ends[::-1]
    columns = {
        "ancestor_id": ancestor,
        "descendant_id": descendant,
        "depth": f"{alias}.depth",
        "path": f"{alias}.path",
    }
    return _source(WALK, alias, stage, columns)


def _source(entity: Entity, alias: str, stage: int, columns: Mapping[str, str]) -> Source:
    sent = {}
    for column in (*entity.columns.values(), *entity.hidden.values()):
        kind = _SQL_TYPES[column.kind]
        expression = _Expression(_as_sent(columns[column.name], kind), stage)
        sent[column.name] = expression, "text" if kind == "uuid" else kind
    record = RECORDS.get(entity.name)
    names = {**{name: name for name in sent}, **entity.synonyms}
    return Source(
        entity,
        alias,
        stage,
        columns,
        plain={
            name: sent[real] for name, real in names.items() if not entity.column(real).is_keyed
        },
        record=[] if record is None else [sent[name] for name in record.columns],
    )


class _Order(NamedTuple):
    """What rows are ordered by.

    Attributes:
        value: The expression.
        cast: Its type, for the key of a page.
        is_descending: Whether the highest comes first.
        is_never_null: Whether it surely is a value.
    """

    value: _Expression
    cast: str
    is_descending: bool
    is_never_null: bool


@dataclass(slots=True)
class _Vertex:
    """A vertex with what leads to it."""

    source: Source
    given: VertexDict
    relation: Relation | None = None
    joined: _Vertex | None = None
    edge: Source | None = None
    each_way: bool = False


@dataclass(slots=True)
class _Stage:
    """What is written together.

    Attributes:
        vertices: In the order of the path; a walk leads to the first, but in the first stage.
        exports: What later stages need of this one and those before it, by their names there.
        start: Where its walk starts; None in the first stage.
        edge: The alias of its walk.
        stands_alone: Whether it needs nothing of the stages before it but where its walk starts.
        carries: Whether the walk carries what is needed of the stages before, so that it need not
            know where it started.
        with_start: Whether the walk must keep where it started.
    """

    vertices: list[_Vertex] = field(default_factory=list)
    exports: dict[_Expression, str] = field(default_factory=dict)
    start: _Expression | None = None
    edge: str = ""
    stands_alone: bool = False
    carries: bool = False
    with_start: bool = True


_CASTS: Final[Mapping[str, str]] = {
    "f": "float8", "i": "int", "b": "boolean", "t": "text", "j": "jsonb", "d": "timestamp",
}  # fmt: skip
_WITH_TABLES: Final[Mapping[str, Entity]] = {**ENTITIES, MEMBERSHIP.name: MEMBERSHIP}
_NULLABLE: Final = frozenset({"process_type", "dbcomputer_id"})
_FUNCTIONS: Final = ("max", "min", "count")
_SQL_TYPES: Final[Mapping[str, str]] = {
    "flag": "boolean", "integer": "bigint", "JSON": "jsonb", "text": "text",
    "time": "timestamptz", "UUID": "uuid", "integers": "int[]",
}  # fmt: skip
_HELD: Final = f"case when {{0}} between {FIRST_TIME} and {LAST_TIME} then {{0}} end"
_HELD_LOCAL: Final = (
    "case when {0} between '0001-01-01'::timestamp and '9999-12-31 23:59:59.999999'::timestamp "
    "then {0} end"
)


def compile_query(
    query: QueryDict,
    filters: Iterable[tuple[str, Tree]],
    number: int,
    version: SchemaVersion,
    *,
    asked: Asked = ALL_ROWS,
    bounds: tuple[bool, bool] = (False, False),
    guests: Sequence[Guest] = (),
) -> Compiled:
    """Compile a query.

    Args:
        query: In AiiDA 2.x's form, as a draft gives it; its filters are not looked at.
        filters: By tag, as its shape has them.
        number: How many values the shape has, limit and offset included.
        version: Of the database.
        asked: What is asked of it.
        bounds: Whether there is a limit, and an offset.
        guests: Further criteria.

    Raises:
        InvalidInputError: Something in it is not there, or cannot be asked for in this way.
        InvalidTypeError: Something in it is compared with, or joined to, what it cannot be.
    """
    writer = _Writer(query, dict(filters), number, version, asked, guests)
    return writer.compiled(bounds)


class _Writer:
    """Writes one statement."""

    def __init__(
        self,
        query: QueryDict,
        filters: Mapping[str, Tree],
        number: int,
        version: SchemaVersion,
        asked: Asked,
        guests: Sequence[Guest],
    ) -> None:
        if not query["path"]:
            raise InvalidInputError("the query is empty: append something first")
        self._guests = guests
        self._query = query
        self._filters = filters
        self._version = version
        self._asked = asked
        self._distinct = query["distinct"]
        self._has_outer_join = any(vertex["outerjoin"] for vertex in query["path"])
        self._number = number
        self._begin_parameters()
        self._stages = [_Stage()]
        self._vertices: dict[str, _Vertex] = {}
        self._sources: dict[str, Source] = {}
        self._fields: list[Field] = []
        self._known_fields: set[tuple[str, str]] = set()
        self._selected: list[_Expression] = []
        self._types: list[str] = []
        self._functions = 0
        for place, given in enumerate(query["path"]):
            self._add_vertex(place, given)
        for tag in filters:
            if tag not in query["filters"]:
                known = ", ".join(map(quote, query["filters"]))
                raise InvalidInputError(f"there is no tag {quote(tag)}: there are {known}")
        for guest in guests:
            source = self._sources.get(guest.tag)
            if source is None or not source.entity.table:
                raise InvalidInputError(
                    f"{quote(guest.tag)} does not stand for a table, which a criterion of pypika "
                    "is on: give the filter as a dictionary, or on another tag"
                )

    def compiled(self, bounds: tuple[bool, bool]) -> Compiled:
        """Write it."""
        self._project()
        orders = self._orders()
        if self._asked.what == "page":
            if self._functions:
                raise InvalidInputError("max, min and count give one row, which has no pages")
            orders = self._whole_order(orders)
        counts = self._asked.what == "count"
        if counts and not any(bounds):
            orders = []
        if counts and not self._distinct and not self._functions:
            self._selected = []
            self._begin_parameters()  # those of the projections are sent to nobody
            orders = self._orders() if orders else []
        self._settle_stages([*self._selected, *(one.value for one in orders)])
        if self._asked.what == "page":
            text = self._page(orders) + self._bounds(has_limit=True, has_offset=False)
        elif counts and not self._selected and not any(bounds):
            text = self._last_stage(["count(*)"])
        else:
            text = self._last_stage([self._at_end(one) for one in self._selected])
            if orders:
                text += f"\norder by {_terms(orders, [self._at_end(one.value) for one in orders])}"
            text += self._bounds(has_limit=bounds[0], has_offset=bounds[1])
            if counts:
                text = f"select count(*)\nfrom (\n{_indented(text)}\n) as asked"
        return Compiled(
            text=self._with_stages(text),
            slots=tuple(self.parameters.slots),
            subjects=tuple(self.parameters.subjects),
            constants=tuple(self.parameters.constants),
            fields=tuple(self._fields),
            keys=len(orders) if self._asked.what == "page" else 0,
            is_for_values=self._is_for_values(),
        )

    def _is_for_values(self) -> bool:
        vertices = self._vertices.values()
        return len(vertices) > 1 and not any(self._is_one(vertex) for vertex in vertices)

    def _is_one(self, vertex: _Vertex) -> bool:
        """Whether a vertex is one row at most, found by its pk or UUID."""
        return any(
            key in ("id", "pk", "uuid")
            and any(operator in (None, "==") and kind is not NESTED for operator, kind, _ in parts)
            for key, parts in self._filters.get(vertex.given["tag"], ())
        )

    def _begin_parameters(self) -> None:
        self.parameters = Parameters(self._number + len(self._asked.after or ()))
        self._writer = FilterWriter(self.parameters, self._version)

    # ------------------------------------------------------------ vertices and edges

    def _add_vertex(self, place: int, given: VertexDict) -> None:
        entity = ENTITIES[given["orm_base"]]
        if not self._vertices:
            vertex = _Vertex(_source_of_table(entity.name, "v0", self._version, 0), given)
        else:
            assert given["joining_value"] is not None
            assert given["joining_keyword"] is not None
            joined = self._vertices.get(given["joining_value"])
            if joined is None:
                raise InvalidInputError(
                    f"{quote(given['joining_value'])} is the tag of an edge, or comes later: only "
                    "a vertex that is there can be joined to"
                )
            relation = relation_of(entity.name, given["joining_keyword"], joined.source.entity.name)
            stage = joined.source.stage
            if isinstance(relation, Walk):
                stage = len(self._stages)
                self._stages.append(_Stage())
            source = _source_of_table(entity.name, f"v{place}", self._version, stage)
            vertex = _Vertex(source, given, relation, joined)
            self._add_edge(place, vertex, relation)
        self._stages[vertex.source.stage].vertices.append(vertex)
        self._vertices[given["tag"]] = vertex
        self._sources[given["tag"]] = vertex.source

    def _add_edge(self, place: int, vertex: _Vertex, relation: Relation) -> None:
        tag = vertex.given["edge_tag"]
        assert tag is not None
        if relation.edge is None:
            if self._filters.get(tag) or self._query["project"].get(tag):
                raise InvalidInputError(
                    f"there is nothing between {quote(vertex.given['joining_value'])} and "
                    f"{quote(vertex.given['tag'])} that {quote(tag)} could stand for"
                )
            return
        alias, stage = f"e{place}", vertex.source.stage
        if isinstance(relation, Walk):
            vertex.edge = _source_of_walk(alias, stage, relation.is_downwards)
            vertex.each_way = not self._distinct or self._has_function() or self._is_edge_used(tag)
        else:
            vertex.edge = _source_of_table(relation.edge.name, alias, self._version, stage)
        self._sources[tag] = vertex.edge

    def _has_function(self) -> bool:
        return any(
            "func" in options
            for projections in self._query["project"].values()
            for one in projections
            for options in one.values()
        )

    def _is_edge_used(self, tag: str) -> bool:
        return bool(
            self._filters.get(tag)
            or self._query["project"].get(tag)
            or any(tag in spec for spec in self._query["order_by"])
        )

    def _uses_path(self, tag: str) -> bool:
        fields = [
            *(key for key, _ in self._filters.get(tag, ())),
            *(name for one in self._query["project"].get(tag, ()) for name in one),
            *(
                name
                for spec in self._query["order_by"]
                for one in spec.get(tag, ())
                for name in one
            ),
        ]
        # In combinations of filters it is somewhere further inside.
        return "path" in fields or any(key.lstrip("!~") in ("and", "or") for key in fields)

    def _source(self, tag: str) -> Source:
        source = self._sources.get(tag)
        if source is None:
            raise InvalidInputError(f"there is nothing that the tag {quote(tag)} could stand for")
        return source

    # ------------------------------------------------------------ projections and order

    def _project(self) -> None:
        path, project = self._query["path"], self._query["project"]
        if not any(project.values()):
            self._project_field(path[-1]["tag"], "*", {})
            return
        tags = [vertex["tag"] for vertex in path]
        tags += [vertex["edge_tag"] for vertex in path[1:] if vertex["edge_tag"] is not None]
        for tag in tags:
            for one in project.get(tag, ()):
                for name, options in one.items():
                    self._project_field(tag, name, options)
        if self._functions not in (0, len(self._fields)):
            raise InvalidInputError(
                "there are no groups: next to max, min or count no plain field can be projected"
            )

    def _project_field(self, tag: str, name: str, options: Mapping[str, str]) -> None:
        source = self._source(tag)
        if name == "*":
            self._project_record(tag, source, options)
            return
        if not options and (plain := source.plain.get(name)) is not None:
            self._add_field(tag, name, 1, None)
            self._selected.append(plain[0])
            self._types.append(plain[1])
            return
        if not options and (inside := self._inside(source, name)) is not None:
            self._add_field(tag, name, 1, None)
            self._selected.append(inside)
            self._types.append("jsonb")
            return
        names = list(source.entity.columns) if name == "**" else [name]
        if name == "**" and source.entity is WALK and self._uses_path(tag):
            names.append("path")
        for one in names:
            self._add_field(tag, one, 1, None)
            sql, kind = self._value(source, one, options.get("cast"))
            self._select(sql, kind, source, options.get("func"))

    def _select(self, sql: str, kind: str, source: Source, function: str | None = None) -> None:
        if function is None:
            self._selected.append(_Expression(_as_sent(sql, kind), source.stage))
        else:
            self._require_function(function, kind)
            self._functions += 1
            self._selected.append(_Expression(sql, source.stage, function))
        self._types.append("text" if kind == "uuid" else kind)

    def _project_record(self, tag: str, source: Source, options: Mapping[str, str]) -> None:
        if "func" in options:
            raise InvalidInputError("max, min and count take a field, not '*'")
        record = RECORDS.get(source.entity.name)
        if record is None:
            raise InvalidInputError(
                f"{source.entity.name} is not an entity: project its columns, which are "
                f"{', '.join(source.entity.columns)}"
            )
        self._add_field(tag, "*", len(record.columns), record.make)
        for sent, kind in source.record:
            self._selected.append(sent)
            self._types.append(kind)

    def _add_field(
        self, tag: str, name: str, width: int, make: Callable[..., object] | None
    ) -> None:
        name = "metadata" if name == "_metadata" else name
        names = self._query["project_map"].get(tag)
        key = names.get(name, name) if names else name
        self._fields.append(Field(tag, key, width, make))
        self._known_fields.add((tag, key))
        if len(self._known_fields) < len(self._fields):
            raise InvalidInputError(f"{quote(name)} of {quote(tag)} is projected more than once")

    def _inside(self, source: Source, name: str) -> _Expression | None:
        """A value inside of a JSON column, as it is there; None: it is something else."""
        first, *steps = name.split(".")
        column = source.entity.columns.get(first)
        if column is None or column.kind != "JSON" or not steps:
            return None
        path = self.parameters.path(steps)
        return _Expression(f"{source.columns[first]} #> {path}", source.stage)

    def _value(self, source: Source, name: str, cast: str | None) -> tuple[str, str]:
        """SQL of a field, and its type."""
        first, *steps = name.split(".")
        column = source.entity.column(first)
        sql = source.sql(column)
        if not steps and not column.is_keyed:
            return sql, _SQL_TYPES[column.kind]
        if column.kind != "JSON":
            raise InvalidInputError(
                f"{first} of {source.entity.spoken} is not JSON, so that nothing is at "
                f"{quote(name)}: use {quote(first)}"
            )
        if cast is None:
            return (f"{sql} #> {self.parameters.path(steps)}" if steps else sql), "jsonb"
        kind = _CASTS.get(cast)
        if kind is None:
            raise InvalidInputError(f"a cast is one of {', '.join(_CASTS)}, not {quote(cast)}")
        text = f"({sql} #>> {self.parameters.path(steps)})"
        return (text if kind == "text" else f"{text}::{kind}"), kind

    @staticmethod
    def _require_function(function: str, kind: str) -> None:
        if function not in _FUNCTIONS:
            hint = did_you_mean(function, _FUNCTIONS) or f"there are {', '.join(_FUNCTIONS)}"
            raise InvalidInputError(f"there is no function {quote(function)}: {hint}")
        if function != "count" and kind in ("jsonb", "boolean", "uuid"):
            raise InvalidInputError(
                f"{function} needs numbers, texts or times: give values in JSON a cast"
            )

    def _orders(self) -> list[_Order]:
        return [
            self._order(tag, name, options)
            for spec in self._query["order_by"]
            for tag, fields in spec.items()
            for one in fields
            for name, options in one.items()
        ]

    def _order(self, tag: str, name: str, options: Mapping[str, str]) -> _Order:
        source = self._source(tag)
        cast = options.get("cast")
        if cast is None and "." in name:
            raise InvalidInputError(f"to order by {quote(name)}, say how: give a cast")
        sql, kind = self._value(source, name, cast)
        value = _Expression(sql, source.stage)
        if self._distinct:
            value = _Expression(_as_sent(sql, kind), source.stage)
            if value not in self._selected:
                raise InvalidInputError(
                    f"distinct rows can be ordered by what is projected: project {quote(name)} of "
                    f"{quote(tag)} in the same way"
                )
            kind = "text" if kind == "uuid" else kind
        column = source.entity.column(name.partition(".")[0])
        is_never_null = (
            column.kind != "JSON"
            and column.name not in _NULLABLE
            and not self._has_outer_join
            and self._version.line != "sqlalchemy"
            and not self._distinct
        )
        return _Order(value, kind, options.get("order") == "desc", is_never_null)

    def _bounds(self, *, has_limit: bool, has_offset: bool) -> str:
        text = ""
        if has_limit:
            text += f"\nlimit {self.parameters.value(self._number - 2, 'bigint')}"
        if has_offset:
            text += f"\noffset {self.parameters.value(self._number - 1, 'bigint')}"
        return text

    # ------------------------------------------------------------ pages

    def _whole_order(self, orders: Sequence[_Order]) -> list[_Order]:
        """The order asked for, with its ties broken: by primary keys, or by all of a row."""
        descends = bool(orders) and orders[-1].is_descending
        further: list[tuple[_Expression, str]] = []
        if self._distinct:
            further = list(zip(self._selected, self._types, strict=True))
        else:
            for vertex in self._vertices.values():
                source, edge = vertex.source, vertex.edge
                further.append((_Expression(f"{source.alias}.id", source.stage), "bigint"))
                if edge is not None:
                    name, kind = ("links", "int[]") if edge.entity is WALK else ("id", "bigint")
                    further.append((_Expression(f"{edge.alias}.{name}", edge.stage), kind))
        known = {one.value for one in orders}
        is_whole = not self._has_outer_join
        return [
            *orders,
            *(
                _Order(value, kind, descends, is_whole and kind == "bigint" and not self._distinct)
                for value, kind in dict(further).items()
                if value not in known
            ),
        ]

    def _page(self, orders: Sequence[_Order]) -> str:
        """The rows behind a place in the order asked for, and the keys of each."""
        if not self._distinct:
            sql = [self._at_end(one.value) for one in orders]
            columns = [self._at_end(one) for one in self._selected]
            columns += [f"({one})::text" for one in sql]
            body = self._last_stage(columns, self._after(orders, sql))
            return f"{body}\norder by {_terms(orders, sql)}"
        inner = _indented(self._last_stage([self._at_end(one) for one in self._selected]))
        names = ", ".join(f"c{place}" for place in range(len(self._selected)))
        sql = [f"page.c{self._selected.index(one.value)}" for one in orders]
        keys = ", ".join(f"({one})::text" for one in sql)
        return (
            f"select page.*, {keys}\nfrom (\n{inner}\n) as page ({names})"
            f"{_where(self._after(orders, sql))}\norder by {_terms(orders, sql)}"
        )

    def _after(self, orders: Sequence[_Order], sql: Sequence[str]) -> list[str]:
        """The conditions for what comes behind the last row of the page before."""
        nulls = self._asked.after
        if nulls is None:
            return []
        if len(nulls) != len(orders):
            raise InvalidInputError("after is of a page of another query: begin anew")
        values = [
            "" if nulls[place] else self.parameters.value(self._number + place, f"text::{one.cast}")
            for place, one in enumerate(orders)
        ]
        directions = {one.is_descending for one in orders}
        is_never_null = not any(nulls) and all(one.is_never_null for one in orders)
        if len(directions) == 1 and is_never_null:
            # A comparison of rows begins at its place in an index on the first of the columns.
            sign = "<" if True in directions else ">"
            return [f"({', '.join(sql)}) {sign} ({', '.join(values)})"]
        behind = "false"
        for one, cell, value, is_null in reversed(
            list(zip(orders, sql, values, nulls, strict=True))
        ):
            further, same = _beyond(one, cell, value, is_null=is_null)
            behind = f"({further} or ({same} and {behind}))"
        first = orders[0]
        if nulls[0] or not (first.is_descending or first.is_never_null):
            return [behind]
        # For the planner, which finds no range of an index inside of an `or`.
        return [behind, f"{sql[0]} {'<=' if first.is_descending else '>='} {values[0]}"]

    # ------------------------------------------------------------ stages

    def _at_end(self, expression: _Expression) -> str:
        """SQL for an expression in the last stage."""
        return self._at(expression, len(self._stages) - 1)

    def _at(self, expression: _Expression, number: int) -> str:
        """SQL for an expression in a stage; if it is of one before, that hands it on."""
        sql, stage_of_it, function = expression
        if function:
            return self._called(expression, number)
        if stage_of_it == number:
            return sql
        stage = self._stages[number]
        if stage.stands_alone and expression == stage.start:
            return f"{stage.edge}.start_id"
        exports = self._stages[number - 1].exports
        name = exports.setdefault(expression, f"x{len(exports)}")
        return f"{stage.edge if stage.carries else 'base'}.{name}"

    def _called(self, expression: _Expression, number: int) -> str:
        value = self._at(expression._replace(function=""), number)
        called = f"{expression.function}({value})"
        if expression.function == "count":
            return called
        return _as_sent(called, self._types[self._selected.index(expression)])

    def _settle_stages(self, needed: Sequence[_Expression]) -> None:
        """Find out which stages need nothing of those before them but where their walk starts."""
        if len(self._stages) == 1:
            return
        for stage in self._stages[1:]:
            vertex = stage.vertices[0]
            assert vertex.joined is not None
            assert vertex.edge is not None
            near = vertex.joined.source
            stage.start = _Expression(f"{near.alias}.id", near.stage)
            stage.edge = vertex.edge.alias
        kinds = zip(self._selected, self._types, strict=False)
        heavy = {value for value, kind in kinds if kind == "jsonb"}
        for number, stage in enumerate(self._stages[1:], start=1):
            later = [one.start for one in self._stages[number + 1 :] if one.start is not None]
            of_before = {
                one._replace(function="") if one.function else one
                for one in (*needed, *later)
                if one.stage < number
            }
            # Where equal rows are not one, each row before must come once for each way.
            is_one_each = number == 1 and len(self._stages[0].vertices) == 1
            is_set = self._distinct and not self._functions
            stage.stands_alone = of_before <= {stage.start} and (is_set or is_one_each)
            each_way = stage.vertices[0].each_way
            # Many nodes may be of one group, and lead to the same ones.
            is_light = of_before.isdisjoint(heavy) and stage.start not in of_before
            stage.carries = is_set and is_light and not (stage.stands_alone or each_way)
            is_bare = stage.stands_alone and not of_before
            stage.with_start = each_way or not (is_bare or stage.carries)

    def _last_stage(self, columns: Sequence[str], further: Sequence[str] = ()) -> str:
        kind = "select distinct" if self._distinct else "select"
        select = f"{kind} {', '.join(columns)}" if columns else kind
        return self._stage(len(self._stages) - 1, select, further)

    def _stage(self, number: int, select: str, further: Sequence[str] = ()) -> str:
        """One stage: what is selected, from which tables, and under which conditions."""
        tables: list[str] = []
        conditions: list[str] = []
        for vertex in self._stages[number].vertices:
            tables += self._tables(vertex)
            conditions += self._conditions(vertex)
        return f"{select}\nfrom " + "\n".join(tables) + _where([*conditions, *further])

    def _with_stages(self, last: str) -> str:
        """The statement, with the common table expressions of all stages but the last."""
        expressions: list[str] = []
        for number in range(len(self._stages) - 1, 0, -1):
            stage, before = self._stages[number], self._stages[number - 1]
            vertex = stage.vertices[0]
            assert isinstance(vertex.relation, Walk)
            assert stage.start is not None
            names = self._walk_names(number)
            tables: list[str] = []
            if stage.carries:
                needed = [self._at(one, number - 1) for one in (stage.start, *before.exports)]
                starts = self._stage(number - 1, f"select distinct {', '.join(needed)}")
            elif stage.stands_alone:
                start = self._at(stage.start, number - 1)
                is_unique = number == 1 and len(before.vertices) == 1
                select = f"select {start}" if is_unique else f"select distinct {start}"
                starts = self._stage(number - 1, select)
            else:
                starts = f"select distinct {self._start_of(number)}\nfrom base{number - 1} as base"
                columns = ", ".join(
                    f"{self._at(one, number - 1)} as {name}" for one, name in before.exports.items()
                )
                base = _indented(self._stage(number - 1, f"select {columns}"))
                tables.append(f"base{number - 1} as materialized (\n{base}\n)")
            columns = ", ".join(("id", *names.carried))
            tables.append(f"{names.starts} ({columns}) as materialized (\n{_indented(starts)}\n)")
            expressions = [*tables, *write_walk(vertex.relation, names), *expressions]
        if not expressions:
            return last
        return f"with recursive {', '.join(expressions)}\n{last}"

    def _walk_names(self, number: int) -> WalkNames:
        stage = self._stages[number]
        vertex = stage.vertices[0]
        if not vertex.each_way:
            carried = tuple(self._stages[number - 1].exports.values()) if stage.carries else ()
            return WalkNames(number, with_start=stage.with_start, carried=carried)
        tag = vertex.given["edge_tag"]
        assert tag is not None
        filters = self._filters.get(tag, ())
        with_path, is_page = self._uses_path(tag), self._asked.what == "page"
        # Pages of rows that are not distinct tell them by their links.
        is_set = self._distinct and not self._functions and not with_path
        return WalkNames(
            number,
            rows="depths" if is_set else "ways",
            with_path=with_path,
            with_links=is_page and not self._distinct,
            goes_on=bound_of_depth(filters, FURTHER, self.parameters),
            goes_far=bound_of_depth(filters, FAR, self.parameters),
        )

    def _start_of(self, number: int) -> str:
        start = self._stages[number].start
        assert start is not None
        return self._at(start, number)

    def _tables(self, vertex: _Vertex) -> list[str]:
        source, relation = vertex.source, vertex.relation
        table, alias = source.entity.table, source.alias
        if relation is None:
            return [f"{table} as {alias}"]
        assert vertex.joined is not None
        is_outer = vertex.given["outerjoin"]
        join = "left join" if is_outer else "join"
        near = vertex.joined.source.alias
        one_by_one = self._is_one_by_one(source.stage)
        if isinstance(relation, Direct):
            here, there = relation.new_column, f"{near}.{relation.joined_column}"
            return [_joined(join, table, alias, here, there, one_by_one=one_by_one)]
        assert vertex.edge is not None
        edge = vertex.edge.alias
        if isinstance(relation, Through):
            between = "left join" if is_outer and relation.keeps_unmatched else "join"
            here, far = relation.near, f"{edge}.{relation.far}"
            return [
                _joined(
                    between, relation.edge.table, edge, here, f"{near}.id", one_by_one=one_by_one
                ),
                _joined(join, table, alias, "id", far, one_by_one=one_by_one),
            ]
        number = source.stage
        walk = f"walk{number} as {edge}"
        if not (self._stages[number].stands_alone or self._stages[number].carries):
            walk = (
                f"base{number - 1} as base\n"
                f"join {walk} on {edge}.start_id = {self._start_of(number)}"
            )
        end, each_way = f"{edge}.node_id", vertex.each_way
        return [walk, _joined(join, table, alias, "id", end, one_by_one=each_way)]

    def _is_one_by_one(self, number: int) -> bool:
        """Whether what is joined in a stage is looked up for each row by itself.

        Where each way is a row there may be more than anyone will read. Planners like to gather
        them all in a hash table, and no row would come before that is done.
        """
        # Databases that were made by the SQLAlchemy backend do not have all the indexes for it.
        is_indexed = self._version.line != "sqlalchemy"
        return number > 0 and self._stages[number].vertices[0].each_way and is_indexed

    def _conditions(self, vertex: _Vertex) -> list[str]:
        found = self._conditions_on(vertex.given["tag"], vertex.source)
        if vertex.edge is not None:
            assert vertex.given["edge_tag"] is not None
            found += self._conditions_on(vertex.given["edge_tag"], vertex.edge)
        return found

    def _conditions_on(self, tag: str, source: Source) -> list[str]:
        found = self._writer.conditions(self._filters.get(tag, ()), source)
        for guest in self._guests:
            if guest.tag == tag:
                text, values = guest.bind(source.entity.table, source.alias, self.parameters.next)
                self.parameters.guests(values)
                found.append(f"({text})")
        return found


def _as_sent(sql: str, kind: str) -> str:
    """SQL for a value that Python can hold, in the form that it has there."""
    if kind == "uuid":
        return f"{sql}::text"
    if kind == "timestamptz":
        return _HELD.format(sql)
    return _HELD_LOCAL.format(sql) if kind == "timestamp" else sql


def _terms(orders: Sequence[_Order], sql: Sequence[str]) -> str:
    return ", ".join(
        f"{cell} desc" if one.is_descending else cell for one, cell in zip(orders, sql, strict=True)
    )


def _beyond(order: _Order, cell: str, value: str, *, is_null: bool) -> tuple[str, str]:
    """The conditions for what comes behind a value in an order, and for what is equal to it.

    Nulls come last, or first where the highest comes first.
    """
    if is_null:
        return f"{cell} is not null" if order.is_descending else "false", f"{cell} is null"
    if order.is_descending:
        further = f"{cell} < {value}"
    elif order.is_never_null:
        further = f"{cell} > {value}"
    else:
        further = f"({cell} > {value} or {cell} is null)"
    return further, f"{cell} = {value}"


def _joined(join: str, table: str, alias: str, here: str, there: str, *, one_by_one: bool) -> str:
    """A table joined by one of its columns, and if so looked up for each row by itself."""
    if one_by_one:
        found = f"select * from {table} where {here} = {there} offset 0"  # noqa: S608 - of ours
        return f"{join} lateral ({found}) as {alias} on true"
    return f"{join} {table} as {alias} on {alias}.{here} = {there}"


def _where(conditions: Sequence[str]) -> str:
    return "\nwhere " + "\n    and ".join(conditions) if conditions else ""


def _indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")

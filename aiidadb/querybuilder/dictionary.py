"""The form of a query: the dictionary that AiiDA 2.x's ``QueryBuilder.as_dict()`` gives."""

from __future__ import annotations

from typing import Any, Final, TypedDict

__all__ = ["EDGE_MARK", "KEYS", "VERTEX_KEYS", "QueryDict", "VertexDict"]


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

EDGE_MARK: Final = "--"
"""What only tags of edges hold."""

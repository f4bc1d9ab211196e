"""The web service of the documentation, answered by aiida-core in asynchronous handlers.

``web_service.py`` runs it by uvicorn, beside the documentation's own program as ``service.py``,
whose forms of answers it shares. What is asked of aiida-core is what aiida-restapi asks of it.
"""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import service
from common import aiida_storage
from fastapi import FastAPI, Query, Request
from process_list import COLUMNS
from web_service import DATABASE

from tests.querybuilder.oracle import oracle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open aiida-core's storage, which every QueryBuilder of this process is then of."""
    async with aiida_storage(os.environ[DATABASE]) as storage:
        from aiida import orm

        orm.QueryBuilder = partial(orm.QueryBuilder, backend=storage)
        app.state.storage = storage
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/querybuilder")
async def querybuilder(request: Request, dictionary: dict[str, Any]) -> service.Document:
    limit = dictionary.pop("limit", None) or 10
    query = oracle(request.app.state.storage, dictionary)
    total = query.count()
    results = query.limit(limit).all()
    return service.Document(
        {
            "links": {"self": str(request.url)},
            "meta": {"total": total, "page": 1, "page_size": limit},
            "data": {
                "id": "qb-result",
                "type": "qb-results",
                "attributes": {"query_id": "qb-result", "results": results},
            },
        }
    )


@app.get("/nodes")
async def nodes(
    request: Request, filters: str = "{}", order_by: str = "{}", page_size: int = 10
) -> service.Document:
    from aiida import orm

    total = orm.QueryBuilder().append(orm.Node, filters=json.loads(filters)).count()
    query = orm.QueryBuilder(limit=page_size)
    query.append(orm.Node, tag="node", filters=json.loads(filters), project=service.NODE)
    query.order_by([{"node": {**json.loads(order_by), "id": "asc"}}])
    return service.collection(
        request, [service.node(request, row) for row in query.all()], total=total
    )


@app.get("/nodes/full_types")
async def full_types() -> dict[str, Any]:
    from aiida.restapi.common.identifiers import get_node_namespace

    tree: dict[str, Any] = get_node_namespace(count_nodes=True).get_description()
    return tree


@app.get("/nodes/{uuid}/links")
async def links(
    request: Request, uuid: str, direction: str, page_size: int = 10
) -> service.Document:
    from aiida import orm

    query = orm.QueryBuilder(limit=page_size)
    query.append(orm.Node, project="uuid", tag="other")
    query.append(
        orm.Node,
        filters={"uuid": uuid},
        joining_keyword=f"with_{direction}",
        joining_value="other",
        edge_project=["label", "type"],
        edge_tag="link",
    )
    node = orm.QueryBuilder().append(orm.Node, filters={"uuid": uuid}).one()[0]
    all_links = getattr(node.base.links, f"get_{direction}")().all()
    is_incoming = direction == "incoming"
    found = [
        service.link(request, *((other, uuid) if is_incoming else (uuid, other)), label, type_)
        for other, label, type_ in query.order_by({"link": "id"}).all()
    ]
    return service.collection(request, found, total=len(all_links))


@app.get("/processes")
async def processes(
    request: Request, state: Annotated[list[str], Query()], limit: int = 100
) -> service.Document:
    from aiida import orm

    query = orm.QueryBuilder(limit=limit).append(
        orm.ProcessNode,
        filters={"attributes.process_state": {"in": state}},
        project=list(COLUMNS),
        tag="process",
    )
    query.order_by([{"process": {"ctime": "desc"}}, {"process": {"id": "desc"}}])
    data = [
        {
            "id": row[1],
            "type": "nodes",
            "links": {"self": f"{request.base_url}nodes/{row[1]}"},
            "attributes": dict(zip(COLUMNS, row, strict=True)),
        }
        for row in query.all()
    ]
    return service.collection(request, data)

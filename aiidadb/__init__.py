"""The async data layer for AiiDA's PostgreSQL databases. See :func:`open_backend`."""

from aiidadb.backend import Backend, ServerFacts, open_backend
from aiidadb.deletion import DeletionPreview, DeletionReport
from aiidadb.exceptions import AiidaDbError, NotExistent
from aiidadb.pool import PoolRegistry, get_pool, reset_pools
from aiidadb.profile import Profile, load_profile
from aiidadb.tables import nodes

__all__ = [
    "AiidaDbError",
    "Backend",
    "DeletionPreview",
    "DeletionReport",
    "NotExistent",
    "PoolRegistry",
    "Profile",
    "ServerFacts",
    "get_pool",
    "load_profile",
    "nodes",
    "open_backend",
    "reset_pools",
]

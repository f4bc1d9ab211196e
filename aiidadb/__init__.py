"""The async data layer for AiiDA's PostgreSQL databases. See :func:`open_backend`."""

import logging

from aiidadb import tables
from aiidadb.backend import Backend, BackendOpening, ServerFacts, open_backend
from aiidadb.connecting.pools.pool import PoolRegistry, get_pool, reset_pools
from aiidadb.connecting.profiles.aiida_config import load_profile
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.criteria.tables import nodes
from aiidadb.criteria.to_sql import bind
from aiidadb.exceptions import (
    AiidaDbError,
    AuthenticationError,
    ClosedError,
    ConcurrencyError,
    ConfigurationError,
    ConfigurationVersionError,
    CorruptStorage,
    DatabaseError,
    DatabaseNotEmpty,
    EmbeddedServerError,
    IncompatibleStorageSchema,
    IntegrityError,
    InvalidInputError,
    InvalidTypeError,
    LockTimeout,
    MissingConfigurationError,
    MissingExtraError,
    MultipleObjectsError,
    NotAnAiidaDatabase,
    NotExistent,
    PermissionDenied,
    PoolError,
    PoolOptionsError,
    PoolTimeout,
    ProfileConfigurationError,
    QueryTimeout,
    ReadOnlyDatabase,
    RepositoryError,
    ResourceError,
    SchemaError,
    SqlFileError,
    StorageMigrationError,
    UnknownOutcome,
    UnreachableStorage,
)
from aiidadb.jsonvalue import JsonValue
from aiidadb.migration.findings import Finding, MigrationCheck
from aiidadb.migration.plan import MigrationPlan, PlannedStep
from aiidadb.migration.process_state_index import ProcessStateIndex
from aiidadb.migration.report import MigrationProgress, MigrationReport, StepReport
from aiidadb.pks import HasPk, Pks
from aiidadb.queries.bands import BandsRow
from aiidadb.queries.bands_listing import BandsListing
from aiidadb.queries.creation_statistics import CreationStatistics
from aiidadb.queries.deletion import DeletionPreview, DeletionReport
from aiidadb.queries.formula import FormulaMode, get_formula
from aiidadb.queries.full_types import FullType
from aiidadb.queries.groups import GroupRow
from aiidadb.queries.link_types import DATA_PROVENANCE
from aiidadb.queries.links import LinkCounts, LinkDirection, NodeLink
from aiidadb.queries.manager import QueryManager
from aiidadb.queries.processes import ProcessRow
from aiidadb.queries.provenance import Provenance, ProvenanceNode
from aiidadb.querybuilder.builder import QueryBuilder
from aiidadb.querybuilder.records import (
    AuthInfo,
    Comment,
    Computer,
    Group,
    Link,
    Log,
    Node,
    Page,
    User,
)
from aiidadb.schema import SchemaManager
from aiidadb.settings import Setting, SettingsManager
from aiidadb.version.schema_version import SchemaVersion

__all__ = [  # noqa: RUF022 - in plain order, constants among the others
    "AiidaDbError",
    "AuthInfo",
    "AuthenticationError",
    "Backend",
    "BackendOpening",
    "BandsListing",
    "BandsRow",
    "ClosedError",
    "Comment",
    "Computer",
    "ConcurrencyError",
    "ConfigurationError",
    "ConfigurationVersionError",
    "CorruptStorage",
    "CreationStatistics",
    "DATA_PROVENANCE",
    "DatabaseError",
    "DatabaseNotEmpty",
    "DeletionPreview",
    "DeletionReport",
    "EmbeddedServerError",
    "Finding",
    "FormulaMode",
    "FullType",
    "Group",
    "GroupRow",
    "HasPk",
    "IncompatibleStorageSchema",
    "IntegrityError",
    "InvalidInputError",
    "InvalidTypeError",
    "JsonValue",
    "Link",
    "LinkCounts",
    "LinkDirection",
    "LockTimeout",
    "Log",
    "MigrationCheck",
    "MigrationPlan",
    "MigrationProgress",
    "MigrationReport",
    "MissingConfigurationError",
    "MissingExtraError",
    "MultipleObjectsError",
    "Node",
    "NodeLink",
    "NotAnAiidaDatabase",
    "NotExistent",
    "Page",
    "PermissionDenied",
    "Pks",
    "PlannedStep",
    "PoolError",
    "PoolOptionsError",
    "PoolRegistry",
    "PoolTimeout",
    "ProcessRow",
    "ProcessStateIndex",
    "Profile",
    "ProfileConfigurationError",
    "Provenance",
    "ProvenanceNode",
    "QueryBuilder",
    "QueryManager",
    "QueryTimeout",
    "ReadOnlyDatabase",
    "RepositoryError",
    "ResourceError",
    "SchemaError",
    "SchemaManager",
    "SchemaVersion",
    "ServerFacts",
    "Setting",
    "SettingsManager",
    "SqlFileError",
    "StepReport",
    "StorageMigrationError",
    "UnknownOutcome",
    "UnreachableStorage",
    "User",
    "bind",
    "get_formula",
    "get_pool",
    "load_profile",
    "nodes",
    "open_backend",
    "reset_pools",
    "tables",
]

__version__ = "0.2.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what to show is the user's to say

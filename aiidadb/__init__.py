"""The async data layer for AiiDA's PostgreSQL databases. See :func:`open_backend`."""

from aiidadb import tables
from aiidadb.backend import Backend, BackendOpening, ServerFacts, open_backend
from aiidadb.connecting.aiida_config import load_profile
from aiidadb.connecting.pool import PoolRegistry, get_pool, reset_pools
from aiidadb.connecting.profile import Profile
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
from aiidadb.migration.report import MigrationProgress, MigrationReport, StepReport
from aiidadb.pks import HasPk, Pks
from aiidadb.queries.bands import BandsRow
from aiidadb.queries.bands_listing import BandsListing
from aiidadb.queries.creation_statistics import CreationStatistics
from aiidadb.queries.deletion import DeletionPreview, DeletionReport
from aiidadb.queries.formula import FormulaMode, get_formula
from aiidadb.queries.manager import QueryManager
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

__all__ = [
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
    "DatabaseError",
    "DatabaseNotEmpty",
    "DeletionPreview",
    "DeletionReport",
    "EmbeddedServerError",
    "Finding",
    "FormulaMode",
    "Group",
    "HasPk",
    "IncompatibleStorageSchema",
    "IntegrityError",
    "InvalidInputError",
    "InvalidTypeError",
    "JsonValue",
    "Link",
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
    "Profile",
    "ProfileConfigurationError",
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

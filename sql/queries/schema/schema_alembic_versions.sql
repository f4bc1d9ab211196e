-- name: schema_alembic_versions
-- purpose: The revisions that AiiDA 2.x, or its old SQLAlchemy backend, has recorded; there should
--     be one
-- parameters: none
-- schema: main_0002
-- result: source text, name text, value text; one row per revision, which is the name
select
    'alembic_version' as source,
    alembic.version_num::text as name,
    null::text as value
from alembic_version as alembic

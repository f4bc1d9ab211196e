-- name: schema_alembic_versions
-- purpose: The revisions that AiiDA 2.x, or its old SQLAlchemy backend, has noted; there should be
--     one
-- parameters: none
-- schema: main_0002
-- result: version text; one row per revision
select alembic.version_num::text as version
from public.alembic_version as alembic
order by alembic.version_num

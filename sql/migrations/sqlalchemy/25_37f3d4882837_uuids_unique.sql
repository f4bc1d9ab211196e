-- migration: sqlalchemy_25_37f3d4882837
-- from: 6a5c2ea1439d
-- to: 37f3d4882837
-- changes: The uuids of comments, computers, groups and workflows become unique. What has none gets
--     one.
-- why: Uniqueness was assumed before. Where two rows share a uuid, the step is
--     refused, as AiiDA's own is, which counts two rows without one among them.
-- tables: db_dbcomment, db_dbcomputer, db_dbgroup, db_dbworkflow

update db_dbcomment
set uuid = gen_random_uuid()
where uuid is null;

update db_dbcomputer
set uuid = gen_random_uuid()
where uuid is null;

update db_dbgroup
set uuid = gen_random_uuid()
where uuid is null;

update db_dbworkflow
set uuid = gen_random_uuid()
where uuid is null;

select pg_temp.aiidadb_unique_uuids('db_dbcomment');
select pg_temp.aiidadb_unique_uuids('db_dbcomputer');
select pg_temp.aiidadb_unique_uuids('db_dbgroup');
select pg_temp.aiidadb_unique_uuids('db_dbworkflow');

-- migration: django_0031
-- from: 1.0.30
-- to: 1.0.31
-- also: 3d6190594e19
-- changes: Drops db_dbcomputer.enabled.
-- why: A computer is enabled or not for each user, in db_dbauthinfo.
-- tables: db_dbcomputer
-- drops: db_dbcomputer.enabled

alter table db_dbcomputer drop column enabled;

-- migration: django_0036
-- from: 1.0.35
-- to: 1.0.36
-- also: 07fac78e6209
-- changes: Drops db_dbcomputer.transport_params.
-- why: Transport parameters belong to a user on a computer: db_dbauthinfo.auth_params.
-- tables: db_dbcomputer
-- drops: db_dbcomputer.transport_params

alter table db_dbcomputer drop column transport_params;

-- migration: django_0013
-- from: 1.0.12
-- to: 1.0.13
-- changes: db_dbuser.last_login may be null; db_dbuser.email takes 254 characters, and is no longer
--     unique.
-- why: It is what Django 1.8 did to its own users. That the email need not be unique was a mistake,
--     which 0018 corrects.
-- tables: db_dbuser
-- remakes: db_dbuser.email

alter table db_dbuser
    alter column last_login drop not null,
    alter column email type varchar(254);

select pg_temp.aiidadb_drop_unique('db_dbuser', array['email']);
select pg_temp.aiidadb_drop_index('db_dbuser', array['email']);

-- migration: django_0035
-- from: 1.0.34
-- to: 1.0.35
-- also: de2eaf6978b4
-- changes: Drops password, date_joined, is_active, is_staff, is_superuser and last_login of
--     db_dbuser, and the tables that gave users Django's groups and permissions.
-- sqlalchemy changes: Drops password, date_joined, is_active, is_staff, is_superuser and last_login
--     of db_dbuser.
-- why: Users do not log in to AiiDA.
-- tables: db_dbuser, db_dbuser_groups, db_dbuser_user_permissions
-- sqlalchemy tables: db_dbuser
-- drops: db_dbuser.date_joined, db_dbuser.is_active, db_dbuser.is_staff, db_dbuser.is_superuser,
--     db_dbuser.last_login, db_dbuser.password, db_dbuser_groups, db_dbuser_user_permissions
-- sqlalchemy drops: db_dbuser.date_joined, db_dbuser.is_active, db_dbuser.is_staff,
--     db_dbuser.is_superuser, db_dbuser.last_login, db_dbuser.password

alter table db_dbuser
    drop column password,
    drop column date_joined,
    drop column is_active,
    drop column is_staff,
    drop column is_superuser,
    drop column last_login;

-- django alone:
drop table db_dbuser_groups;
drop table db_dbuser_user_permissions;

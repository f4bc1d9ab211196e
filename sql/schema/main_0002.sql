-- schema: main_0002
-- purpose: the whole schema of the main line's head for a new, empty database, with the version by
--     which aiida-core 2.x knows it
-- source: what aiida-core 2.9.4 leaves when it migrates a database to main_0002: the same columns,
--     constraints, indexes and names. A database that 2.9.4 itself creates differs only in names,
--     of indexes and of one constraint, and 2.9.4 opens both
-- steps: main
--
-- The steps of the line come first: they make all tables but this one. aiida-core also requires the
-- setting `repository|uuid`, equal to the id of the profile's file repository: what makes that
-- repository writes it, because this file knows of none.

-- As Alembic makes it, which writes the version for aiida-core.
create table alembic_version (
    version_num varchar(32) not null constraint alembic_version_pkc primary key
);

insert into alembic_version (version_num)
values ('main_0002');

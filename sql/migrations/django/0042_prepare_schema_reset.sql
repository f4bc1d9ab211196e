-- migration: django_0042
-- from: 1.0.41
-- to: 1.0.42
-- also: 91b573400be5
-- changes: The setting `schema_generation` is added, with the value "1", where it is missing.
-- why: With it AiiDA can distinguish a database whose numbering of versions started again from an
--     old one. An existing value is kept.
-- tables: db_dbsetting
-- rows: select count(*) from (select 1) as setting
--     where not exists (select from db_dbsetting where key = 'schema_generation')

insert into db_dbsetting (key, val, description, time)
select
    'schema_generation',
    '"1"',
    'Database schema generation',
    now()
where
    not exists (
        select
        from db_dbsetting
        where key = 'schema_generation'
    );

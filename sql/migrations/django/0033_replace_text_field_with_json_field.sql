-- migration: django_0033
-- from: 1.0.32
-- to: 1.0.33
-- changes: auth_params and metadata of db_dbauthinfo, metadata and transport_params of
--     db_dbcomputer, and metadata of db_dblog become of type jsonb.
-- why: They held JSON as text. AiiDA's step fails on NaN and infinities, which Python's JSON has;
--     here they become the strings `nan`, `inf` and `-inf`, as AiiDA writes them everywhere else.
--     Text that is not JSON is refused.
-- tables: db_dbauthinfo, db_dbcomputer, db_dblog
-- retypes: db_dbauthinfo.auth_params, db_dbauthinfo.metadata, db_dbcomputer.metadata,
--     db_dbcomputer.transport_params, db_dblog.metadata
-- rows: select (select count(*) from db_dbauthinfo) + (select count(*) from db_dbcomputer)
--     + (select count(*) from db_dblog)

create or replace function pg_temp.aiidadb_json_columns(table_name text, columns text[])
returns void
language plpgsql as $$
declare
    malformed bigint;
begin
    execute format('alter table %I ', table_name) || (
        select string_agg(
            format('alter column %1$I type jsonb using pg_temp.aiidadb_jsonb(%1$I)', column_name),
            ', '
        )
        from unnest(columns) as column_name
    );
exception
    -- What is not JSON came out null, which the columns do not allow.
    when not_null_violation then
        execute format('select count(*) from %I where ', table_name) || (
            select string_agg(format('pg_temp.aiidadb_jsonb(%I) is null', column_name), ' or ')
            from unnest(columns) as column_name
        ) into malformed;
        perform pg_temp.aiidadb_refuse(
            table_name,
            malformed,
            'with text that is not valid JSON in ' || array_to_string(columns, ' or '),
            'Put it right, or put {} in its place, then migrate again.'
        );
        raise;
end
$$;

select pg_temp.aiidadb_json_columns('db_dbauthinfo', array['auth_params', 'metadata']);
select pg_temp.aiidadb_json_columns('db_dbcomputer', array['metadata', 'transport_params']);
select pg_temp.aiidadb_json_columns('db_dblog', array['metadata']);

-- migration: django_0008
-- from: 1.0.7
-- to: 1.0.8
-- changes: The attribute `hidden` of codes becomes an extra.
-- why: Attributes of a stored node do not change; whether a code is hidden does. AiiDA's step fails
--     where the code has an extra of that name already; here the extra stays, and so does the
--     attribute.
-- tables: db_dbattribute, db_dbextra
-- rows: select count(*)
--     from db_dbattribute as attribute
--     join db_dbnode as code on code.id = attribute.dbnode_id
--     where attribute.key = 'hidden'
--       and code.type = 'code.Code.'
--       and not exists (
--           select
--           from db_dbextra as extra
--           where extra.dbnode_id = code.id and extra.key = 'hidden'
--       )

with moved as (
    delete from db_dbattribute as attribute
    using db_dbnode as code
    where code.id = attribute.dbnode_id
        and code.type = 'code.Code.'
        and attribute.key = 'hidden'
        and not exists (
            select
            from db_dbextra as extra
            where extra.dbnode_id = code.id
                and extra.key = 'hidden'
        )
    returning attribute.*
)

insert into db_dbextra (key, datatype, tval, fval, ival, bval, dval, dbnode_id)
select
    key,
    datatype,
    tval,
    fval,
    ival,
    bval,
    dval,
    dbnode_id
from moved
order by id;

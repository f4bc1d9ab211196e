-- migration: main_0002
-- from: main_0001
-- to: main_0002
-- changes: The extra `_aiida_hash` is removed from every calculation job that has it.
-- why: From 2.0 to 2.3 the hash of a calculation job included its files, which it must not.
--     `verdi node rehash -e aiida.node:process.calculation.calcjob` recomputes them.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where node_type = 'process.calculation.calcjob.CalcJobNode.' and extras ? '_aiida_hash'

update db_dbnode
set extras = extras - '_aiida_hash'
where node_type = 'process.calculation.calcjob.CalcJobNode.'
    and extras ? '_aiida_hash';

-- migration: django_0039
-- from: 1.0.38
-- to: 1.0.39
-- also: 5d4d844852b6, e797afa09270
-- changes: The extra `_aiida_hash` goes from every node that has it.
-- why: AiiDA 1.0 computes the hash of a node, by which its cache finds equal ones, in another way.
--     `verdi rehash` computes them anew. AiiDA rewrites every node; here the others are left alone.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode where extras ? '_aiida_hash'

update db_dbnode
set extras = extras - '_aiida_hash'
where extras ? '_aiida_hash';

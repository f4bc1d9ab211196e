-- migration: django_0017
-- from: 1.0.16
-- to: 1.0.17
-- also: 162b99bca4a2
-- changes: Drops db_dbcalcstate.
-- why: The state of a calculation is an attribute of its node.
-- tables: db_dbcalcstate
-- drops: db_dbcalcstate

drop table db_dbcalcstate;

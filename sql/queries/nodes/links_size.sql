-- name: links_size
-- purpose: How many links there are, fast and without reading them
-- parameters: none
-- result: bytes bigint; one row: the size of the table on the disk
select pg_relation_size('db_dblink'::regclass) as bytes

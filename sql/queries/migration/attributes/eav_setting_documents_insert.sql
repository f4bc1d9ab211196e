-- name: eav_setting_documents_insert
-- purpose: Keeps the values of settings that are lists or dicts for the rest of the step
-- parameters: $1 keys text[]: the settings
--     $2 documents text[]: of each, JSON that has the value under the setting's key
-- step: django_0037
-- result: none
insert into pg_temp.aiidadb_setting_document (key, document)
select
    made.key,
    made.document::jsonb -> made.key
from unnest($1::text[], $2::text[]) as made (key, document)

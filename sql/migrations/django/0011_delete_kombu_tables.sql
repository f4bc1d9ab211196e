-- migration: django_0011
-- from: 1.0.10
-- to: 1.0.11
-- also: f9a69de76a9a
-- changes: Drops the tables of kombu, the old daemon's message queue, and deletes the old daemon's
--     settings.
-- sqlalchemy changes: Drops the tables and sequences of kombu, the old daemon's message queue, and
--     deletes the old daemon's settings.
-- why: The daemon no longer keeps its state in the database.
-- tables: kombu_message, kombu_queue, db_dbsetting
-- drops: kombu_message, kombu_queue
-- rows: select count(*) from db_dbsetting
--     where key in (
--         'daemon|user',
--         'daemon|task_stop|retriever', 'daemon|task_start|retriever',
--         'daemon|task_stop|updater', 'daemon|task_start|updater',
--         'daemon|task_stop|submitter', 'daemon|task_start|submitter'
--     )

drop table if exists kombu_message;
drop table if exists kombu_queue;

-- sqlalchemy alone:
drop sequence if exists message_id_sequence;
drop sequence if exists queue_id_sequence;

-- both lines:
delete from db_dbsetting
where
    key in (
        'daemon|user',
        'daemon|task_stop|retriever', 'daemon|task_start|retriever',
        'daemon|task_stop|updater', 'daemon|task_start|updater',
        'daemon|task_stop|submitter', 'daemon|task_start|submitter'
    );

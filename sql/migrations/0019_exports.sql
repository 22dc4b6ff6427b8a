-- migrate:up

-- Who took people's names out of the house, for which month and why; the names are not here. The row
-- stands before the first name leaves.
CREATE TABLE name_export (
    export_id   uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('settlement')),
    from_day    date        NOT NULL,
    to_day      date        NOT NULL CHECK (to_day > from_day),
    form        text        NOT NULL CHECK (form IN ('csv', 'json')),
    rows        bigint      NOT NULL CHECK (rows >= 0),
    purpose     text        NOT NULL CHECK (length(purpose) BETWEEN 1 AND 500),
    exported_by text        NOT NULL CHECK (length(exported_by) BETWEEN 1 AND 100),
    exported_at timestamptz NOT NULL
);
CREATE INDEX name_export_newest ON name_export (exported_at DESC, export_id DESC);

GRANT SELECT, INSERT ON name_export TO aqkol_service;

-- migrate:up

-- A file of readings that an operator sent, how it is read, and how far it is. A killed one still
-- runs: the same file again goes on with it. One of which nothing could be taken has failed.
CREATE TABLE upload (
    upload_id    uuid        PRIMARY KEY,
    digest       bytea       NOT NULL CHECK (length(digest) = 32),
    size_bytes   bigint      NOT NULL CHECK (size_bytes >= 0),
    form         text        NOT NULL CHECK (form IN ('csv', 'ndjson')),
    encoding     text        NOT NULL CHECK (encoding IN ('utf-8', 'windows-1251')),
    zone         text        NOT NULL CHECK (length(zone) <= 64),
    decimal_mark text        NOT NULL CHECK (decimal_mark IN ('.', ',')),
    sent_by      text        NOT NULL CHECK (length(sent_by) BETWEEN 1 AND 100),
    state        text        NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    rows         integer     NOT NULL CHECK (rows >= 0),
    rows_done    integer     NOT NULL DEFAULT 0 CHECK (rows_done BETWEEN 0 AND rows),
    rows_kept    integer     NOT NULL DEFAULT 0 CHECK (rows_kept BETWEEN 0 AND rows_done),
    stored       integer     NOT NULL DEFAULT 0 CHECK (stored >= 0),
    repeated     integer     NOT NULL DEFAULT 0 CHECK (repeated >= 0),
    refused      integer     NOT NULL DEFAULT 0 CHECK (refused >= 0),
    suspect      integer     NOT NULL DEFAULT 0 CHECK (suspect >= 0),
    flagged      integer     NOT NULL DEFAULT 0 CHECK (flagged >= 0),
    reason       text        CHECK (reason ~ '^[a-z_]{1,40}$'),
    detail       text        CHECK (length(detail) <= 500),
    started_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    -- Every row that was decided came to exactly one thing.
    CONSTRAINT rows_add_up CHECK (stored + repeated + refused + suspect + flagged = rows_done),
    CONSTRAINT done_is_whole CHECK (state <> 'done' OR rows_done = rows),
    CONSTRAINT failure_has_reason CHECK ((state = 'failed') = (reason IS NOT NULL))
);
-- One file, read in one manner, is taken in once at a time.
CREATE UNIQUE INDEX upload_running ON upload (digest, form, encoding, zone, decimal_mark)
    WHERE state = 'running';
CREATE INDEX upload_newest ON upload (started_at DESC, upload_id DESC);

-- What became of a row that a person may have to act on, for the newest uploads; the evidence of a
-- refused one stands in refused_telegram.
CREATE TABLE upload_row (
    upload_id uuid        NOT NULL,
    row_no    integer     NOT NULL CHECK (row_no > 0),
    meter_id  text        CHECK (meter_id ~ '^[A-Z0-9-]{1,32}$'),
    read_at   timestamptz,
    result    text        NOT NULL CHECK (result IN ('refused', 'suspect', 'flagged')),
    reason    text        NOT NULL CHECK (reason ~ '^[a-z_]{1,40}$'),
    PRIMARY KEY (upload_id, row_no)
);

GRANT SELECT, INSERT ON upload, upload_row TO aqkol_service;
GRANT UPDATE (
    state, rows_done, rows_kept, stored, repeated, refused, suspect, flagged, changed_at
) ON upload TO aqkol_service;
GRANT DELETE ON upload_row TO aqkol_service;

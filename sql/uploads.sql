-- What uploads of operators ask of the database; their readings are written as metering.sql says.

-- name: begin_upload(upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, rows, at)$
-- Begin an upload, unless one of the same file, read in the same manner, runs.
INSERT INTO upload (
    upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, state, rows,
    started_at, changed_at
)
VALUES (
    :upload_id, :digest, :size_bytes, :form, :encoding, :zone, :decimal_mark, :sent_by, 'running',
    :rows, :at, :at
)
ON CONFLICT (digest, form, encoding, zone, decimal_mark) WHERE state = 'running' DO NOTHING
RETURNING upload_id;

-- name: find_running(digest, form, encoding, zone, decimal_mark)^
-- Return the upload of a file, read in a manner, that runs or was killed.
SELECT upload_id, rows_done, rows_kept, stored, repeated, refused, suspect, flagged
FROM upload
WHERE digest = :digest AND form = :form AND encoding = :encoding AND zone = :zone
    AND decimal_mark = :decimal_mark AND state = 'running';

-- name: fail_upload(upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, reason, detail, at)!
-- Write down a file of which nothing could be taken.
INSERT INTO upload (
    upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, state, rows,
    reason, detail, started_at, changed_at
)
VALUES (
    :upload_id, :digest, :size_bytes, :form, :encoding, :zone, :decimal_mark, :sent_by, 'failed', 0,
    :reason, :detail, :at, :at
);

-- name: move_upload(upload_id, start, upto, kept, stored, repeated, refused, suspect, flagged, at)$
-- Move an upload on by one chunk, unless somebody else did; with the last one it is done.
UPDATE upload
SET rows_done = :upto::int,
    rows_kept = rows_kept + :kept::int,
    stored = stored + :stored::int,
    repeated = repeated + :repeated::int,
    refused = refused + :refused::int,
    suspect = suspect + :suspect::int,
    flagged = flagged + :flagged::int,
    state = CASE WHEN :upto::int = rows THEN 'done' ELSE state END,
    changed_at = :at
WHERE upload_id = :upload_id AND rows_done = :start::int AND state = 'running'
RETURNING upload_id;

-- name: add_rows(upload_id, row_nos, meter_ids, read_ats, results, reasons)!
-- Keep the answers to rows that a person may have to act on.
INSERT INTO upload_row (upload_id, row_no, meter_id, read_at, result, reason)
SELECT :upload_id, row_no, meter_id, read_at, result, reason
FROM unnest(
    :row_nos::int[], :meter_ids::text[], :read_ats::timestamptz[], :results::text[], :reasons::text[]
) AS added (row_no, meter_id, read_at, result, reason);

-- name: forget_rows(uploads_max)!
-- Drop the answers of all but the newest uploads.
DELETE FROM upload_row
WHERE upload_id NOT IN (
    SELECT upload_id FROM upload ORDER BY started_at DESC, upload_id DESC LIMIT :uploads_max
);

-- name: find_upload(upload_id)^
-- Return an upload: how far it is, and what became of its rows.
SELECT upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, state, rows,
       rows_done, rows_kept, stored, repeated, refused, suspect, flagged, reason, detail, started_at,
       changed_at
FROM upload
WHERE upload_id = :upload_id;

-- name: list_uploads(before, before_upload, page)
-- List uploads, the newest first.
SELECT upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by, state, rows,
       rows_done, rows_kept, stored, repeated, refused, suspect, flagged, reason, detail, started_at,
       changed_at
FROM upload
WHERE (started_at, upload_id) < (:before::timestamptz, :before_upload::uuid)
ORDER BY started_at DESC, upload_id DESC
LIMIT :page;

-- name: list_rows(upload_id, after, page)
-- List the kept answers of an upload by the number of the row.
SELECT row_no, meter_id, read_at, result, reason
FROM upload_row
WHERE upload_id = :upload_id AND row_no > :after
ORDER BY row_no
LIMIT :page;

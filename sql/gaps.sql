-- name: find_meter_type(meter_id)$
-- Say of which type a meter is; nothing comes back when nobody registered it.
SELECT meter_type FROM meter WHERE meter_id = :meter_id;

-- name: read_types(meter_ids)
-- Return of which types these meters are.
SELECT meter_id, meter_type FROM meter WHERE meter_id = ANY (:meter_ids::text[]);

-- name: read_stays(meter_ids, from_at, to_at)
-- Return where the named meters hung in a stretch of time, oldest first.
SELECT meter_id, installed_at, account_id, supply_point_id, opening_dm3,
       removed_at, closing_dm3, closing_turns
FROM installation
WHERE meter_id = ANY (:meter_ids::text[]) AND installed_at < :to_at::timestamptz
    AND (removed_at IS NULL OR removed_at > :from_at::timestamptz)
ORDER BY meter_id, installed_at;

-- name: read_declared(meter_ids, from_day, to_day)
-- Return what was declared of these meters for some days, the newest word first.
SELECT g.gap_id, g.meter_id, g.from_day, g.to_day, g.reason, g.because, g.declared_by,
       g.declared_at, w.withdrawn_by, w.because AS withdrawn_because, w.withdrawn_at
FROM declared_gap g
LEFT JOIN gap_withdrawal w ON w.meter_id = g.meter_id AND w.gap_id = g.gap_id
WHERE g.meter_id = ANY (:meter_ids::text[])
    AND g.from_day < :to_day::date AND g.to_day > :from_day::date
ORDER BY g.meter_id, g.declared_at DESC, g.gap_id;

-- name: find_gap(meter_id, gap_id)^
-- Find one declared gap.
SELECT g.gap_id, g.meter_id, g.from_day, g.to_day, g.reason, g.because, g.declared_by,
       g.declared_at, w.withdrawn_by, w.because AS withdrawn_because, w.withdrawn_at
FROM declared_gap g
LEFT JOIN gap_withdrawal w ON w.meter_id = g.meter_id AND w.gap_id = g.gap_id
WHERE g.meter_id = :meter_id AND g.gap_id = :gap_id;

-- name: declare_gap(meter_id, from_day, to_day, reason, because, declared_by, declared_at)$
-- Write down why a meter is silent on some days.
INSERT INTO declared_gap (meter_id, from_day, to_day, reason, because, declared_by, declared_at)
VALUES (:meter_id, :from_day, :to_day, :reason, :because, :declared_by, :declared_at)
RETURNING gap_id;

-- name: withdraw_gap(meter_id, gap_id, because, withdrawn_by, withdrawn_at)$
-- Take a declared gap back; nothing comes back when somebody did before.
INSERT INTO gap_withdrawal (meter_id, gap_id, because, withdrawn_by, withdrawn_at)
VALUES (:meter_id, :gap_id, :because, :withdrawn_by, :withdrawn_at)
ON CONFLICT (meter_id, gap_id) DO NOTHING
RETURNING gap_id;

-- name: count_readings(meter_id, starts, ends)
-- Count what a meter said in each stretch of time, trusted and not.
SELECT d.place::integer AS place, n.billable, n.suspect
FROM unnest(:starts::timestamptz[], :ends::timestamptz[])
    WITH ORDINALITY AS d (start_at, end_at, place)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE r.verdict = 'billable' OR x.read_at IS NOT NULL) AS billable,
           count(*) FILTER (WHERE r.verdict = 'suspect' AND x.read_at IS NULL) AS suspect
    FROM reading r
    LEFT JOIN reading_decision x ON x.meter_id = r.meter_id AND x.read_at = r.read_at
    WHERE r.meter_id = :meter_id AND r.read_at >= d.start_at AND r.read_at < d.end_at
) AS n
WHERE n.billable + n.suspect > 0
ORDER BY d.place;

-- name: unread_days(meter_ids, starts, ends)
-- List the stretches of time without a trusted reading of these meters, and whether they spoke in it.
-- OFFSET 0 makes each look-up a probe of its own: it ends at the first reading it meets.
SELECT m.meter_id, d.place::integer AS place,
       EXISTS (
           SELECT FROM reading s
           WHERE s.meter_id = m.meter_id AND s.read_at >= d.start_at AND s.read_at < d.end_at
           OFFSET 0
       ) AS spoke
FROM unnest(:meter_ids::text[]) AS m (meter_id)
CROSS JOIN unnest(:starts::timestamptz[], :ends::timestamptz[])
    WITH ORDINALITY AS d (start_at, end_at, place)
WHERE NOT EXISTS (
    SELECT FROM reading r
    WHERE r.meter_id = m.meter_id AND r.read_at >= d.start_at AND r.read_at < d.end_at
        AND r.verdict = 'billable'
    OFFSET 0
)
AND NOT EXISTS (
    SELECT FROM reading_decision x
    WHERE x.meter_id = m.meter_id AND x.read_at >= d.start_at AND x.read_at < d.end_at
    OFFSET 0
);

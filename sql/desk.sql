-- name: list_meter_ids(after, page)
-- List the next meters in the order of their ids.
SELECT meter_id FROM meter WHERE meter_id > :after ORDER BY meter_id LIMIT :page;

-- name: survey_meters(meter_ids)
-- Return these meters with their last contact, last reading, held readings, findings and open cases.
SELECT
    m.meter_id, m.state, t.received_at AS last_contact_at, t.flags, r.read_at AS last_read_at,
    r.register_dm3 AS last_register_dm3, h.held_readings, c.open_cases,
    f.held_findings, f.flagged_findings
FROM meter m
LEFT JOIN LATERAL (
    SELECT n.received_at, n.flags
    FROM (
        SELECT unnest(ARRAY[-2, -1, 0]) AS key_epoch
        UNION ALL
        SELECT k.key_epoch FROM device_key k WHERE k.meter_id = m.meter_id
    ) e
    CROSS JOIN LATERAL (
        SELECT received_at, flags
        FROM telegram
        WHERE meter_id = m.meter_id AND key_epoch = e.key_epoch
        ORDER BY counter DESC
        LIMIT 1
    ) n
    ORDER BY n.received_at DESC
    LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT read_at, register_dm3
    FROM reading
    WHERE meter_id = m.meter_id
    ORDER BY read_at DESC
    LIMIT 1
) r ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS held_readings
    FROM reading s
    WHERE s.meter_id = m.meter_id AND s.verdict = 'suspect' AND NOT EXISTS (
        SELECT FROM reading_decision d WHERE d.meter_id = s.meter_id AND d.read_at = s.read_at
    )
) h
CROSS JOIN LATERAL (
    SELECT count(*) AS open_cases
    FROM meter_case
    WHERE meter_id = m.meter_id AND closed_at IS NULL
) c
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE a.outcome = 'held' AND NOT EXISTS (
               SELECT FROM finding_decision d
               WHERE d.meter_id = m.meter_id AND d.digest = a.digest
           )) AS held_findings,
           count(*) FILTER (WHERE a.outcome = 'flagged') AS flagged_findings
    FROM (
        SELECT digest, outcome FROM reading_finding WHERE meter_id = m.meter_id
        UNION ALL
        SELECT digest, outcome FROM period_finding WHERE meter_id = m.meter_id
    ) a
) f
WHERE m.meter_id = ANY (:meter_ids::text[])
ORDER BY m.meter_id;

-- name: list_held(before, before_meter, page)
-- List suspect readings that nobody has decided on, the newest first, each with the trusted registers
-- of its stay on both sides. Readings and decisions are asked apart, so that each look-up ends at the
-- first row of its index.
SELECT
    h.meter_id, h.read_at, h.register_dm3, h.reason, h.received_at, i.installed_at, i.removed_at,
    i.opening_dm3, i.closing_dm3, i.closing_turns,
    b.read_at AS before_read_at, b.register_dm3 AS before_dm3, b.turns AS before_turns,
    a.read_at AS after_read_at, a.register_dm3 AS after_dm3, a.turns AS after_turns
FROM (
    SELECT s.meter_id, s.read_at, s.register_dm3, s.reason, s.received_at
    FROM reading s
    WHERE s.verdict = 'suspect' AND s.read_at <= :before
        AND (s.read_at, s.meter_id) < (:before::timestamptz, :before_meter::text)
        AND NOT EXISTS (
            SELECT FROM reading_decision d
            WHERE d.meter_id = s.meter_id AND d.read_at = s.read_at
        )
    ORDER BY s.read_at DESC, s.meter_id DESC
    LIMIT :page
) h
LEFT JOIN LATERAL (
    SELECT p.installed_at, p.removed_at, p.opening_dm3, p.closing_dm3, p.closing_turns,
           coalesce(p.removed_at, 'infinity') AS until
    FROM installation p
    WHERE p.meter_id = h.meter_id AND p.installed_at <= h.read_at
        AND (p.removed_at IS NULL OR h.read_at < p.removed_at)
) i ON true
LEFT JOIN LATERAL (
    (
        SELECT t.read_at, t.register_dm3, t.turns
        FROM reading t
        WHERE t.meter_id = h.meter_id AND t.verdict = 'billable'
            AND t.read_at >= i.installed_at AND t.read_at < h.read_at
        ORDER BY t.read_at DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT d.read_at, d.register_dm3, d.turns
        FROM reading_decision d
        WHERE d.meter_id = h.meter_id AND d.read_at >= i.installed_at AND d.read_at < h.read_at
        ORDER BY d.read_at DESC
        LIMIT 1
    )
    ORDER BY read_at DESC
    LIMIT 1
) b ON true
LEFT JOIN LATERAL (
    (
        SELECT t.read_at, t.register_dm3, t.turns
        FROM reading t
        WHERE t.meter_id = h.meter_id AND t.verdict = 'billable'
            AND t.read_at > h.read_at AND t.read_at < i.until
        ORDER BY t.read_at
        LIMIT 1
    )
    UNION ALL
    (
        SELECT d.read_at, d.register_dm3, d.turns
        FROM reading_decision d
        WHERE d.meter_id = h.meter_id AND d.read_at > h.read_at AND d.read_at < i.until
        ORDER BY d.read_at
        LIMIT 1
    )
    ORDER BY read_at
    LIMIT 1
) a ON true
ORDER BY h.read_at DESC, h.meter_id DESC;

-- name: find_judged(meter_id, read_at)^
-- Find a reading, how it was judged, and the stay of its meter that it belongs to.
SELECT
    s.register_dm3, s.verdict, m.dial_dm3, i.installed_at, i.removed_at, i.opening_dm3,
    i.closing_dm3, i.closing_turns
FROM reading s
JOIN meter m ON m.meter_id = s.meter_id
LEFT JOIN installation i
    ON i.meter_id = s.meter_id AND i.installed_at <= s.read_at
    AND (i.removed_at IS NULL OR s.read_at < i.removed_at)
WHERE s.meter_id = :meter_id AND s.read_at = :read_at;

-- name: neighbours(meter_id, installed_at, removed_at, read_at)
-- List the trusted readings of a stay on both sides of an instant, the earlier one first.
(
    SELECT read_at, register_dm3, turns
    FROM trusted_reading
    WHERE meter_id = :meter_id AND read_at >= :installed_at AND read_at < :read_at
    ORDER BY read_at DESC
    LIMIT 1
)
UNION ALL
(
    SELECT read_at, register_dm3, turns
    FROM trusted_reading
    WHERE meter_id = :meter_id AND read_at > :read_at
        AND (:removed_at::timestamptz IS NULL OR read_at < :removed_at)
    ORDER BY read_at
    LIMIT 1
)
ORDER BY read_at;

-- name: find_decision(meter_id, read_at)^
-- Find what a person decided on a reading.
SELECT meter_id, read_at, decision, register_dm3, turns, decided_by, because, decided_at
FROM reading_decision
WHERE meter_id = :meter_id AND read_at = :read_at;

-- name: decide(meter_id, read_at, decision, register_dm3, turns, decided_by, because, decided_at)!
-- Keep a person's word on a suspect reading.
INSERT INTO reading_decision (
    meter_id, read_at, decision, register_dm3, turns, decided_by, because, decided_at
) VALUES (
    :meter_id, :read_at, :decision, :register_dm3, :turns, :decided_by, :because, :decided_at
);

-- name: list_cases(closed, before, before_case, page)
-- List the cases that are open, or those that are closed, the newest first.
SELECT meter_id, case_id, kind, detail, opened_at, closed_at, closed_by, outcome
FROM meter_case
WHERE (closed_at IS NOT NULL) = :closed::boolean
    AND (opened_at, case_id) < (:before::timestamptz, :before_case::uuid)
ORDER BY opened_at DESC, case_id DESC
LIMIT :page;

-- name: find_case(meter_id, case_id)^
-- Find one case.
SELECT meter_id, case_id, kind, detail, opened_at, closed_at, closed_by, outcome
FROM meter_case
WHERE meter_id = :meter_id AND case_id = :case_id;

-- name: close_case(meter_id, case_id, closed_at, closed_by, outcome)$
-- Close a case that is open; nothing comes back when it is not.
UPDATE meter_case
SET closed_at = :closed_at, closed_by = :closed_by, outcome = :outcome
WHERE meter_id = :meter_id AND case_id = :case_id AND closed_at IS NULL
RETURNING case_id;

-- name: find_trusted(meter_id, read_at)^
-- Find the register that is trusted at an instant, with the stay of its meter that it belongs to.
SELECT
    t.register_dm3, t.turns, m.dial_dm3, i.installed_at, i.removed_at, i.opening_dm3, i.closing_dm3,
    i.closing_turns
FROM trusted_reading t
JOIN meter m ON m.meter_id = t.meter_id
LEFT JOIN installation i
    ON i.meter_id = t.meter_id AND i.installed_at <= t.read_at
    AND (i.removed_at IS NULL OR t.read_at < i.removed_at)
WHERE t.meter_id = :meter_id AND t.read_at = :read_at;

-- name: find_correction(meter_id, read_at)^
-- Find the last correction of a register.
SELECT meter_id, read_at, revision, register_dm3, turns, fault, decided_by, because, decided_at
FROM reading_correction
WHERE meter_id = :meter_id AND read_at = :read_at
ORDER BY revision DESC
LIMIT 1;

-- name: correct_reading(meter_id, read_at, revision, register_dm3, turns, fault, decided_by, because, decided_at)!
-- Keep a person's later word on a trusted register, and note that bills may quote it.
WITH corrected AS (
    INSERT INTO reading_correction (
        meter_id, read_at, revision, register_dm3, turns, fault, decided_by, because, decided_at
    ) VALUES (
        :meter_id, :read_at, :revision, :register_dm3, :turns, :fault, :decided_by, :because,
        :decided_at
    )
    RETURNING meter_id, read_at, revision, decided_at
)
INSERT INTO usage_doubt (meter_id, read_at, revision, noted_at)
SELECT meter_id, read_at, revision, decided_at FROM corrected;

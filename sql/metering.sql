-- What ingest asks of the database. One batch is one transaction: lock_buckets first, then the
-- reads, then the writes.

-- name: lock_buckets(buckets)
-- Keep others off these buckets of meters until the transaction ends, and make what they remember
-- old; the rows are taken in ascending order, so that nobody waits in a circle.
UPDATE bucket SET version = version + 1
WHERE bucket = ANY (ARRAY(
    SELECT wanted.bucket FROM bucket AS wanted
    WHERE wanted.bucket = ANY (:buckets::int[])
    ORDER BY wanted.bucket
    FOR UPDATE
))
RETURNING bucket, version;

-- name: plan_quickly()!
-- Switch off just-in-time compilation, which costs more than any of these queries.
SET LOCAL jit = off;

-- name: open_month(instant)!
-- Make room for the readings of the month that holds an instant.
SELECT open_reading_month(:instant::timestamptz);

-- name: known_meters(meter_ids)
-- Return those of the named meters that are registered.
SELECT meter_id FROM meter WHERE meter_id = ANY (:meter_ids::text[]);

-- name: read_heads(meter_ids)
-- Return the named meters as they stand: state, highest unsigned counter, last reading, and the last
-- trusted one since the last installation.
SELECT m.meter_id, m.dial_dm3, m.step_dm3, m.qmax_dm3_h, m.compensated, m.state, m.meter_type,
       told.counter AS counter_max, latest.read_at AS last_read_at,
       mark.read_at AS mark_read_at, mark.register_dm3 AS mark_register_dm3,
       mark.turns AS mark_turns
FROM meter AS m
LEFT JOIN LATERAL (
    SELECT t.counter FROM telegram AS t
    WHERE t.meter_id = m.meter_id AND t.key_epoch = 0
    ORDER BY t.counter DESC
    LIMIT 1
) AS told ON true
LEFT JOIN LATERAL (
    SELECT r.read_at FROM reading AS r
    WHERE r.meter_id = m.meter_id
    ORDER BY r.read_at DESC
    LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT i.installed_at FROM installation AS i
    WHERE i.meter_id = m.meter_id
    ORDER BY i.installed_at DESC
    LIMIT 1
) AS hung ON true
LEFT JOIN LATERAL (
    SELECT r.read_at, r.register_dm3, r.turns
    FROM trusted_reading AS r
    WHERE r.meter_id = m.meter_id AND r.read_at >= hung.installed_at
    ORDER BY r.read_at DESC
    LIMIT 1
) AS mark ON true
WHERE m.meter_id = ANY (:meter_ids::text[]);

-- name: read_installations(meter_ids)
-- Return where the named meters have hung and hang, oldest first.
SELECT meter_id, installed_at, account_id, supply_point_id, opening_dm3,
       removed_at, closing_dm3, closing_turns
FROM installation
WHERE meter_id = ANY(:meter_ids::text[])
ORDER BY meter_id, installed_at;

-- name: read_keys(meter_ids)
-- Return the keys of the named meters, the newest first, with the window of each.
SELECT k.meter_id, k.key_epoch, k.algorithm, k.public_key, k.kid, k.valid_until,
       k.frozen_at IS NOT NULL AS frozen, k.revoked_at IS NOT NULL AS revoked,
       w.high_water, w.seen
FROM device_key AS k
LEFT JOIN replay_window AS w ON w.meter_id = k.meter_id AND w.key_epoch = k.key_epoch
WHERE k.meter_id = ANY (:meter_ids::text[])
ORDER BY k.meter_id, k.key_epoch DESC;

-- name: read_digests(meter_ids, key_epochs, counters)
-- Return the digests of those telegrams that we already have.
SELECT t.meter_id, t.key_epoch, t.counter, t.digest
FROM unnest(:meter_ids::text[], :key_epochs::int[], :counters::bigint[])
    AS asked (meter_id, key_epoch, counter)
JOIN telegram AS t ON t.meter_id = asked.meter_id AND t.key_epoch = asked.key_epoch
    AND t.counter = asked.counter;

-- name: read_registers(meter_ids, read_ats)
-- Return the registers that are stored at these very instants, trusted or not.
SELECT asked.meter_id, asked.read_at, held.register_dm3
FROM unnest(:meter_ids::text[], :read_ats::timestamptz[]) AS asked (meter_id, read_at)
CROSS JOIN LATERAL (
    SELECT r.register_dm3
    FROM reading AS r
    WHERE r.meter_id = asked.meter_id AND r.read_at = asked.read_at
    LIMIT 1
) AS held;

-- name: read_marks(meter_ids, read_ats)
-- Return the nearest trusted readings before and after each instant, within its installation.
SELECT DISTINCT i.meter_id, i.installed_at, mark.read_at, mark.register_dm3, mark.turns
FROM unnest(:meter_ids::text[], :read_ats::timestamptz[]) AS asked (meter_id, read_at)
JOIN installation AS i
    ON i.meter_id = asked.meter_id
    AND i.installed_at <= asked.read_at
    AND (i.removed_at IS NULL OR asked.read_at < i.removed_at)
CROSS JOIN LATERAL (
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM trusted_reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at >= i.installed_at
            AND r.read_at < asked.read_at
        ORDER BY r.read_at DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM trusted_reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at > asked.read_at
            AND r.read_at < coalesce(i.removed_at, 'infinity')
        ORDER BY r.read_at
        LIMIT 1
    )
) AS mark;

-- name: read_marks_around(meter_ids, first_ats, last_ats)
-- Return the last trusted reading before each stretch of time and the first one from its beginning on,
-- within the installation, and whether that one lies inside.
SELECT
    asked.stretch, i.meter_id, i.installed_at, mark.read_at, mark.register_dm3, mark.turns,
    mark.read_at BETWEEN asked.first_at AND asked.last_at AS inside
FROM unnest(:meter_ids::text[], :first_ats::timestamptz[], :last_ats::timestamptz[])
    WITH ORDINALITY AS asked (meter_id, first_at, last_at, stretch)
JOIN installation AS i
    ON i.meter_id = asked.meter_id
    AND i.installed_at <= asked.last_at
    AND (i.removed_at IS NULL OR asked.first_at < i.removed_at)
CROSS JOIN LATERAL (
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM trusted_reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at >= i.installed_at
            AND r.read_at < asked.first_at
        ORDER BY r.read_at DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM trusted_reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at >= greatest(asked.first_at, i.installed_at)
            AND r.read_at < coalesce(i.removed_at, 'infinity')
        ORDER BY r.read_at
        LIMIT 1
    )
) AS mark;

-- name: move_windows(meter_ids, key_epochs, high_waters, seens, at)!
-- Remember which counters of signing meters are safe.
INSERT INTO replay_window (meter_id, key_epoch, high_water, seen, updated_at)
SELECT meter_id, key_epoch, high_water, seen, :at::timestamptz
FROM unnest(:meter_ids::text[], :key_epochs::int[], :high_waters::bigint[], :seens::bytea[])
    AS moved (meter_id, key_epoch, high_water, seen)
ON CONFLICT (meter_id, key_epoch) DO UPDATE
SET high_water = excluded.high_water, seen = excluded.seen, updated_at = excluded.updated_at;

-- name: freeze_key(meter_id, key_epoch, at)!
-- Believe a key no more until a person has looked.
UPDATE device_key SET frozen_at = :at::timestamptz
WHERE meter_id = :meter_id AND key_epoch = :key_epoch AND frozen_at IS NULL;

-- name: open_case(meter_id, kind, detail, evidence, at)!
-- Put a question about a meter to a person, unless the same one is open.
INSERT INTO meter_case (meter_id, kind, detail, evidence, opened_at)
VALUES (:meter_id, :kind, :detail, :evidence, :at::timestamptz)
ON CONFLICT (meter_id, kind) WHERE closed_at IS NULL DO NOTHING;

-- name: open_forgery_cases(senders, reasons, since, times_min, at)!
-- Put meters to a person in whose name too many unproven telegrams came since an instant.
INSERT INTO meter_case (meter_id, kind, detail, opened_at)
SELECT sender, 'forged_telegrams', sum(times) || ' telegrams without a valid signature',
       :at::timestamptz
FROM refused_telegram
WHERE sender = ANY (:senders::text[]) AND sender <> ''
    AND reason = ANY (:reasons::text[]) AND last_received_at > :since::timestamptz
GROUP BY sender
HAVING sum(times) >= :times_min::bigint
ON CONFLICT (meter_id, kind) WHERE closed_at IS NULL DO NOTHING;

-- name: add_refused(senders, digests, reasons, details, topics, payloads, sizes, times, received_at)!
-- Keep refused messages as evidence; the same one again is only counted.
INSERT INTO refused_telegram AS kept (
    sender, digest, reason, detail, topic, payload, size_bytes, times,
    first_received_at, last_received_at
)
SELECT sender, digest, reason, detail, topic, payload, size_bytes, times,
       :received_at::timestamptz, :received_at::timestamptz
FROM unnest(
    :senders::text[], :digests::bytea[], :reasons::text[], :details::text[], :topics::text[],
    :payloads::bytea[], :sizes::bigint[], :times::bigint[]
) AS added (sender, digest, reason, detail, topic, payload, size_bytes, times)
ON CONFLICT (sender, digest, reason) DO UPDATE
SET times = kept.times + excluded.times,
    last_received_at = greatest(kept.last_received_at, excluded.last_received_at);

-- name: forget_refused(senders, rows_max, strangers_rows_max)!
-- Drop the oldest evidence of senders who have more than their share; strangers share one.
DELETE FROM refused_telegram AS old
USING (
    SELECT sender, digest, reason,
           row_number() OVER (
               PARTITION BY sender ORDER BY last_received_at DESC, digest, reason
           ) AS place
    FROM refused_telegram
    WHERE sender = ANY(:senders::text[])
) AS ranked
WHERE old.sender = ranked.sender
    AND old.digest = ranked.digest
    AND old.reason = ranked.reason
    AND ranked.place > CASE
        WHEN ranked.sender = '' THEN :strangers_rows_max::bigint ELSE :rows_max::bigint
    END;

-- name: list_windows(after_meter, after_epoch, page)
-- List what signing meters may forget, by meter and epoch.
SELECT meter_id, key_epoch, high_water, seen
FROM replay_window
WHERE (meter_id, key_epoch) > (:after_meter::text, :after_epoch::int)
ORDER BY meter_id, key_epoch
LIMIT :page;

-- name: list_counters(after, page, most)
-- List the last counters that unsigned meters may forget, by meter.
SELECT m.meter_id, told.counters
FROM (
    SELECT meter_id FROM meter
    WHERE meter_id > :after::text AND EXISTS (
        SELECT FROM telegram AS t WHERE t.meter_id = meter.meter_id AND t.key_epoch = 0
    )
    ORDER BY meter_id
    LIMIT :page
) AS m
CROSS JOIN LATERAL (
    SELECT array_agg(t.counter) AS counters
    FROM (
        SELECT counter FROM telegram
        WHERE telegram.meter_id = m.meter_id AND telegram.key_epoch = 0
        ORDER BY counter DESC
        LIMIT :most
    ) AS t
) AS told
ORDER BY m.meter_id;

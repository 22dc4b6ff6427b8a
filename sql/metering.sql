-- What ingest asks of the database. One batch is one transaction: lock_buckets first, then the
-- reads, then the writes.

-- name: lock_buckets(space, buckets)!
-- Keep other workers off these buckets of meters until the transaction ends, in ascending order.
SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(:buckets::int[]) AS bucket;

-- name: plan_quickly()!
-- Switch off just-in-time compilation, which costs more than any of these queries.
SET LOCAL jit = off;

-- name: open_month(instant)!
-- Make room for the readings of the month that holds an instant.
SELECT open_reading_month(:instant::timestamptz);

-- name: read_meters(meter_ids)
-- Return those of the named meters that are registered.
SELECT meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated
FROM meter
WHERE meter_id = ANY(:meter_ids::text[]);

-- name: read_installations(meter_ids)
-- Return where the named meters have hung and hang, oldest first.
SELECT meter_id, installed_at, account_id, supply_point_id, opening_dm3,
       removed_at, closing_dm3, closing_turns
FROM installation
WHERE meter_id = ANY(:meter_ids::text[])
ORDER BY meter_id, installed_at;

-- name: read_digests(meter_ids, counters)
-- Return the digests of those telegrams that we already have.
SELECT t.meter_id, t.counter, t.digest
FROM unnest(:meter_ids::text[], :counters::bigint[]) AS asked (meter_id, counter)
JOIN telegram AS t ON t.meter_id = asked.meter_id AND t.key_epoch = 0
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
-- Return the nearest billable readings before and after each instant, within its installation.
SELECT DISTINCT i.meter_id, i.installed_at, mark.read_at, mark.register_dm3, mark.turns
FROM unnest(:meter_ids::text[], :read_ats::timestamptz[]) AS asked (meter_id, read_at)
JOIN installation AS i
    ON i.meter_id = asked.meter_id
    AND i.installed_at <= asked.read_at
    AND (i.removed_at IS NULL OR asked.read_at < i.removed_at)
CROSS JOIN LATERAL (
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at >= i.installed_at
            AND r.read_at < asked.read_at
            AND r.verdict = 'billable'
        ORDER BY r.read_at DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT r.read_at, r.register_dm3, r.turns
        FROM reading AS r
        WHERE r.meter_id = asked.meter_id
            AND r.read_at > asked.read_at
            AND r.read_at < coalesce(i.removed_at, 'infinity')
            AND r.verdict = 'billable'
        ORDER BY r.read_at
        LIMIT 1
    )
) AS mark;

-- name: add_telegrams(meter_ids, counters, digests, readings, flags, received_at)!
-- Record telegrams we took; one that is there already is left as it is and not counted.
INSERT INTO telegram (meter_id, counter, digest, received_at, readings, flags, trust)
SELECT meter_id, counter, digest, :received_at::timestamptz, readings,
       string_to_array(flags, ','), 'unsigned'
FROM unnest(
    :meter_ids::text[], :counters::bigint[], :digests::bytea[], :readings::int[], :flags::text[]
) AS added (meter_id, counter, digest, readings, flags)
ON CONFLICT (meter_id, key_epoch, counter) DO NOTHING;

-- name: add_readings(meter_ids, read_ats, registers, turns, verdicts, reasons, counters, received_at)!
-- Record judged readings; one that is there already is left as it is and not counted.
INSERT INTO reading (meter_id, read_at, register_dm3, turns, verdict, reason, counter, received_at)
SELECT meter_id, read_at, register_dm3, turns, verdict, reason, counter, :received_at::timestamptz
FROM unnest(
    :meter_ids::text[], :read_ats::timestamptz[], :registers::bigint[], :turns::int[],
    :verdicts::text[], :reasons::text[], :counters::bigint[]
) AS added (meter_id, read_at, register_dm3, turns, verdict, reason, counter)
ON CONFLICT (meter_id, read_at) DO NOTHING;

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

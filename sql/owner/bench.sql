-- What only a benchmark asks, of a database that it made for itself.

-- name: empty()!
-- Take everything out between two runs.
TRUNCATE meter, installation, device_key, telegram, reading, refused_telegram, replay_window,
    meter_case, ingest_lease, ingest_worker, bench_row CASCADE;

-- name: make_rows()#
-- Make the table that a plain loop and a plain COPY write to: a reading, and nothing else.
CREATE TABLE IF NOT EXISTS bench_row (
    meter_id     text        NOT NULL,
    read_at      timestamptz NOT NULL,
    register_dm3 bigint      NOT NULL,
    turns        integer,
    verdict      text        NOT NULL,
    reason       text,
    counter      bigint      NOT NULL,
    received_at  timestamptz NOT NULL,
    key_epoch    integer     NOT NULL,
    PRIMARY KEY (meter_id, read_at)
);

-- name: make_truth()#
-- Make the table for what the meters themselves wrote down: nothing of ours has touched it.
CREATE TABLE IF NOT EXISTS bench_truth (
    meter_id     text        NOT NULL,
    read_at      timestamptz NOT NULL,
    register_dm3 bigint      NOT NULL,
    counter      bigint      NOT NULL,
    PRIMARY KEY (meter_id, read_at)
);

-- name: register_meters(meter_ids)!
-- Register meters that hang since 2020.
WITH added AS (
    INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)
    SELECT meter_id, 100000000, 1, 6000, true, '2020-01-01Z'
    FROM unnest(:meter_ids::text[]) AS meter_id
    RETURNING meter_id
)
INSERT INTO installation (meter_id, installed_at, account_id, supply_point_id, opening_dm3)
SELECT meter_id, '2020-01-01Z', 'A-1', 'S-1', 0 FROM added;

-- name: register_plates(meter_ids, dials_dm3, steps_dm3, qmaxes_dm3_h, openings_dm3)!
-- Register meters as their plates say; they hang since 2020, from their opening registers on.
WITH plate AS (
    SELECT *
    FROM unnest(
        :meter_ids::text[], :dials_dm3::bigint[], :steps_dm3::bigint[], :qmaxes_dm3_h::bigint[],
        :openings_dm3::bigint[]
    ) AS given (meter_id, dial_dm3, step_dm3, qmax_dm3_h, opening_dm3)
), added AS (
    INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)
    SELECT meter_id, dial_dm3, step_dm3, qmax_dm3_h, true, '2020-01-01Z' FROM plate
    RETURNING meter_id
)
INSERT INTO installation (meter_id, installed_at, account_id, supply_point_id, opening_dm3)
SELECT meter_id, '2020-01-01Z', 'A-1', 'S-1', opening_dm3 FROM added JOIN plate USING (meter_id);

-- name: register_keys(meter_ids, public_keys)!
-- Give each of these meters its first key.
INSERT INTO device_key (meter_id, key_epoch, algorithm, public_key, kid, origin, added_at)
SELECT meter_id, 1, 'EdDSA', public_key, substr(sha256(public_key), 1, 8), 'device', '2020-01-01Z'
FROM unnest(:meter_ids::text[], :public_keys::bytea[]) AS given (meter_id, public_key);

-- name: settle_down()#
-- Let the planner and the disk see what is there now.
ANALYZE;
CHECKPOINT;

-- name: stored_readings()$
-- Count what is durable.
SELECT count(*) FROM reading;

-- name: stored_telegrams()$
-- Count what is durable.
SELECT count(*) FROM telegram;

-- name: compare_with_truth()^
-- Count what stands in the meters' record and not here, and here and not, or more often, there.
WITH telegrams AS (
    SELECT meter_id, counter, count(*) AS readings FROM bench_truth GROUP BY meter_id, counter
), registers_here AS (
    SELECT meter_id, read_at, register_dm3, count(*) AS times
    FROM reading GROUP BY meter_id, read_at, register_dm3
), telegrams_here AS (
    SELECT meter_id, counter, count(*) AS times, sum(readings) AS readings
    FROM telegram GROUP BY meter_id, counter
)
SELECT
    (SELECT count(*) FROM bench_truth) AS expected_registers,
    (SELECT count(*) FROM telegrams) AS expected_telegrams,
    (SELECT count(*) FROM bench_truth AS t WHERE NOT EXISTS (
        SELECT FROM registers_here AS h
        WHERE (h.meter_id, h.read_at, h.register_dm3) = (t.meter_id, t.read_at, t.register_dm3)
    )) AS lost_registers,
    (SELECT count(*) FROM telegrams AS t WHERE NOT EXISTS (
        SELECT FROM telegrams_here AS h
        WHERE (h.meter_id, h.counter) = (t.meter_id, t.counter) AND h.readings >= t.readings
    )) AS lost_telegrams,
    (SELECT coalesce(sum(h.times - (t.meter_id IS NOT NULL)::integer), 0)::bigint
     FROM registers_here AS h LEFT JOIN bench_truth AS t
     ON (h.meter_id, h.read_at, h.register_dm3) = (t.meter_id, t.read_at, t.register_dm3)
    ) AS doubled_registers,
    (SELECT coalesce(sum(h.times - (t.meter_id IS NOT NULL)::integer), 0)::bigint
     FROM telegrams_here AS h LEFT JOIN telegrams AS t
     ON (h.meter_id, h.counter) = (t.meter_id, t.counter)
    ) AS doubled_telegrams;

-- name: add_row(meter_id, read_at, register_dm3, counter)!
-- Write one reading, as a plain loop does.
INSERT INTO bench_row
    (meter_id, read_at, register_dm3, turns, verdict, reason, counter, received_at, key_epoch)
VALUES (:meter_id, :read_at, :register_dm3, 0, 'billable', NULL, :counter, now(), 0)
ON CONFLICT DO NOTHING;

-- name: add_rows(meter_ids, read_ats, registers_dm3, counters)!
-- Write readings from arrays, as a loop with batches does.
INSERT INTO bench_row
    (meter_id, read_at, register_dm3, turns, verdict, reason, counter, received_at, key_epoch)
SELECT meter_id, read_at, register_dm3, 0, 'billable', NULL, counter, now(), 0
FROM unnest(
    :meter_ids::text[], :read_ats::timestamptz[], :registers_dm3::bigint[], :counters::bigint[]
) AS given (meter_id, read_at, register_dm3, counter)
ON CONFLICT DO NOTHING;

-- name: readers()$
-- Count the processes that read a share of the meters now.
SELECT count(DISTINCT worker) FROM ingest_lease
WHERE until > clock_timestamp() AND share <> 'sources';

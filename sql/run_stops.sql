-- The circuit breaker of the debit run: what it looks at, its stops and who released them.

-- name: run_amounts(issued_after, from_day, season_percent, plain_percent, months_min)
-- Bills that are to be debited, by currency, beside the same season of other years or else the year before.
WITH run AS MATERIALIZED (
    SELECT b.account_id, b.currency, b.period_start, b.total_minor
    FROM bill b
    WHERE b.period_start >= :from_day AND b.issued_at > :issued_after
        AND b.kind <> 'cancellation' AND b.total_minor > 0
        AND NOT EXISTS (
            SELECT FROM bill c
            WHERE c.account_id = b.account_id AND c.corrects_bill_no = b.bill_no
                AND c.kind = 'cancellation'
        )
        AND EXISTS (
            SELECT FROM mandate m
            WHERE m.account_id = b.account_id AND m.state = 'active' AND m.enrolment = 'active'
                AND m.currency = b.currency
        )
), beside AS (
    SELECT run.currency, run.total_minor, season.usual_minor AS season_minor,
        CASE WHEN plain.months >= :months_min::int THEN plain.usual_minor END AS plain_minor
    FROM run
    CROSS JOIN LATERAL (
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p.total_minor) AS usual_minor
        FROM bill p
        CROSS JOIN generate_series(1, 3) AS year (back)
        WHERE p.account_id = run.account_id AND p.currency = run.currency
            AND p.kind <> 'cancellation' AND p.total_minor > 0
            AND p.period_start BETWEEN
                (run.period_start - make_interval(months => 12 * year.back + 1))::date
                AND (run.period_start - make_interval(months => 12 * year.back - 1))::date
            AND NOT EXISTS (
                SELECT FROM bill c
                WHERE c.account_id = p.account_id AND c.corrects_bill_no = p.bill_no
                    AND c.kind = 'cancellation'
            )
    ) AS season
    CROSS JOIN LATERAL (
        SELECT count(*) AS months,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY p.total_minor) AS usual_minor
        FROM bill p
        WHERE season.usual_minor IS NULL
            AND p.account_id = run.account_id AND p.currency = run.currency
            AND p.kind <> 'cancellation' AND p.total_minor > 0
            AND p.period_start < run.period_start
            AND p.period_start >= (run.period_start - interval '12 months')::date
            AND NOT EXISTS (
                SELECT FROM bill c
                WHERE c.account_id = p.account_id AND c.corrects_bill_no = p.bill_no
                    AND c.kind = 'cancellation'
            )
    ) AS plain
)
SELECT currency,
    count(coalesce(season_minor, plain_minor)) AS compared,
    count(*) FILTER (
        WHERE total_minor::numeric * 100 > season_minor::numeric * :season_percent::int
            OR total_minor::numeric * 100 > plain_minor::numeric * :plain_percent::int
    ) AS high,
    count(season_minor) AS seasonal,
    coalesce(sum(total_minor) FILTER (WHERE season_minor IS NOT NULL), 0)::bigint AS now_minor,
    coalesce(sum(season_minor), 0)::bigint AS usual_minor
FROM beside
GROUP BY currency
ORDER BY currency;

-- name: run_outcomes(since, unheard_since, from_day)^
-- How many debits came to an end since an instant, how many of them badly; sent ones, and those not heard of.
WITH ends AS (
    SELECT s.to_state
    FROM debit d
    JOIN debit_step s USING (account_id, bill_no, attempt)
    WHERE d.charge_on >= :from_day AND d.changed_at > :since AND s.taken_at > :since
        AND d.state IN (
            'confirmed', 'settled', 'reconciled', 'failed', 'retry_due', 'charged_back', 'exhausted'
        )
        -- A step that only follows from an earlier end is none of its own.
        AND CASE
            WHEN s.to_state IN ('confirmed', 'settled') THEN s.from_state IN (
                'sending', 'unknown', 'accepted', 'cancel_requested', 'submitted'
            )
            WHEN s.to_state IN ('failed', 'retry_due', 'charged_back', 'exhausted')
            THEN s.from_state IN (
                'sending', 'unknown', 'accepted', 'cancel_requested', 'submitted', 'confirmed',
                'settled', 'reconciled'
            )
            ELSE false
        END
), orders AS (
    SELECT state, first_sent_at
    FROM debit
    WHERE charge_on >= :from_day AND first_sent_at > :since
        AND state NOT IN ('planned', 'held', 'noticed', 'recorded')
)
SELECT
    (SELECT count(*) FROM ends) AS ended,
    (SELECT count(*) FROM ends WHERE to_state NOT IN ('confirmed', 'settled')) AS failed,
    (SELECT count(*) FROM orders) AS sent,
    (
        SELECT count(*) FROM orders WHERE state = 'unknown' AND first_sent_at <= :unheard_since
    ) AS unknown;

-- name: compared_until()$
-- The day up to which, without a gap, the books agree with the bank's; none before the first statement.
SELECT CASE
    WHEN bool_or(statement_at IS NOT NULL) THEN
        coalesce(min(day) FILTER (WHERE agreed_at IS NULL) - 1, max(day))
END
FROM recon_day;

-- name: lock_run()!
-- Hold the run's stops until the transaction ends, so that two who stop it at once make one stop.
SELECT pg_advisory_xact_lock(hashtext('aqkol debit run'));

-- name: add_stop(cause, facts, stopped_by, because, at)$
-- Stop the run, unless it is stopped for this cause, and return the number of the stop. Who stops it by hand
-- says no to whoever has let an earlier stop of that kind go.
INSERT INTO run_stop (stop_no, cause, facts, stopped_by, because, stopped_at)
SELECT coalesce((SELECT max(stop_no) FROM run_stop), 0) + 1, :cause, :facts::text::jsonb,
    :stopped_by::text, :because::text, :at
WHERE NOT EXISTS (
    SELECT FROM open_run_stop o
    WHERE o.cause = :cause AND NOT (
        :cause = 'by_hand' AND EXISTS (SELECT FROM run_release r WHERE r.stop_no = o.stop_no)
    )
)
RETURNING stop_no;

-- name: add_release(stop_no, release_no, first_no, first_by, released_by, because, at)!
-- Keep one person's word that the run may go on.
INSERT INTO run_release (stop_no, release_no, first_no, first_by, released_by, because, released_at)
VALUES (
    :stop_no, :release_no, :first_no::int, :first_by::text, :released_by, :because, :at
);

-- name: released_at(cause)$
-- When a stop for this cause was last released by two people.
SELECT max(r.released_at)
FROM run_release r
JOIN run_stop s USING (stop_no)
WHERE s.cause = :cause AND r.release_no = 2;

-- name: open_stop()^
-- The first of the stops that keep the run back now.
SELECT * FROM open_run_stop ORDER BY stop_no LIMIT 1;

-- name: stops(only_open, batch)
-- The newest stops, each with the words of those who released it.
SELECT s.*, coalesce((
    SELECT jsonb_agg(
        jsonb_build_array(r.released_by, r.because, r.released_at) ORDER BY r.release_no
    )
    FROM run_release r WHERE r.stop_no = s.stop_no
), '[]')::text AS releases, s.facts::text AS facts_text
FROM run_stop s
WHERE NOT :only_open::boolean OR EXISTS (
    SELECT FROM open_run_stop o WHERE o.stop_no = s.stop_no
)
ORDER BY s.stop_no DESC
LIMIT :batch::int;

-- name: stop(stop_no)^
-- One stop, with the words of those who released it.
SELECT s.*, coalesce((
    SELECT jsonb_agg(
        jsonb_build_array(r.released_by, r.because, r.released_at) ORDER BY r.release_no
    )
    FROM run_release r WHERE r.stop_no = s.stop_no
), '[]')::text AS releases, s.facts::text AS facts_text
FROM run_stop s
WHERE s.stop_no = :stop_no;

-- name: waiting_behind_stop()^
-- How many debits are not announced further, recorded or sent while the run is stopped.
SELECT count(*) FILTER (WHERE state IN ('planned', 'noticed')) AS announced,
    count(*) FILTER (WHERE state = 'recorded') AS recorded
FROM debit
WHERE state IN ('planned', 'noticed', 'recorded');

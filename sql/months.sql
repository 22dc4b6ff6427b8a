-- How months come to their bills.

-- name: lock_month(period_start)!
-- Let one person or run at a time move a month on, until the commit.
SELECT pg_advisory_xact_lock(hashtextextended('billing.month/' || :period_start::date, 0));

-- name: list_steps(period_start)
-- List the steps of a month, in the order in which it took them.
SELECT step_no, state, bills, total_minor, said_by, because, at
FROM month_step
WHERE period_start = :period_start::date
ORDER BY step_no;

-- name: add_step(period_start, state, bills, total_minor, said_by, because, at)!
-- Note the next step of a locked month.
INSERT INTO month_step (
    period_start, step_no, state, bills, total_minor, said_by, because, at
)
SELECT :period_start::date, coalesce(max(s.step_no), 0) + 1, :state, :bills, :total_minor, :said_by,
       :because, :at
FROM month_step s
WHERE s.period_start = :period_start::date;

-- name: may_be_issued(period_start)$
-- Say whether a person has approved a month, or it was issued before anybody had to.
SELECT EXISTS (
    SELECT FROM month_step s
    WHERE s.period_start = :period_start::date AND s.state <> 'drafted'
);

-- name: standing(period_start, start_at, end_at)^
-- Count the accounts that have a bill for a month, and those that live in it without any meter.
SELECT
    (
        SELECT count(*) FROM bill b
        WHERE b.period_start = :period_start::date AND b.revision = 1
    ) AS billed_before,
    (
        SELECT count(*) FROM account a
        WHERE a.opened_at < :end_at::timestamptz AND NOT EXISTS (
            SELECT FROM installation i
            WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
              AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
        )
        AND NOT EXISTS (
            SELECT FROM account_closing c
            WHERE c.account_id = a.account_id AND c.last_day < :period_start::date
        )
    ) AS without_meter;

-- name: without_meter(period_start, start_at, end_at, after, rows)
-- List, in order, accounts that live in a month without any meter, so that nothing bills them.
SELECT a.account_id
FROM account a
WHERE a.account_id > :after::text AND a.opened_at < :end_at::timestamptz
  AND NOT EXISTS (
      SELECT FROM installation i
      WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
        AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
  )
  AND NOT EXISTS (
      SELECT FROM account_closing c
      WHERE c.account_id = a.account_id AND c.last_day < :period_start::date
  )
ORDER BY a.account_id
LIMIT :rows::bigint;

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

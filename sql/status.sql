-- What anybody may know of how the debits go: counts and instants, nobody's data.

-- name: public_status(since, ours, given_back)^
-- Since when the run is stopped, since when a message waits, and what went wrong by our fault of late.
SELECT s.stopped_at, w.waiting_since, r.accounts, r.refunds, r.given_back, r.last_given_back_at
FROM (SELECT min(stopped_at) AS stopped_at FROM open_run_stop) AS s
CROSS JOIN (
    SELECT min(queued_at) AS waiting_since FROM message WHERE state IN ('queued', 'sending')
) AS w
CROSS JOIN (
    SELECT count(DISTINCT account_id) AS accounts, count(*) AS refunds,
        count(*) FILTER (WHERE state = ANY (:given_back::text[])) AS given_back,
        max(changed_at) FILTER (WHERE state = ANY (:given_back::text[])) AS last_given_back_at
    FROM refund
    WHERE asked_at >= :since AND cause = ANY (:ours::text[])
) AS r;

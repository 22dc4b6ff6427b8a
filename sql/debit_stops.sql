-- Debits that their residents have stopped, one by one.

-- name: mandate_of_debit(account_id, bill_no, attempt)$
-- Under which mandate a debit is; that never changes.
SELECT mandate_id FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: is_stopped(account_id, bill_no, attempt)$
-- Say whether a debit was stopped.
SELECT true FROM debit_stop
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: add_stop(account_id, bill_no, attempt, stopped_by, at)!
-- Keep that a debit was stopped.
INSERT INTO debit_stop (account_id, bill_no, attempt, stopped_by, stopped_at)
VALUES (:account_id, :bill_no, :attempt, :stopped_by, :at);

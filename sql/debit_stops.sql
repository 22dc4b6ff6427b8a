-- Debits that their residents have stopped, one by one, and those whose bill is in dispute.

-- name: mandate_of_debit(account_id, bill_no, attempt)$
-- Under which mandate a debit is; that never changes.
SELECT mandate_id FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt;

-- name: is_stopped(account_id, bill_no)$
-- Say whether a debit for a bill was stopped: a no to one attempt is a no to all.
SELECT EXISTS (
    SELECT FROM debit_stop s WHERE s.account_id = :account_id AND s.bill_no = :bill_no
);

-- name: is_disputed(account_id, bill_no)$
-- Say whether a dispute about a bill is open.
SELECT EXISTS (
    SELECT FROM open_dispute q WHERE q.account_id = :account_id AND q.bill_no = :bill_no
);

-- name: add_stop(account_id, bill_no, attempt, stopped_by, at)$
-- Keep that a debit was stopped, and say whether that is new.
INSERT INTO debit_stop (account_id, bill_no, attempt, stopped_by, stopped_at)
VALUES (:account_id, :bill_no, :attempt, :stopped_by, :at)
ON CONFLICT DO NOTHING
RETURNING true;

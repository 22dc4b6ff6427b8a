-- Changes of the bank account that an account is debited from.

-- name: waiting_mandate(account_id)^
-- Lock the one mandate of an account that cools off.
SELECT *
FROM mandate
WHERE account_id = :account_id AND state IN ('invited', 'pending', 'active') AND enrolment = 'waiting'
FOR UPDATE;

-- name: linked_before(account_id)$
-- Say whether the bank ever agreed to a mandate of an account.
SELECT EXISTS (
    SELECT FROM mandate WHERE account_id = :account_id AND bank_mandate_id IS NOT NULL
);

-- name: add_change(account_id, mandate_id, begun_at, usable_at)!
-- Let a new mandate cool off.
INSERT INTO account_change (account_id, mandate_id, begun_at, usable_at)
VALUES (:account_id, :mandate_id, :begun_at, :usable_at);

-- name: open_change(account_id, mandate_id)^
-- Lock the change that a mandate waits for.
SELECT account_id, mandate_id, begun_at, usable_at, paused, ended_at, outcome, named_at
FROM account_change
WHERE account_id = :account_id AND mandate_id = :mandate_id AND ended_at IS NULL
FOR UPDATE;

-- name: pause_change(account_id, mandate_id, paused)!
-- Note whether debits rest when the new account has cooled off.
UPDATE account_change SET paused = :paused
WHERE account_id = :account_id AND mandate_id = :mandate_id AND ended_at IS NULL;

-- name: name_account(account_id, mandate_id, at)!
-- Note when we heard which bank account a change is to.
UPDATE account_change SET named_at = :at
WHERE account_id = :account_id AND mandate_id = :mandate_id AND ended_at IS NULL AND named_at IS NULL;

-- name: end_change(account_id, mandate_id, outcome, at)!
-- Note how a change ended.
UPDATE account_change SET outcome = :outcome, ended_at = :at
WHERE account_id = :account_id AND mandate_id = :mandate_id AND ended_at IS NULL;

-- name: changes_due(at, named_until, batch)
-- Changes that have cooled off and whose mandate the bank lets us debit.
SELECT c.account_id, c.mandate_id
FROM account_change c
JOIN mandate m USING (account_id, mandate_id)
WHERE c.ended_at IS NULL AND c.usable_at <= :at
    AND (c.named_at IS NULL OR c.named_at <= :named_until)
    AND m.state = 'active' AND m.enrolment = 'waiting'
ORDER BY c.usable_at, c.account_id
LIMIT :batch::int;

-- name: list_changes(account_id)
-- The changes of an account, newest first.
SELECT account_id, mandate_id, begun_at, usable_at, paused, ended_at, outcome, named_at
FROM account_change
WHERE account_id = :account_id
ORDER BY begun_at DESC, mandate_id;

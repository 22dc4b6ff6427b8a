-- What residents are told. A message is written with the step that causes it, claimed to be sent, and
-- marked with what became of it.

-- name: add_message(account_id, message_id, kind, about, to_revision, mails, amount_minor, at)$
-- Tell a resident something: by mail if he has an address and wants one of this amount, else in the API
-- alone, which is at once. The same cause again tells nothing, unless it was taken back meanwhile.
INSERT INTO message (
    account_id, message_id, kind, about, to_revision, channel, state, next_try_at, queued_at, delivered_at
)
SELECT
    :account_id, :message_id, :kind, :about::jsonb, :to_revision, w.way,
    CASE w.way WHEN 'mail' THEN 'queued' ELSE 'sent' END,
    :at, :at, CASE w.way WHEN 'api' THEN :at::timestamptz END
FROM (
    SELECT CASE WHEN :mails::boolean AND EXISTS (
        SELECT FROM contact c
        WHERE c.account_id = :account_id AND c.address IS NOT NULL
            AND CASE WHEN :to_revision::int IS NULL THEN c.replaced_at IS NULL
                ELSE c.revision = :to_revision END
            AND NOT coalesce(
                :amount_minor::bigint BETWEEN c.quiet_from_minor AND c.quiet_to_minor, false
            )
    ) THEN 'mail' ELSE 'api' END AS way
) AS w
ON CONFLICT (account_id, message_id) DO UPDATE SET
    channel = EXCLUDED.channel, state = EXCLUDED.state, tries = 0, next_try_at = EXCLUDED.next_try_at,
    delivered_at = EXCLUDED.delivered_at
WHERE message.state = 'withdrawn'
RETURNING channel;

-- name: told_so_far(account_id, receipts, corrections)^
-- How many receipts and corrections of a debit, by how their names begin, its resident was told.
SELECT
    count(*) FILTER (WHERE starts_with(message_id, :receipts)) AS receipts,
    count(*) FILTER (WHERE starts_with(message_id, :corrections)) AS corrections
FROM message
WHERE account_id = :account_id AND kind IN ('receipt', 'correction');

-- name: delivered_at(account_id, message_id)$
-- When a message was delivered; null while it was not.
SELECT delivered_at FROM message WHERE account_id = :account_id AND message_id = :message_id;

-- name: notices_given(account_id, bill_no, attempt)$
-- How many notices of a debit came to an end before: those that counted, and those that a hold took back.
SELECT (
    SELECT count(*) FROM notice n
    WHERE n.account_id = :account_id AND n.bill_no = :bill_no AND n.attempt = :attempt
) + (
    SELECT count(*) FROM debit_step s
    WHERE s.account_id = :account_id AND s.bill_no = :bill_no AND s.attempt = :attempt
        AND s.to_state = 'held'
);

-- name: claim_message(at, lease_until)^
-- Take one message that is due, passing over those in other hands. While the run is stopped no notice is
-- sent: what it tells of may be wrong.
WITH due AS (
    SELECT account_id, message_id
    FROM message
    WHERE state IN ('queued', 'sending') AND next_try_at <= :at
        AND (kind <> 'notice' OR NOT EXISTS (SELECT FROM open_run_stop))
    ORDER BY next_try_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE message m SET state = 'sending', next_try_at = :lease_until
FROM due
WHERE m.account_id = due.account_id AND m.message_id = due.message_id
RETURNING m.account_id, m.message_id, m.kind, m.about, m.to_revision, m.tries, m.queued_at;

-- name: settle_message(account_id, message_id, lease_until, state, tries, next_try_at, trouble, at)$
-- Mark what became of a message, if it is still ours; that it was sent counts in any case.
UPDATE message SET
    state = :state, tries = :tries, next_try_at = :next_try_at, trouble = :trouble,
    delivered_at = CASE WHEN :state = 'sent' THEN :at::timestamptz END
WHERE account_id = :account_id AND message_id = :message_id
    AND CASE WHEN :state = 'sent' THEN state <> 'sent'
        ELSE state = 'sending' AND next_try_at = :lease_until END
RETURNING true;

-- name: publish_message(account_id, message_id, at)$
-- Let a message stand in the API alone: its reader wants no mail any more.
UPDATE message SET
    channel = 'api', state = 'sent', next_try_at = :at, delivered_at = :at, trouble = NULL
WHERE account_id = :account_id AND message_id = :message_id AND state <> 'sent'
RETURNING true;

-- name: message_figures()^
-- How many messages wait, since when the oldest of them, and how many a person must look at.
SELECT w.waiting, w.oldest_at, s.stuck
FROM (
    SELECT count(*) AS waiting, min(queued_at) AS oldest_at
    FROM message
    WHERE state IN ('queued', 'sending')
) AS w
CROSS JOIN (SELECT count(*) AS stuck FROM message WHERE state IN ('failed', 'given_up')) AS s;

-- name: account_ending(account_id, mandate_id)$
-- The last characters of the bank account behind a mandate.
SELECT account_number_ending FROM mandate WHERE account_id = :account_id AND mandate_id = :mandate_id;

-- name: notice_is_true(account_id, bill_no, attempt, amount_minor, charge_on)$
-- Say whether a debit is still planned as its notice says.
SELECT true FROM debit
WHERE account_id = :account_id AND bill_no = :bill_no AND attempt = :attempt AND state = 'planned'
    AND amount_minor = :amount_minor AND charge_on = :charge_on;

-- name: send_again(account_id, message_id, at)
-- Let what is stuck, or one message of it, be sent again to the contact that holds now.
UPDATE message SET state = 'queued', tries = 0, next_try_at = :at
WHERE account_id = :account_id AND state IN ('failed', 'given_up') AND to_revision IS NULL
    AND (:message_id::text IS NULL OR message_id = :message_id)
RETURNING message_id;

-- name: list_messages(account_id, before_at, before_id, page)
-- What a resident was told, newest first; what went to several addresses is one.
SELECT m.account_id, m.message_id, m.kind, m.about, m.to_revision, m.channel, m.state, m.queued_at,
    m.delivered_at
FROM message m
WHERE m.account_id = :account_id
    AND (m.queued_at, m.message_id) < (:before_at::timestamptz, :before_id::text)
    AND NOT EXISTS (
        SELECT FROM message l
        WHERE l.account_id = m.account_id AND l.kind = m.kind AND l.queued_at = m.queued_at
            AND l.to_revision > m.to_revision
    )
ORDER BY m.queued_at DESC, m.message_id DESC
LIMIT :page;

-- name: list_waiting(page)
-- Messages that wait for a relay, the oldest first.
SELECT account_id, message_id, kind, state, tries, trouble, queued_at
FROM message
WHERE state IN ('queued', 'sending')
ORDER BY queued_at, account_id, message_id
LIMIT :page;

-- name: list_stuck(after_at, after_account, after_id, page)
-- Messages that wait for a person, the oldest first.
SELECT account_id, message_id, kind, state, tries, trouble, queued_at
FROM message
WHERE state IN ('failed', 'given_up')
    AND (queued_at, account_id, message_id)
        > (:after_at::timestamptz, :after_account::text, :after_id::text)
ORDER BY queued_at, account_id, message_id
LIMIT :page;

-- The three sides of the same money: our attempts, the bank's payouts, the lines of its statements.

-- name: debits_of_payments(payment_ids)
-- Find the debits that payments at the bank belong to.
SELECT * FROM debit WHERE bank_payment_id = ANY (:payment_ids::text[]);

-- name: sent_debits(since, after_account_id, after_bill_no, after_attempt, chunk)
-- List, in order of key, the debits with a payment at the bank that were first sent since an instant.
SELECT *
FROM debit
WHERE (account_id, bill_no, attempt)
      > (:after_account_id::text, :after_bill_no::text, :after_attempt::integer)
  AND bank_payment_id IS NOT NULL AND first_sent_at >= :since::timestamptz
ORDER BY account_id, bill_no, attempt
LIMIT :chunk::bigint;

-- name: freeze_mandate(account_id, mandate_id, because, at)$
-- Freeze a mandate; none if it is frozen already, or a person has lifted a freeze for the same reason.
INSERT INTO mandate_freeze (account_id, mandate_id, because, frozen_at)
SELECT :account_id, :mandate_id, :because, :at
WHERE NOT EXISTS (
    SELECT FROM mandate_freeze
    WHERE account_id = :account_id AND mandate_id = :mandate_id AND because = :because
      AND lifted_at IS NOT NULL
)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: lift_freeze(account_id, mandate_id, by, because, at)$
-- Lift a freeze; none if there is none.
UPDATE mandate_freeze
SET lifted_by = :by, lifted_for = :because, lifted_at = :at
WHERE account_id = :account_id AND mandate_id = :mandate_id AND lifted_at IS NULL
RETURNING true;

-- name: list_freezes(after_account_id, after_mandate_id, page)
-- List the mandates that are frozen now.
SELECT account_id, mandate_id, because, frozen_at
FROM mandate_freeze
WHERE lifted_at IS NULL
  AND (account_id, mandate_id) > (:after_account_id::text, :after_mandate_id::text)
ORDER BY account_id, mandate_id
LIMIT :page::bigint;

-- name: known_payouts(payout_ids)
-- Return how payouts stood when they were read last, and whether they were matched then.
SELECT payout_id, status, matched_at IS NOT NULL AS matched
FROM bank_payout
WHERE payout_id = ANY (:payout_ids::text[]);

-- name: save_payout(payout_id, status, amount_minor, fees_minor, currency, reference, arrival_on, created_at, at)!
-- Keep a payout as the bank tells it now; one that stands otherwise than before is to be matched anew.
INSERT INTO bank_payout (
    payout_id, status, amount_minor, fees_minor, currency, reference, arrival_on, created_at, read_at
)
VALUES (
    :payout_id, :status, :amount_minor, :fees_minor, :currency, :reference, :arrival_on, :created_at, :at
)
ON CONFLICT (payout_id) DO UPDATE
SET status = EXCLUDED.status, amount_minor = EXCLUDED.amount_minor,
    fees_minor = EXCLUDED.fees_minor, reference = EXCLUDED.reference,
    arrival_on = EXCLUDED.arrival_on, read_at = EXCLUDED.read_at,
    matched_at = CASE WHEN bank_payout.status = EXCLUDED.status THEN bank_payout.matched_at END;

-- name: drop_items(payout_id)!
-- Forget the items of a payout, because the bank tells them anew.
DELETE FROM bank_payout_item WHERE payout_id = :payout_id;

-- name: add_items(payout_id, kinds, amounts_tenths, payment_ids, refund_ids)!
-- Keep the items of a payout, in the bank's order.
INSERT INTO bank_payout_item (payout_id, item_no, kind, amount_tenths, payment_id, refund_id)
SELECT :payout_id, i.item_no, i.kind, i.amount_tenths, i.payment_id, i.refund_id
FROM unnest(
    :kinds::text[], :amounts_tenths::bigint[], :payment_ids::text[], :refund_ids::text[]
) WITH ORDINALITY AS i (kind, amount_tenths, payment_id, refund_id, item_no);

-- name: items_of(payout_id)
-- Return the items of a payout as the bank told them last.
SELECT kind, amount_tenths, payment_id, refund_id
FROM bank_payout_item
WHERE payout_id = :payout_id
ORDER BY item_no;

-- name: bounced_payouts(since, kind)
-- List payouts that came back and hold a payment that stands in no payout that counts.
SELECT p.payout_id, p.status, p.amount_minor, p.fees_minor, p.currency, p.reference, p.arrival_on,
       p.created_at
FROM bank_payout p
WHERE p.status = 'bounced' AND p.created_at >= :since::timestamptz
  AND EXISTS (
      SELECT FROM bank_payout_item i
      WHERE i.payout_id = p.payout_id AND i.kind = :kind::text AND NOT EXISTS (
          SELECT FROM bank_payout_item j
          JOIN bank_payout q ON q.payout_id = j.payout_id
          WHERE j.payment_id = i.payment_id AND j.kind = :kind::text AND q.status <> 'bounced'
      )
  )
ORDER BY p.created_at, p.payout_id;

-- name: debits_paid_out_by(payout_id, kind)
-- List debits that a payout pays and that no other payout that counts does.
SELECT d.account_id, d.bill_no, d.attempt
FROM bank_payout_item i
JOIN debit d ON d.bank_payment_id = i.payment_id
WHERE i.payout_id = :payout_id AND i.kind = :kind::text AND d.state IN ('settled', 'reconciled')
  AND NOT EXISTS (
      SELECT FROM bank_payout_item j
      JOIN bank_payout q ON q.payout_id = j.payout_id
      WHERE j.payment_id = i.payment_id AND j.kind = :kind::text AND q.status <> 'bounced'
        AND q.payout_id <> :payout_id
  )
ORDER BY d.account_id, d.bill_no, d.attempt;

-- name: debits_paid_out_again(reason, kind)
-- List debits whose payout came back and whose payment stands in one that was paid since.
SELECT DISTINCT d.account_id, d.bill_no, d.attempt
FROM debit d
JOIN bank_payout_item i ON i.payment_id = d.bank_payment_id AND i.kind = :kind::text
JOIN bank_payout p ON p.payout_id = i.payout_id AND p.status = 'paid'
WHERE d.state = 'confirmed' AND d.reason = :reason::text
ORDER BY d.account_id, d.bill_no, d.attempt;

-- name: unknown_debits(charge_until)
-- List debits of which nobody knows whether the bank has them, to be charged on a day or before.
SELECT *
FROM debit
WHERE state = 'unknown' AND charge_on <= :charge_until::date
ORDER BY account_id, bill_no, attempt;

-- name: doubled_items(since, kind, kinds)
-- List payments that stand in payouts more than once, where a payout that counts was made since an instant;
-- one that the bank has kept in between, by a payout or the statement, it may pay out again.
SELECT i.payment_id, count(*) - max(k.times) AS times,
       (array_agg(p.payout_id ORDER BY p.created_at DESC, p.payout_id DESC))[1] AS payout_id
FROM bank_payout_item i
JOIN bank_payout p USING (payout_id)
CROSS JOIN LATERAL (
    SELECT (
        SELECT count(*)
        FROM bank_payout_item t
        JOIN bank_payout q USING (payout_id)
        WHERE t.payment_id = i.payment_id AND t.kind = ANY (:kinds::text[]) AND q.status <> 'bounced'
    ) + (
        SELECT count(*) FROM statement_line l
        WHERE l.end_to_end_id = i.payment_id AND l.known_as = 'payment ' || i.payment_id
    ) AS times
) AS k
WHERE i.kind = :kind::text AND i.payment_id IS NOT NULL AND p.status <> 'bounced'
GROUP BY i.payment_id
HAVING count(*) - max(k.times) > 1 AND max(p.created_at) >= :since::timestamptz
ORDER BY i.payment_id;

-- name: overkept_items(since, kind, kinds)
-- List payments that the bank has kept, by payouts or the statement, more often than it had paid them out,
-- where a payout made since an instant kept them, and the last payout that did.
SELECT k.payment_id, t.kept - t.paid AS times, k.payout_id
FROM (
    SELECT i.payment_id,
           (array_agg(p.payout_id ORDER BY p.created_at DESC, p.payout_id DESC))[1] AS payout_id
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.kind = ANY (:kinds::text[]) AND i.payment_id IS NOT NULL
      AND p.status <> 'bounced' AND p.created_at >= :since::timestamptz
    GROUP BY i.payment_id
) AS k
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE i.kind = :kind::text) AS paid,
           count(*) FILTER (WHERE i.kind = ANY (:kinds::text[])) + (
               SELECT count(*) FROM statement_line l
               WHERE l.end_to_end_id = k.payment_id AND l.known_as = 'payment ' || k.payment_id
           ) AS kept
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.payment_id = k.payment_id AND p.status <> 'bounced'
) AS t
WHERE t.kept > t.paid
ORDER BY k.payment_id;

-- name: paid_out_without_item(since, kind, read_before)
-- List debits that we believe paid out and that stand in no payout that counts.
SELECT d.*
FROM debit d
WHERE d.state IN ('settled', 'reconciled') AND d.first_sent_at >= :since::timestamptz
  AND d.changed_at <= :read_before::timestamptz
  AND NOT EXISTS (
      SELECT FROM bank_payout_item i
      JOIN bank_payout p USING (payout_id)
      WHERE i.payment_id = d.bank_payment_id AND i.kind = :kind::text AND p.status <> 'bounced'
  )
ORDER BY d.account_id, d.bill_no, d.attempt;

-- name: payouts_to_match(since)
-- List payouts that are not matched yet, or that a line of a statement speaks of anew.
SELECT p.payout_id, p.status, p.amount_minor, p.fees_minor, p.currency, p.reference, p.arrival_on,
       p.created_at
FROM bank_payout p
WHERE p.created_at >= :since::timestamptz
  AND (
      p.matched_at IS NULL
      OR EXISTS (
          SELECT FROM statement_line l WHERE l.payout_reference = p.reference AND l.known_as IS NULL
      )
  )
ORDER BY p.created_at, p.payout_id;

-- name: lines_of_payouts(payout_ids)
-- List the lines of statements that carry the reference of a payout, or the bank's name of it.
SELECT p.payout_id, l.*
FROM bank_payout p
JOIN statement_line l
    ON p.reference IN (l.payout_reference, l.end_to_end_id) OR p.payout_id = l.entry_ref
WHERE p.payout_id = ANY (:payout_ids::text[])
ORDER BY p.payout_id, l.booked_on, l.line_id;

-- name: unknown_lines()
-- List the lines of statements that nobody knows, oldest first.
SELECT * FROM statement_line WHERE known_as IS NULL ORDER BY booked_on, line_id;

-- name: know_lines(line_ids, known_as)!
-- Note what lines of statements are.
UPDATE statement_line SET known_as = :known_as WHERE line_id = ANY (:line_ids::text[]);

-- name: lines_taken_back(kind, kinds)
-- List unknown lines that name a refund, or a payment that was taken back outside of a payout. The account
-- bears a refund once, and not if a payout has borne it; one that came back is credited once. A payment is
-- taken back as often as payouts have paid it out, those times included in which a payout has kept it.
SELECT f.line_id, f.known_as
FROM (
    SELECT l.line_id, l.amount_minor, r.bank_refund_id, d.bank_payment_id,
        'refund ' || r.bank_refund_id || CASE WHEN l.amount_minor > 0 THEN ' back' ELSE '' END
            AS known_as,
        row_number() OVER (
            PARTITION BY r.bank_refund_id, l.amount_minor ORDER BY l.booked_on, l.line_id
        ) AS copy_no
    FROM statement_line l
    JOIN refund r ON r.bank_refund_id = l.end_to_end_id
    JOIN debit d USING (account_id, bill_no, attempt)
    WHERE l.known_as IS NULL AND l.currency = r.currency
        AND (
            l.amount_minor = -r.amount_minor
            OR (l.amount_minor = r.amount_minor AND r.state IN ('bounced', 'returned'))
        )
) AS f
WHERE f.copy_no = 1
    AND NOT EXISTS (SELECT FROM statement_line k WHERE k.known_as = f.known_as)
    AND NOT EXISTS (
        SELECT FROM bank_payout_item i
        WHERE i.payment_id = f.bank_payment_id AND i.refund_id = f.bank_refund_id
            AND (i.amount_tenths > 0) = (f.amount_minor > 0)
    )
UNION ALL
SELECT f.line_id, 'payment ' || f.bank_payment_id
FROM (
    SELECT l.line_id, d.bank_payment_id,
        row_number() OVER (PARTITION BY d.bank_payment_id ORDER BY l.booked_on, l.line_id) AS copy_no
    FROM statement_line l
    JOIN debit d ON d.bank_payment_id = l.end_to_end_id
    WHERE l.known_as IS NULL AND l.amount_minor = -d.amount_minor AND l.currency = d.currency
) AS f
WHERE f.copy_no + (
    SELECT count(*) FROM statement_line k
    WHERE k.end_to_end_id = f.bank_payment_id AND k.known_as = 'payment ' || f.bank_payment_id
) <= (
    SELECT count(*) FILTER (WHERE i.kind = :kind::text) - count(*) FILTER (WHERE i.kind = ANY (:kinds::text[]))
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.payment_id = f.bank_payment_id AND p.status <> 'bounced'
)
ORDER BY line_id;

-- name: add_town_transfer(transfer_id, debit_code, credit_code, amount_minor, currency, reference, at)!
-- Post a transfer that belongs to no resident, once.
INSERT INTO town_transfer (
    transfer_id, phase, debit_code, credit_code, amount_minor, currency, reference, posted_at
)
VALUES (
    :transfer_id, 'posted', :debit_code, :credit_code, :amount_minor, :currency, :reference, :at
)
ON CONFLICT DO NOTHING;

-- name: town_transfers(transfer_ids)
-- Return which of these transfers stand in the town's ledger.
SELECT transfer_id FROM town_transfer WHERE transfer_id = ANY (:transfer_ids::text[]);

-- name: match_payout(payout_id, at)!
-- Note that a payout, its items and the statement agree.
UPDATE bank_payout SET matched_at = :at WHERE payout_id = :payout_id;

-- name: settled_debits_of(payout_id, kind)
-- List debits that a payout pays and that are settled, but not reconciled.
SELECT d.account_id, d.bill_no, d.attempt
FROM bank_payout_item i
JOIN debit d ON d.bank_payment_id = i.payment_id
WHERE i.payout_id = :payout_id AND i.kind = :kind::text AND d.state = 'settled'
ORDER BY d.account_id, d.bill_no, d.attempt;

-- name: debits_paid_out_late(kind, kinds)
-- List settled debits in payouts that were matched before, more often than the bank has kept their money.
SELECT d.account_id, d.bill_no, d.attempt
FROM debit d
WHERE d.state = 'settled' AND (
    SELECT count(*)
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.payment_id = d.bank_payment_id AND i.kind = :kind::text
      AND p.status = 'paid' AND p.matched_at IS NOT NULL
) > (
    SELECT count(*)
    FROM bank_payout_item i
    JOIN bank_payout p USING (payout_id)
    WHERE i.payment_id = d.bank_payment_id AND i.kind = ANY (:kinds::text[]) AND p.status <> 'bounced'
) + (
    SELECT count(*) FROM statement_line l
    WHERE l.end_to_end_id = d.bank_payment_id AND l.known_as = 'payment ' || d.bank_payment_id
)
ORDER BY d.account_id, d.bill_no, d.attempt;

-- name: lines_by_id(line_ids)
-- Return lines of statements that are kept already.
SELECT * FROM statement_line WHERE line_id = ANY (:line_ids::text[]);

-- name: add_line(line_id, iban_ending, statement_id, entry_ref, copy, booked_on, amount_minor, currency, end_to_end_id, payout_reference, status, text, reason, at)!
-- Keep a line of a statement.
INSERT INTO statement_line (
    line_id, iban_ending, statement_id, entry_ref, copy, booked_on, amount_minor, currency,
    end_to_end_id, payout_reference, status, text, reason, imported_at
)
VALUES (
    :line_id, :iban_ending, :statement_id, :entry_ref, :copy, :booked_on, :amount_minor, :currency,
    :end_to_end_id, :payout_reference, :status, :text, :reason, :at
)
ON CONFLICT DO NOTHING;

-- name: day_before(day)^
-- Return the last day before one of which a statement has come.
SELECT day, closing_minor
FROM recon_day
WHERE day < :day AND statement_at IS NOT NULL
ORDER BY day DESC
LIMIT 1;

-- name: cover_days(first, last, statement_id, opening_minor, closing_minor, at)!
-- Note that the statement of some days has come.
INSERT INTO recon_day (day, statement_id, opening_minor, closing_minor, statement_at)
SELECT d::date, :statement_id, :opening_minor, :closing_minor, :at
FROM generate_series(:first::date, :last::date, interval '1 day') AS d
ON CONFLICT (day) DO UPDATE
SET statement_id = EXCLUDED.statement_id, opening_minor = EXCLUDED.opening_minor,
    closing_minor = EXCLUDED.closing_minor, statement_at = EXCLUDED.statement_at;

-- name: covered_until()$
-- Return the last day of which a statement has come.
SELECT max(day) FROM recon_day WHERE statement_at IS NOT NULL;

-- name: torn_days(since)
-- List days whose statement does not begin with the balance with which the one before it ended.
SELECT day, opening_minor, before_minor
FROM (
    SELECT day, statement_id, opening_minor,
           lag(statement_id) OVER by_day AS before_id,
           lag(closing_minor) OVER by_day AS before_minor
    FROM recon_day
    WHERE statement_at IS NOT NULL AND day >= :since::date
    WINDOW by_day AS (ORDER BY day)
) AS d
WHERE before_id <> statement_id AND before_minor <> opening_minor
ORDER BY day;

-- name: read_days(last, at)!
-- Note that the bank's books have been read since the days up to one ended, from the first day we know on.
INSERT INTO recon_day (day, read_at)
SELECT d::date, :at
FROM generate_series(
    coalesce((SELECT min(day) FROM recon_day), :last::date), :last::date, interval '1 day'
) AS d
ON CONFLICT (day) DO UPDATE SET read_at = EXCLUDED.read_at;

-- name: recon_due(since)$
-- Say whether the bank's books were not read since an instant, or a statement has come after that.
SELECT NOT EXISTS (SELECT FROM recon_day WHERE read_at >= :since::timestamptz)
    OR (SELECT max(statement_at) FROM recon_day) > (SELECT max(read_at) FROM recon_day);

-- name: judge_days(at)!
-- Note since when all sides agree about each day: its statement has come, the bank's books were read, no
-- break of it is open (one of before the first day is the first day's), and each payout that was to arrive
-- on it is matched, or a person has closed its break.
UPDATE recon_day AS d
SET agreed_at = CASE WHEN j.agrees THEN coalesce(d.agreed_at, :at::timestamptz) END
FROM (
    SELECT e.day,
           e.statement_at IS NOT NULL AND e.read_at IS NOT NULL
           AND NOT EXISTS (
               SELECT FROM recon_break b
               WHERE b.closed_at IS NULL AND greatest(b.day, f.first_day) = e.day
           )
           AND NOT EXISTS (
               SELECT FROM bank_payout p
               WHERE p.arrival_on = e.day AND p.status = 'paid' AND p.matched_at IS NULL
                 AND NOT EXISTS (
                     SELECT FROM recon_break b
                     WHERE b.closed_by IS NOT NULL AND b.kind LIKE ANY (ARRAY['payout_%', 'item_%', 'line_%'])
                       AND (b.subject = 'payout ' || p.payout_id OR b.subject LIKE '% in ' || p.payout_id)
                 )
           ) AS agrees
    FROM recon_day e
    CROSS JOIN (SELECT min(day) AS first_day FROM recon_day) AS f
) AS j
WHERE j.day = d.day AND j.agrees <> (d.agreed_at IS NOT NULL);

-- name: reconciled_until()$
-- Return the last day up to which, without a gap, all sides agree.
SELECT CASE
    WHEN min(day) FILTER (WHERE agreed_at IS NULL) IS NULL THEN max(day)
    WHEN min(day) FILTER (WHERE agreed_at IS NULL) > min(day)
        THEN min(day) FILTER (WHERE agreed_at IS NULL) - 1
END
FROM recon_day;

-- name: hold_breaks(kinds, subjects)!
-- Lock the open breaks of what was found, so that a person's word about one is there before or comes after.
SELECT b.break_id
FROM recon_break b
JOIN unnest(:kinds::text[], :subjects::text[]) AS f (kind, subject) USING (kind, subject)
WHERE b.closed_at IS NULL
ORDER BY b.break_id
FOR UPDATE OF b;

-- name: see_breaks(kinds, subjects, account_ids, amounts_minor, currencies, details, actions, owners, days, at)
-- Keep what was found: an open break is seen again; one that a person closed stays closed as long as it is
-- what it was; anything else is opened, and returned.
WITH found AS (
    SELECT *
    FROM unnest(
        :kinds::text[], :subjects::text[], :account_ids::text[], :amounts_minor::bigint[],
        :currencies::text[], :details::text[], :actions::text[], :owners::text[], :days::date[]
    ) AS f (kind, subject, account_id, amount_minor, currency, detail, action, owner, day)
),
seen AS (
    UPDATE recon_break AS b
    SET seen_at = :at, detail = f.detail, account_id = f.account_id,
        amount_minor = f.amount_minor, currency = f.currency
    FROM found f
    WHERE b.kind = f.kind AND b.subject = f.subject AND b.closed_at IS NULL
    RETURNING b.kind, b.subject
)
INSERT INTO recon_break (
    kind, subject, account_id, amount_minor, currency, detail, suggested_action, owner, day, opened_at,
    seen_at
)
SELECT f.kind, f.subject, f.account_id, f.amount_minor, f.currency, f.detail, f.action, f.owner, f.day,
       :at, :at
FROM found f
WHERE NOT EXISTS (SELECT FROM seen s WHERE s.kind = f.kind AND s.subject = f.subject)
  AND NOT EXISTS (
      SELECT FROM recon_break b
      WHERE b.kind = f.kind AND b.subject = f.subject AND b.closed_by IS NOT NULL
        AND b.detail = f.detail
  )
ON CONFLICT (kind, subject) WHERE closed_at IS NULL DO UPDATE SET seen_at = EXCLUDED.seen_at
RETURNING kind, subject, owner;

-- name: close_agreed(since, at)
-- Close the open breaks that were looked for and not found again.
UPDATE recon_break
SET closed_at = :at, because = 'the sides agree'
WHERE closed_at IS NULL AND seen_at < :at AND day >= :since::date
RETURNING break_id;

-- name: break_by_id(break_id)^
-- Return a break.
SELECT * FROM recon_break WHERE break_id = :break_id;

-- name: close_break(break_id, by, because, at)^
-- Close an open break because a person says so; none if it is not open.
UPDATE recon_break
SET closed_at = :at, closed_by = :by, because = :because
WHERE break_id = :break_id AND closed_at IS NULL
RETURNING *;

-- name: list_breaks(open, after, page)
-- List breaks, the oldest first: those that are open, or those that are closed.
SELECT *
FROM recon_break
WHERE (closed_at IS NULL) = :open::boolean AND break_id > :after::bigint
ORDER BY break_id
LIMIT :page::bigint;

-- name: open_breaks_figures()
-- Count the open breaks by kind, and say since when the oldest of each is open.
SELECT kind, count(*) AS breaks, min(opened_at) AS oldest_at
FROM recon_break
WHERE closed_at IS NULL
GROUP BY kind
ORDER BY kind;

-- name: list_days(before, page)
-- List the days of the reconciliation, the newest first.
SELECT day, statement_id, statement_at, read_at, agreed_at
FROM recon_day
WHERE day < :before::date
ORDER BY day DESC
LIMIT :page::bigint;

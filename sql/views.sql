-- name: list_mandates(account_id)
-- List the mandates of an account, newest first.
SELECT
    mandate_id, state, enrolment, payment_minor_max, month_minor_max, currency,
    CASE WHEN state = 'invited' THEN authorisation_url END AS authorisation_url,
    account_number_ending, created_at, changed_at
FROM mandate
WHERE account_id = :account_id
ORDER BY created_at DESC, mandate_id;

-- name: list_account_debits(account_id, before_bill_no, before_attempt, page)
-- List the debits of an account, those of the newest bill and the last attempt first.
SELECT account_id, bill_no, attempt, mandate_id, state, reason, amount_minor, currency, charge_on, changed_at
FROM debit
WHERE account_id = :account_id
    AND (bill_no, attempt) < (:before_bill_no::text, :before_attempt::integer)
ORDER BY bill_no DESC, attempt DESC
LIMIT :page;

-- name: list_debits_in_state(state, after_charge_on, after_account_id, after_bill_no, after_attempt, page)
-- List the debits of all accounts that stand in one state, by the day of their charge.
SELECT account_id, bill_no, attempt, mandate_id, state, reason, amount_minor, currency, charge_on, changed_at
FROM debit
WHERE state = :state
    AND (charge_on, account_id, bill_no, attempt) > (
        :after_charge_on::date, :after_account_id::text, :after_bill_no::text,
        :after_attempt::integer
    )
ORDER BY charge_on, account_id, bill_no, attempt
LIMIT :page;

-- name: list_steps(account_id, bill_nos)
-- List every step that the debits for these bills took, in order.
SELECT bill_no, attempt, step_no, from_state, to_state, reason, taken_at
FROM debit_step
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, attempt, step_no;

-- name: list_notices(account_id, bill_nos)
-- List what the resident was told about the debits for these bills.
SELECT bill_no, attempt, amount_minor, currency, charge_on, noticed_at
FROM notice
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, attempt, notice_no;

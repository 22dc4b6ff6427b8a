-- What only `aqkol bench debits` asks, of a database that it made for itself.

-- name: build_debits(account_ids, bank_mandate_ids, amounts_minor, due_on, issued_at, noticed_at)!
-- Give accounts a mandate and a bill that owes so much, and a debit that they were told of in time.
WITH given AS (
    SELECT *
    FROM unnest(:account_ids::text[], :bank_mandate_ids::text[], :amounts_minor::bigint[])
        AS g (account_id, bank_mandate_id, amount_minor)
), opened AS (
    INSERT INTO account (account_id, tariff_code, currency, opened_at)
    SELECT account_id, 'household', 'KZT', '2024-01-01Z' FROM given
), allowed AS (
    INSERT INTO mandate (
        account_id, mandate_id, state, enrolment, payment_minor_max, month_minor_max, currency,
        return_digest, bank_mandate_id, created_at, changed_at
    )
    SELECT account_id, 'M-1', 'active', 'active', 100000000, 100000000, 'KZT',
           sha256(account_id::bytea), bank_mandate_id, :issued_at::timestamptz,
           :issued_at::timestamptz
    FROM given
), billed AS (
    INSERT INTO bill (
        account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
        total_minor, currency, issued_at, due_on
    )
    SELECT account_id, '2026-01', '2026-01-01', '2026-02-01', 1, 100000, amount_minor, 0,
           amount_minor, 'KZT', :issued_at::timestamptz, :due_on::date
    FROM given
), owed AS (
    INSERT INTO transfer (
        account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
        posted_at
    )
    SELECT account_id, 'bill/2026-01/net', 'posted', 'receivable', 'revenue', amount_minor, 'KZT',
           '2026-01', :issued_at::timestamptz
    FROM given
), announced AS (
    INSERT INTO debit (
        account_id, bill_no, attempt, mandate_id, state, amount_minor, currency, charge_on,
        changed_at
    )
    SELECT account_id, '2026-01', 1, 'M-1', 'noticed', amount_minor, 'KZT', :due_on::date,
           :noticed_at::timestamptz
    FROM given
), stepped AS (
    INSERT INTO debit_step (account_id, bill_no, attempt, step_no, to_state, taken_at)
    SELECT account_id, '2026-01', 1, 1, 'noticed', :noticed_at::timestamptz FROM given
)
INSERT INTO notice (
    account_id, bill_no, attempt, amount_minor, currency, charge_on, noticed_at, channel
)
SELECT account_id, '2026-01', 1, amount_minor, 'KZT', :due_on::date, :noticed_at::timestamptz, 'api'
FROM given;

-- name: tidy()#
-- Let the planner see what is there.
VACUUM (ANALYZE) account, mandate, bill, transfer, debit, debit_step, notice;

-- name: list_debits()
-- List every debit by its key, with what was taken and under which name at the bank.
SELECT idempotency_key, state, amount_minor, bank_payment_id FROM debit;

-- name: pending_minor()$
-- What the ledger has as on its way.
SELECT coalesce(sum(amount_minor), 0)::bigint FROM transfer WHERE phase = 'pending';

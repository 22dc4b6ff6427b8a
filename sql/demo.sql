-- What the demo reads back to compare with the meters' own record and the bank's own books.

-- name: stored_readings()
-- Read every register we hold, believed or not.
SELECT meter_id, read_at, register_dm3 FROM reading;

-- name: issued_lines()
-- Read every bill's volume per meter, with the bill's month and total.
SELECT b.account_id, b.bill_no, to_char(b.period_start, 'YYYY-MM') AS label, b.total_minor,
       l.meter_id, sum(l.volume_dm3)::bigint AS volume_dm3
FROM bill b
JOIN bill_line l USING (account_id, bill_no)
GROUP BY b.account_id, b.bill_no, b.period_start, b.total_minor, l.meter_id;

-- name: debits_by_state()
-- Count the debits in each state.
SELECT state, count(*) AS debits FROM debit GROUP BY state ORDER BY state;

-- name: collected_minor()$
-- Say what debits have brought to the bank, or through it to us, and what of it neither was taken back nor
-- went back.
SELECT coalesce(sum(
    CASE WHEN debit_code IN ('collections_in_transit', 'bank') THEN amount_minor ELSE 0 END
    - CASE WHEN credit_code IN ('collections_in_transit', 'bank') THEN amount_minor ELSE 0 END
), 0)::bigint
FROM transfer
WHERE phase = 'posted'
    AND (starts_with(transfer_id, 'debit/') OR starts_with(transfer_id, 'give_back/'));

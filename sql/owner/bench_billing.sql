-- What only `aqkol bench billing` asks, of a database that it made for itself.

-- name: build_homes(first, last, meters)!
-- Settle accounts numbered first to last of so many, each with a meter whose number is another.
-- The multiplier is a prime above every number of meters, so no two accounts get the same meter:
-- serial numbers follow no order of accounts in a town either.
WITH home AS (
    SELECT 'A-' || lpad(n::text, 7, '0') AS account_id,
           'AQ-' || lpad((n * 15485863 % :meters::bigint)::text, 7, '0') AS meter_id,
           'S-' || lpad(n::text, 7, '0') AS supply_point_id
    FROM generate_series(:first::bigint, :last::bigint) AS n
), opened AS (
    INSERT INTO account (account_id, tariff_code, currency, opened_at)
    SELECT account_id, 'household', 'KZT', '2024-01-01Z' FROM home
), registered AS (
    INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)
    SELECT meter_id, 100000000, 1, 6000, true, '2024-01-01Z' FROM home
    RETURNING meter_id
)
INSERT INTO installation (meter_id, installed_at, account_id, supply_point_id, opening_dm3)
SELECT meter_id, '2024-01-01Z', account_id, supply_point_id, 0
FROM home JOIN registered USING (meter_id);

-- name: build_readings(first, last, meters, read_at, months)!
-- Let the meters of accounts first to last report one midnight, so many months after the first.
INSERT INTO reading (meter_id, read_at, register_dm3, turns, verdict, counter, received_at)
SELECT 'AQ-' || lpad((n * 15485863 % :meters::bigint)::text, 7, '0'), :read_at::timestamptz,
       n * 37 % 50000000 + :months::bigint * (10000 + n * 7919 % 400000), 0, 'billable',
       :months::bigint, :read_at::timestamptz
FROM generate_series(:first::bigint, :last::bigint) AS n;

-- name: drop_overlaps()!
-- Take away the index that keeps a meter from hanging in two places.
ALTER TABLE installation DROP CONSTRAINT IF EXISTS installation_overlaps;

-- name: open_month(instant)$
-- Open the partition that holds an instant.
SELECT open_reading_month(:instant::timestamptz)::text;

-- name: approve_price()!
-- Approve one price for all.
INSERT INTO tariff (tariff_code, valid_from, net_minor_per_1000_m3, currency, approved_by)
VALUES ('household', '2024-01-01', 640490, 'KZT', 'a benchmark');

-- name: tidy()#
-- Let the planner see what is there.
VACUUM (ANALYZE) account, meter, installation, reading, tariff, usage, bill, bill_line, transfer;

-- name: to_disk()#
-- Let the disk have what is there, so that nobody's measurement writes another's rows.
CHECKPOINT;

-- name: empty_month()#
-- Take out what a run wrote.
TRUNCATE usage, usage_gap, bill, bill_line, bill_hold, transfer, reading_correction CASCADE;

-- name: count_month()^
-- Count what a run wrote, and compare the gas with the registers and the ledger with the bills.
SELECT (SELECT count(*) FROM usage) AS usages,
       (SELECT count(*) FROM bill) AS bills,
       (SELECT count(*) FROM bill_line) AS lines,
       (SELECT count(*) FROM transfer) AS transfers,
       (SELECT coalesce(sum(volume_dm3), 0)::bigint FROM bill) AS volume_dm3,
       (SELECT coalesce(sum(total_minor), 0)::bigint FROM bill) AS total_minor,
       (SELECT coalesce(sum(amount_minor), 0)::bigint FROM transfer) AS moved_minor;

-- name: keep_month()#
-- Lay the rows of a finished month aside, in the order of their keys.
DROP TABLE IF EXISTS bench_usage, bench_bill, bench_bill_line, bench_transfer;
CREATE TABLE bench_usage AS SELECT * FROM usage ORDER BY meter_id, from_at;
CREATE TABLE bench_bill AS SELECT * FROM bill ORDER BY account_id, bill_no;
CREATE TABLE bench_bill_line AS SELECT * FROM bill_line ORDER BY account_id, bill_no, line_no;
CREATE TABLE bench_transfer AS SELECT * FROM transfer ORDER BY account_id, transfer_id;
CREATE INDEX ON bench_usage (meter_id);
CREATE INDEX ON bench_bill (account_id);
CREATE INDEX ON bench_bill_line (account_id);
CREATE INDEX ON bench_transfer (account_id);
ANALYZE bench_usage, bench_bill, bench_bill_line, bench_transfer;

-- name: plain_usage(first, last)!
-- Put the usage of meters in a half-open range of names where a run puts it.
INSERT INTO usage SELECT * FROM bench_usage
WHERE meter_id >= :first::text AND meter_id < :last::text;

-- name: plain_bill(first, last)!
-- Put the bills of accounts in a half-open range of names where a run puts them.
INSERT INTO bill SELECT * FROM bench_bill
WHERE account_id >= :first::text AND account_id < :last::text;

-- name: plain_bill_line(first, last)!
-- Put the lines of bills in a half-open range of accounts where a run puts them.
INSERT INTO bill_line SELECT * FROM bench_bill_line
WHERE account_id >= :first::text AND account_id < :last::text;

-- name: plain_transfer(first, last)!
-- Put the transfers in a half-open range of accounts where a run puts them.
INSERT INTO transfer SELECT * FROM bench_transfer
WHERE account_id >= :first::text AND account_id < :last::text;

-- name: make_copy()#
-- Make a table like the one for usage, with its keys and checks but no foreign key.
DROP TABLE IF EXISTS bench_copy;
CREATE TABLE bench_copy (LIKE usage INCLUDING ALL);

-- name: loop_meter(account_id)^
-- Ask for the meter of one account, as a plain loop does.
SELECT meter_id, installed_at, supply_point_id FROM installation WHERE account_id = :account_id;

-- name: loop_register(meter_id, at)^
-- Ask for the last register of one meter up to an instant, as a plain loop does.
SELECT register_dm3, turns, read_at FROM reading
WHERE meter_id = :meter_id AND verdict = 'billable' AND read_at <= :at
ORDER BY read_at DESC
LIMIT 1;

-- name: loop_price()^
-- Ask for the price and the VAT rate, as a plain loop does.
SELECT t.valid_from, t.net_minor_per_1000_m3, v.rate_bp
FROM tariff t, vat_rate v
WHERE t.tariff_code = 'household'
ORDER BY v.valid_from DESC
LIMIT 1;

-- name: loop_usage(meter_id, from_at, to_at, period_start, installed_at, account_id, supply_point_id, opening_dm3, opening_turns, opening_at, closing_dm3, closing_turns, closing_at, volume_dm3)!
-- Write one usage, as a plain loop does.
INSERT INTO usage (
    meter_id, from_at, to_at, period_start, installed_at, account_id, supply_point_id,
    opening_register_dm3, opening_turns, opening_read_at,
    closing_register_dm3, closing_turns, closing_read_at, volume_dm3
)
VALUES (
    :meter_id, :from_at, :to_at, :period_start, :installed_at, :account_id, :supply_point_id,
    :opening_dm3, :opening_turns, :opening_at, :closing_dm3, :closing_turns, :closing_at,
    :volume_dm3
);

-- name: loop_bill(account_id, bill_no, period_start, period_end, volume_dm3, net_minor, vat_minor, total_minor, issued_at, due_on)!
-- Write one bill, as a plain loop does.
INSERT INTO bill (
    account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
    total_minor, currency, issued_at, due_on
)
VALUES (
    :account_id, :bill_no, :period_start, :period_end, 1, :volume_dm3, :net_minor, :vat_minor,
    :total_minor, 'KZT', :issued_at, :due_on
);

-- name: loop_line(account_id, bill_no, meter_id, supply_point_id, from_at, to_at, opening_dm3, opening_at, closing_dm3, closing_at, volume_dm3, valid_from, price, vat_rate_bp, net_minor, vat_minor, days)!
-- Write the line of one bill, as a plain loop does.
INSERT INTO bill_line (
    account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
    opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
    tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor,
    days, days_of
)
VALUES (
    :account_id, :bill_no, 1, :meter_id, :supply_point_id, :from_at, :to_at, :opening_dm3,
    :opening_at, :closing_dm3, :closing_at, :volume_dm3, 'household', :valid_from, :price,
    :vat_rate_bp, :net_minor, :vat_minor, :days, :days
);

-- name: loop_transfer(account_id, transfer_id, credit_code, amount_minor, bill_no, posted_at)!
-- Write one transfer of one bill, as a plain loop does.
INSERT INTO transfer (
    account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
    posted_at
)
VALUES (
    :account_id, :transfer_id, 'posted', 'receivable', :credit_code, :amount_minor, 'KZT',
    :bill_no, :posted_at
);

-- name: say_late(accounts, meters, read_at, said_at)!
-- Let a person say of so many accounts' closing registers that they stood a cubic metre lower.
WITH said AS (
    INSERT INTO reading_correction (
        meter_id, read_at, revision, register_dm3, turns, fault, decided_by, because, decided_at
    )
    SELECT r.meter_id, r.read_at, 1, r.register_dm3 - 1000, r.turns, 'ours', 'a benchmark',
           'read too high', :said_at::timestamptz
    FROM generate_series(0, :accounts::bigint - 1) AS n
    JOIN reading r ON r.read_at = :read_at::timestamptz AND r.meter_id = 'AQ-' || lpad(
        (n * :meters::bigint / :accounts::bigint * 15485863 % :meters::bigint)::text, 7, '0'
    )
    RETURNING meter_id, read_at, revision
)
INSERT INTO usage_doubt (meter_id, read_at, revision, noted_at)
SELECT meter_id, read_at, revision, :said_at::timestamptz FROM said;

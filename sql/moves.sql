-- Moving out and in.

-- name: account_meters(account_id)$
-- Name the meters that hang or hung at an account.
SELECT coalesce(array_agg(DISTINCT meter_id), '{}') FROM installation WHERE account_id = :account_id;

-- name: account_stays(account_id)
-- List where meters hang or hung at an account, oldest first.
SELECT meter_id, installed_at, account_id, supply_point_id, opening_dm3, removed_at, closing_dm3,
       closing_turns
FROM installation
WHERE account_id = :account_id
ORDER BY meter_id, installed_at;

-- name: register_of_day(meter_id, from_at, to_at)^
-- Find the last trusted reading of a meter after the beginning of a day and until its end.
SELECT read_at, register_dm3
FROM trusted_reading
WHERE meter_id = :meter_id AND read_at > :from_at::timestamptz AND read_at <= :to_at::timestamptz
ORDER BY read_at DESC
LIMIT 1;

-- name: has_reading_after(meter_id, instant)$
-- Say whether a trusted reading of a meter stands after an instant.
SELECT EXISTS (
    SELECT FROM trusted_reading WHERE meter_id = :meter_id AND read_at > :instant::timestamptz
);

-- name: find_closing(account_id)^
-- Find how an account ended.
SELECT account_id, last_day, registers, because, closed_by, closed_at
FROM account_closing
WHERE account_id = :account_id;

-- name: add_closing(account_id, last_day, registers, because, closed_by, closed_at)!
-- Write down that an account has ended.
INSERT INTO account_closing (account_id, last_day, registers, because, closed_by, closed_at)
VALUES (:account_id, :last_day, :registers::text::jsonb, :because, :closed_by, :closed_at);

-- name: hold_of(account_id, period_start)^
-- Read what holds the bill of an account.
SELECT reason, meter_id FROM bill_hold
WHERE account_id = :account_id AND period_start = :period_start;

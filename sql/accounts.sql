-- name: add_account(account_id, tariff_code, currency, opened_at)$
-- Open an account; nothing comes back when its id is taken.
INSERT INTO account (account_id, tariff_code, currency, opened_at)
VALUES (:account_id, :tariff_code, :currency, :opened_at)
ON CONFLICT (account_id) DO NOTHING
RETURNING account_id;

-- name: add_person(account_id, full_name, address)!
-- Write down who lives there, in the one place for it.
INSERT INTO person (account_id, full_name, address) VALUES (:account_id, :full_name, :address);

-- name: add_supply_point(account_id, supply_point_id, connected_at)!
-- Write down where gas enters the home.
INSERT INTO supply_point (account_id, supply_point_id, connected_at)
VALUES (:account_id, :supply_point_id, :connected_at);

-- name: has_tariff(tariff_code, currency)$
-- Say whether any price of a tariff exists in a currency.
SELECT EXISTS (
    SELECT FROM tariff WHERE tariff_code = :tariff_code AND currency = :currency
);

-- name: find_account(account_id)^
-- Find an account, without saying who that is.
SELECT account_id, tariff_code, currency, opened_at FROM account WHERE account_id = :account_id;

-- name: list_accounts(after, page)
-- List accounts in the order of their ids, without saying who they are.
SELECT account_id, tariff_code, currency, opened_at
FROM account
WHERE account_id > :after
ORDER BY account_id
LIMIT :page;

-- name: find_person(account_id)^
-- Find who lives there; for the resident only.
SELECT full_name, address FROM person WHERE account_id = :account_id;

-- name: list_supply_points(account_id)
-- List where gas enters the home.
SELECT supply_point_id, connected_at
FROM supply_point
WHERE account_id = :account_id
ORDER BY supply_point_id;

-- name: has_supply_point(account_id, supply_point_id)$
-- Say whether an account has a supply point of this name.
SELECT EXISTS (
    SELECT FROM supply_point
    WHERE account_id = :account_id AND supply_point_id = :supply_point_id
);

-- name: bills_in_transit(account_id, bill_nos)
-- List which of these bills have money under way: a pending row of a debit that nothing has answered.
SELECT DISTINCT p.bill_no
FROM transfer p
WHERE p.account_id = :account_id AND p.bill_no = ANY (:bill_nos::text[]) AND p.phase = 'pending'
    AND p.debit_code = 'collections_in_transit'
    AND NOT EXISTS (
        SELECT FROM transfer a
        WHERE a.account_id = p.account_id AND a.transfer_id IN (
            regexp_replace(p.transfer_id, '/pending(-[0-9]+)?$', '/posted\1'),
            regexp_replace(p.transfer_id, '/pending(-[0-9]+)?$', '/void\1')
        )
    );

-- name: has_ended(account_id)$
-- Say whether the resident of an account has moved out.
SELECT EXISTS (SELECT FROM account_closing WHERE account_id = :account_id);

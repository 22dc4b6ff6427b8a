-- What holds for an account from a local day on, as operators say it.

-- name: list_terms(account_id)
-- List every word on an account, by its day and then in the order in which they were said.
SELECT account_id, valid_from, revision, tariff_code, persons, social, said_by, said_at
FROM account_terms
WHERE account_id = :account_id
ORDER BY valid_from, revision;

-- name: billed_from(account_id, valid_from)$
-- Name the newest bill of an account with a day on or after the given one.
SELECT max(bill_no)
FROM bill
WHERE account_id = :account_id AND period_end > :valid_from::date;

-- name: has_price_on(tariff_code, currency, day)$
-- Say whether a tariff has a price in a currency on a local day.
SELECT EXISTS (
    SELECT FROM tariff
    WHERE tariff_code = :tariff_code AND currency = :currency AND valid_from <= :day::date
      AND (valid_to IS NULL OR valid_to > :day::date)
);

-- name: add_terms(account_id, valid_from, tariff_code, persons, social, said_by, said_at)!
-- Write a word on a locked account down, as the next revision of its day.
INSERT INTO account_terms (
    account_id, valid_from, revision, tariff_code, persons, social, said_by, said_at
)
SELECT :account_id, :valid_from::date, coalesce(max(t.revision), 0) + 1, :tariff_code, :persons,
       :social, :said_by, :said_at
FROM account_terms t
WHERE t.account_id = :account_id AND t.valid_from = :valid_from::date;

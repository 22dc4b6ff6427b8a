-- migrate:up

-- A transfer names its bill and a bill its account, both by foreign keys over account_id, so that this
-- one could not fail where those hold; it was asked twice for every bill.
ALTER TABLE transfer DROP CONSTRAINT transfer_account_id_fkey;

-- migrate:up

-- A new bank account cools off from when it was named at the bank, not from when its resident set out to.
ALTER TABLE account_change ADD COLUMN named_at timestamptz;
ALTER TABLE account_change DROP CONSTRAINT done_has_cooled_off;
ALTER TABLE account_change ADD CONSTRAINT done_has_cooled_off CHECK (
    outcome <> 'done'
    OR ended_at >= usable_at AND ended_at >= coalesce(named_at, begun_at) + interval '72 hours'
);

GRANT UPDATE (named_at) ON account_change TO aqkol_service;

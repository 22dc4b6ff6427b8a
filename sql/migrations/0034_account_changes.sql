-- migrate:up

-- A mandate for another bank account waits until it has cooled off; only then may it be debited.
ALTER TABLE mandate
    DROP CONSTRAINT mandate_enrolment_check,
    ADD CONSTRAINT mandate_enrolment_check CHECK (
        enrolment IN ('active', 'paused', 'waiting', 'cancelled')
    );
DROP INDEX mandate_usable;
CREATE UNIQUE INDEX mandate_usable ON mandate (account_id)
    WHERE state IN ('invited', 'pending', 'active') AND enrolment NOT IN ('cancelled', 'waiting');
-- At most one waits to take its place.
CREATE UNIQUE INDEX mandate_waiting ON mandate (account_id)
    WHERE state IN ('invited', 'pending', 'active') AND enrolment = 'waiting';

-- A change of the bank account: under the new mandate nothing is debited before "usable_at".
CREATE TABLE account_change (
    account_id text        NOT NULL,
    mandate_id text        NOT NULL,
    begun_at   timestamptz NOT NULL,
    usable_at  timestamptz NOT NULL,
    -- The resident wants debits to rest even then.
    paused     boolean     NOT NULL DEFAULT false,
    ended_at   timestamptz,
    outcome    text        CHECK (outcome IN ('done', 'cancelled')),
    PRIMARY KEY (account_id, mandate_id),
    FOREIGN KEY (account_id, mandate_id) REFERENCES mandate,
    CONSTRAINT change_cools_off CHECK (usable_at >= begun_at + interval '72 hours'),
    CONSTRAINT change_ends_once CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    -- Done is what has cooled off, whatever the code above it believes.
    CONSTRAINT done_has_cooled_off CHECK (outcome <> 'done' OR ended_at >= usable_at)
);
CREATE INDEX account_change_due ON account_change (usable_at) WHERE ended_at IS NULL;

GRANT SELECT, INSERT ON account_change TO aqkol_service;
GRANT UPDATE (paused, ended_at, outcome) ON account_change TO aqkol_service;

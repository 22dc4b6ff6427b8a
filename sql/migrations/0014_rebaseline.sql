-- migrate:up

-- A person's word that a meter goes on at another level: one installation ended with its last trusted
-- register, the next began with the first of the readings that agreed. What went through in between
-- nobody knows, and nobody is billed for it.
CREATE TABLE rebaseline (
    meter_id              text        NOT NULL,
    installed_at          timestamptz NOT NULL,
    previous_installed_at timestamptz NOT NULL CHECK (previous_installed_at < installed_at),
    before_read_at        timestamptz NOT NULL CHECK (before_read_at < installed_at),
    before_dm3            bigint      NOT NULL CHECK (before_dm3 >= 0),
    first_dm3             bigint      NOT NULL CHECK (first_dm3 >= 0),
    last_dm3              bigint      NOT NULL CHECK (last_dm3 >= first_dm3),
    readings              integer     NOT NULL CHECK (readings > 0),
    rule_version          text        NOT NULL CHECK (length(rule_version) BETWEEN 1 AND 32),
    decided_by            text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because               text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at            timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation,
    FOREIGN KEY (meter_id, previous_installed_at) REFERENCES installation
);

GRANT SELECT, INSERT ON rebaseline TO aqkol_service;

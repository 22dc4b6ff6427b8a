-- migrate:up

-- A change of a price, of its end or of the VAT, as one person proposes it; it counts from "first_day".
CREATE TABLE price_proposal (
    proposal_no integer     PRIMARY KEY CHECK (proposal_no > 0),
    kind        text        NOT NULL CHECK (kind IN ('tariff', 'end', 'vat_rate')),
    tariff_code text        CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    first_day   date        NOT NULL,
    content     jsonb       NOT NULL CHECK (jsonb_typeof(content) = 'object'),
    source      text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    -- Entered with both names at once, on the machine itself, for days that had no price.
    set_up      boolean     NOT NULL,
    proposed_by text        NOT NULL CHECK (length(proposed_by) BETWEEN 1 AND 100),
    proposed_at timestamptz NOT NULL,
    UNIQUE (proposal_no, proposed_by),
    CONSTRAINT vat_has_no_tariff CHECK ((kind = 'vat_rate') = (tariff_code IS NULL))
);

-- What became of a proposal, once. The first key lets one of two decisions through.
CREATE TABLE price_decision (
    proposal_no integer     PRIMARY KEY,
    proposed_by text        NOT NULL CHECK (length(proposed_by) BETWEEN 1 AND 100),
    outcome     text        NOT NULL CHECK (outcome IN ('approved', 'refused', 'withdrawn')),
    because     text        CHECK (length(because) BETWEEN 1 AND 500),
    decided_by  text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    decided_at  timestamptz NOT NULL,
    FOREIGN KEY (proposal_no, proposed_by) REFERENCES price_proposal (proposal_no, proposed_by),
    -- Nobody slips in a price alone.
    CONSTRAINT second_person_approves CHECK (
        outcome <> 'approved' OR lower(btrim(decided_by)) <> lower(btrim(proposed_by))
    ),
    CONSTRAINT refusal_has_a_reason CHECK ((outcome = 'approved') = (because IS NULL))
);

GRANT SELECT, INSERT ON price_proposal, price_decision TO aqkol_service;
GRANT INSERT ON vat_rate TO aqkol_service;

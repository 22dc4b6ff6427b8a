-- migrate:up

-- Tariffs with everything a household's price can be made of. A price is per 1000 m3 or per GWh.
ALTER TABLE tariff
    ALTER COLUMN net_minor_per_1000_m3 DROP NOT NULL,
    ADD COLUMN net_minor_per_gwh bigint
        CHECK (net_minor_per_gwh BETWEEN 0 AND 1000000000000),
    ADD COLUMN rounding text NOT NULL DEFAULT 'half_up'
        CHECK (rounding IN ('half_up', 'half_even', 'down')),
    ADD COLUMN norm_per text NOT NULL DEFAULT 'household'
        CHECK (norm_per IN ('household', 'person')),
    ADD COLUMN heating_months smallint[] NOT NULL DEFAULT '{}'
        CHECK (1 <= ALL (heating_months) AND 12 >= ALL (heating_months)),
    ADD COLUMN standing_net_minor_per_1000_days bigint NOT NULL DEFAULT 0
        CHECK (standing_net_minor_per_1000_days BETWEEN 0 AND 1000000000000),
    ADD COLUMN standing_net_minor_per_month bigint NOT NULL DEFAULT 0
        CHECK (standing_net_minor_per_month BETWEEN 0 AND 1000000000),
    ADD COLUMN discount_bp integer NOT NULL DEFAULT 0 CHECK (discount_bp BETWEEN 0 AND 10000),
    ADD COLUMN discount_norm bigint CHECK (discount_norm BETWEEN 1 AND 1000000000000),
    ADD COLUMN discount_norm_heating bigint
        CHECK (discount_norm_heating BETWEEN 1 AND 1000000000000),
    ADD CONSTRAINT tariff_has_one_price
        CHECK (num_nonnulls(net_minor_per_1000_m3, net_minor_per_gwh) = 1);

-- The bands of a tariff, by what a household or person uses in a month: dm3, or Wh where the price is
-- per energy. The last band has no end. A tariff without bands has one price for all gas.
CREATE TABLE tariff_band (
    tariff_code   text    NOT NULL,
    valid_from    date    NOT NULL,
    band_no       integer NOT NULL CHECK (band_no BETWEEN 1 AND 20),
    up_to         bigint  CHECK (up_to BETWEEN 1 AND 1000000000000),
    up_to_heating bigint  CHECK (up_to_heating BETWEEN 1 AND 1000000000000),
    multiplier_bp integer NOT NULL DEFAULT 10000 CHECK (multiplier_bp BETWEEN 0 AND 1000000),
    net_minor     bigint  CHECK (net_minor BETWEEN 0 AND 1000000000000),
    PRIMARY KEY (tariff_code, valid_from, band_no),
    FOREIGN KEY (tariff_code, valid_from) REFERENCES tariff,
    CONSTRAINT band_is_price_or_multiplier CHECK (net_minor IS NULL OR multiplier_bp = 10000),
    CONSTRAINT band_ends_in_both_seasons CHECK (up_to IS NOT NULL OR up_to_heating IS NULL)
);

-- What holds for an account from a local day on; a later word is another revision of that day. Before
-- the first: the tariff the account was opened with, one person, no discount.
CREATE TABLE account_terms (
    account_id  text        NOT NULL REFERENCES account,
    valid_from  date        NOT NULL,
    revision    integer     NOT NULL CHECK (revision > 0),
    tariff_code text        NOT NULL CHECK (tariff_code ~ '^[a-z0-9-]{1,32}$'),
    persons     integer     NOT NULL CHECK (persons BETWEEN 1 AND 100),
    social      boolean     NOT NULL,
    said_by     text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at     timestamptz NOT NULL,
    PRIMARY KEY (account_id, valid_from, revision)
);

ALTER TABLE usage
    ADD COLUMN opening_quality text NOT NULL DEFAULT 'read'
        CHECK (opening_quality IN ('read', 'estimated')),
    ADD COLUMN closing_quality text NOT NULL DEFAULT 'read'
        CHECK (closing_quality IN ('read', 'estimated'));

-- The energy of measured gas, where a tariff asks for it.
CREATE TABLE usage_energy (
    meter_id     text        NOT NULL,
    from_at      timestamptz NOT NULL,
    standard_dm3 bigint      CHECK (standard_dm3 >= 0),
    energy_wh    bigint      NOT NULL CHECK (energy_wh >= 0),
    rule         text        NOT NULL CHECK (rule IN ('uk', 'de')),
    steps        jsonb       NOT NULL CHECK (jsonb_typeof(steps) = 'object'),
    made_at      timestamptz NOT NULL,
    PRIMARY KEY (meter_id, from_at),
    FOREIGN KEY (meter_id, from_at) REFERENCES usage
);

-- A bill may be the cancellation of another, with every sign turned, or take its place.
ALTER TABLE bill
    DROP CONSTRAINT bill_volume_dm3_check,
    DROP CONSTRAINT bill_net_minor_check,
    DROP CONSTRAINT bill_vat_minor_check,
    ADD COLUMN kind text NOT NULL DEFAULT 'bill'
        CHECK (kind IN ('bill', 'cancellation', 'rebill')),
    ADD COLUMN corrects_bill_no text
        CHECK (corrects_bill_no ~ '^[0-9]{4}-[0-9]{2}(-[0-9]{1,3})?$'),
    ADD CONSTRAINT correction_names_its_bill
        CHECK ((kind = 'bill') = (corrects_bill_no IS NULL)),
    ADD CONSTRAINT bill_of_gas CHECK (kind = 'cancellation' OR volume_dm3 >= 0);

-- A line is one part of a stretch of gas, in one band: registers are those of the whole stretch. Where
-- it is a part only, "days" of "days_of" days say which share of the gas it is.
ALTER TABLE bill_line
    DROP CONSTRAINT bill_line_volume_dm3_check,
    DROP CONSTRAINT bill_line_net_minor_check,
    DROP CONSTRAINT bill_line_vat_minor_check,
    ALTER COLUMN net_minor_per_1000_m3 DROP NOT NULL,
    ADD COLUMN band_no integer NOT NULL DEFAULT 1 CHECK (band_no > 0),
    ADD COLUMN multiplier_bp integer NOT NULL DEFAULT 10000 CHECK (multiplier_bp >= 0),
    ADD COLUMN energy_wh bigint,
    ADD COLUMN net_minor_per_gwh bigint CHECK (net_minor_per_gwh >= 0),
    ADD COLUMN days integer NOT NULL DEFAULT 1 CHECK (days > 0),
    ADD COLUMN days_of integer NOT NULL DEFAULT 1 CHECK (days_of > 0),
    ADD COLUMN opening_quality text NOT NULL DEFAULT 'read'
        CHECK (opening_quality IN ('read', 'estimated')),
    ADD COLUMN closing_quality text NOT NULL DEFAULT 'read'
        CHECK (closing_quality IN ('read', 'estimated')),
    ADD CONSTRAINT line_is_part_of_stretch CHECK (days <= days_of),
    ADD CONSTRAINT line_has_one_price
        CHECK (num_nonnulls(net_minor_per_1000_m3, net_minor_per_gwh) = 1),
    ADD CONSTRAINT line_has_its_energy
        CHECK ((energy_wh IS NULL) = (net_minor_per_gwh IS NULL));

-- What a bill asks for besides gas. "quantity" counts days of a standing charge, or the dm3 (Wh) that a
-- discount is for, whose gas is line_no.
CREATE TABLE bill_charge (
    account_id        text    NOT NULL,
    bill_no           text    NOT NULL,
    charge_no         integer NOT NULL CHECK (charge_no > 0),
    kind              text    NOT NULL CHECK (kind IN ('standing', 'discount')),
    from_day          date    NOT NULL,
    to_day            date    NOT NULL CHECK (to_day > from_day),
    tariff_code       text,
    tariff_valid_from date,
    line_no           integer CHECK (line_no > 0),
    quantity          bigint,
    detail            jsonb   NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    vat_rate_bp       integer NOT NULL CHECK (vat_rate_bp >= 0),
    net_minor         bigint  NOT NULL,
    vat_minor         bigint  NOT NULL,
    PRIMARY KEY (account_id, bill_no, charge_no),
    FOREIGN KEY (account_id, bill_no) REFERENCES bill,
    FOREIGN KEY (tariff_code, tariff_valid_from) REFERENCES tariff
);

-- A change of price without a register is split by days now; what was not measured says so.
ALTER TABLE bill_hold DROP CONSTRAINT bill_hold_reason_check;
DELETE FROM bill_hold WHERE reason = 'no_register_at_price_change';
ALTER TABLE bill_hold ADD CONSTRAINT bill_hold_reason_check CHECK (reason IN (
    'no_opening_register', 'no_closing_register', 'no_price', 'no_energy', 'not_measured',
    'held_finding'
));

-- Divide and round as a tariff says; the numerator is not negative.
CREATE FUNCTION rounded(numerator numeric, denominator numeric, rounding text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE rounding
    WHEN 'down' THEN div(numerator, denominator)
    WHEN 'half_even' THEN div(numerator, denominator) + CASE
        WHEN 2 * mod(numerator, denominator) > denominator THEN 1
        WHEN 2 * mod(numerator, denominator) = denominator
            THEN mod(div(numerator, denominator), 2)
        ELSE 0
    END
    ELSE div(2 * numerator + denominator, 2 * denominator)
END::bigint;

GRANT SELECT, INSERT ON tariff_band, account_terms, usage_energy, bill_charge TO aqkol_service;

-- migrate:up

-- Coefficients that bring gas to standard conditions, from the first day of a month on, as approved:
-- twelve months for each place where a meter is as cold as the weather. A later word is another row.
CREATE TABLE coefficient_table (
    valid_from  date        NOT NULL CHECK (extract(day FROM valid_from) = 1),
    revision    integer     NOT NULL CHECK (revision > 0),
    version     text        NOT NULL UNIQUE CHECK (length(version) BETWEEN 1 AND 64),
    denominator integer     NOT NULL CHECK (denominator = 10000),
    unheated    integer[]   NOT NULL,
    outdoor     integer[]   NOT NULL,
    approved_by text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    entered_at  timestamptz NOT NULL,
    PRIMARY KEY (valid_from, revision),
    CONSTRAINT coefficients_are_twelve CHECK (
        cardinality(unheated) = 12 AND array_position(unheated, NULL) IS NULL
        AND cardinality(outdoor) = 12 AND array_position(outdoor, NULL) IS NULL
    ),
    -- 0.8 to 1.4: no climate asks for more.
    CONSTRAINT coefficients_are_weather CHECK (
        8000 <= ALL (unheated) AND 14000 >= ALL (unheated)
        AND 8000 <= ALL (outdoor) AND 14000 >= ALL (outdoor)
    )
);

-- What a rule of energy must know about a calorific zone, from the first day of a month on.
CREATE TABLE zone_figures (
    zone        text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    rule        text        NOT NULL CHECK (rule IN ('it', 'de')),
    valid_from  date        NOT NULL CHECK (extract(day FROM valid_from) = 1),
    revision    integer     NOT NULL CHECK (revision > 0),
    figures     jsonb       NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    approved_by text        NOT NULL CHECK (length(approved_by) BETWEEN 1 AND 200),
    entered_at  timestamptz NOT NULL,
    PRIMARY KEY (zone, rule, valid_from, revision)
);

-- How much heat a cubic metre of a zone's gas gave on a day or in a month, in hundred thousandths of the
-- unit; a better number is another revision. The limits keep MJ and kWh apart.
CREATE TABLE calorific_value (
    zone                text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    unit                text        NOT NULL CHECK (unit IN ('mj_m3', 'kwh_m3')),
    span                text        NOT NULL CHECK (span IN ('day', 'month')),
    start_on            date        NOT NULL,
    revision            integer     NOT NULL CHECK (revision > 0),
    hundred_thousandths integer     NOT NULL,
    source              text        NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    noted_at            timestamptz NOT NULL,
    PRIMARY KEY (zone, unit, span, start_on, revision),
    CONSTRAINT month_starts_with_its_first CHECK (
        span = 'day' OR extract(day FROM start_on) = 1
    ),
    CONSTRAINT heat_is_that_of_natural_gas CHECK (
        (unit = 'mj_m3' AND hundred_thousandths BETWEEN 2500000 AND 5500000)
        OR (unit = 'kwh_m3' AND hundred_thousandths BETWEEN 690000 AND 1530000)
    )
);

-- Where a meter hangs during a stay, from a local day on: how cold it gets there, and in which calorific
-- zone that is. A later word is another row.
CREATE TABLE stay_place (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    valid_from   date        NOT NULL,
    revision     integer     NOT NULL CHECK (revision > 0),
    place        text        NOT NULL CHECK (place IN ('heated', 'unheated', 'outdoor')),
    zone         text        NOT NULL CHECK (zone ~ '^[a-z0-9_-]{1,32}$'),
    said_by      text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at      timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, valid_from, revision),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

GRANT SELECT, INSERT ON coefficient_table, zone_figures, calorific_value, stay_place TO aqkol_service;

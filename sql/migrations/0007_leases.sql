-- migrate:up

-- Nothing ever used it: a share is not one bucket, and a process without any must be seen too.
DROP TABLE bucket_lease;

-- A process that reads, or would like to, and into how many shares it cuts the meters.
CREATE TABLE ingest_worker (
    worker text        PRIMARY KEY CHECK (length(worker) BETWEEN 1 AND 200),
    cut    integer     NOT NULL CHECK (cut BETWEEN 1 AND 64),
    until  timestamptz NOT NULL
);

-- Which process reads which share of the buckets at which broker. A lease that ran out is nobody's.
CREATE TABLE ingest_lease (
    broker text        NOT NULL CHECK (length(broker) BETWEEN 1 AND 200),
    share  text        NOT NULL CHECK (share ~ '^[0-9a-z-]{1,32}$'),
    worker text        NOT NULL CHECK (length(worker) BETWEEN 1 AND 200),
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (broker, share)
);

GRANT SELECT, INSERT ON ingest_worker, ingest_lease TO aqkol_service;
GRANT UPDATE (until), DELETE ON ingest_worker TO aqkol_service;
GRANT UPDATE (worker, since, until), DELETE ON ingest_lease TO aqkol_service;

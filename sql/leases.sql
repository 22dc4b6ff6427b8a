-- Who reads which share at which broker. The database's clock decides, so that no machine's does.

-- name: beat(worker, cut, lease_s)!
-- Say that a process is there, and into how many shares it cuts the meters.
INSERT INTO ingest_worker (worker, cut, until)
VALUES (:worker, :cut, clock_timestamp() + make_interval(secs => :lease_s))
ON CONFLICT (worker) DO UPDATE SET until = EXCLUDED.until;

-- name: list_workers()
-- List the processes that are there.
SELECT worker, cut FROM ingest_worker WHERE until > clock_timestamp();

-- name: list_leases()
-- List every share that was ever read and not given up, who reads it, and since when.
SELECT broker, share, worker, since, until > clock_timestamp() AS live
FROM ingest_lease
ORDER BY broker, share;

-- name: take_lease(broker, share, worker, lease_s)$
-- Take a share that is free, or keep one that is ours; return our name, or null if another has it.
INSERT INTO ingest_lease AS lease (broker, share, worker, since, until)
VALUES (
    :broker, :share, :worker, clock_timestamp(),
    clock_timestamp() + make_interval(secs => :lease_s)
)
ON CONFLICT (broker, share) DO UPDATE SET
    worker = EXCLUDED.worker,
    since = CASE lease.worker WHEN EXCLUDED.worker THEN lease.since ELSE EXCLUDED.since END,
    until = EXCLUDED.until
WHERE lease.worker = EXCLUDED.worker OR lease.until <= clock_timestamp()
RETURNING worker;

-- name: give_lease(broker, share, worker)!
-- Give a share back; its row stays, since the broker still keeps its session.
UPDATE ingest_lease SET until = clock_timestamp()
WHERE broker = :broker AND share = :share AND worker = :worker;

-- name: give_up_lease(broker, share, worker)!
-- Forget a share that nobody will read again: its session is empty and listens to nothing.
DELETE FROM ingest_lease WHERE broker = :broker AND share = :share AND worker = :worker;

-- name: end_leases(workers)!
-- Give back everything that these processes hold: they have ended.
UPDATE ingest_lease SET until = clock_timestamp()
WHERE worker = ANY (:workers::text[]) AND until > clock_timestamp();

-- name: forget_workers(workers)!
-- Forget processes that have ended, and those that nobody has heard of for a day.
DELETE FROM ingest_worker
WHERE worker = ANY (:workers::text[]) OR until < clock_timestamp() - interval '1 day';

-- name: ask_about_firmware(meter_ids, firmwares, prefix_min, at)
-- Put meters to a person that claim a firmware the town has not approved for their type, unless a
-- person was asked since the town's last word on the type; return the claims that are settled:
-- approved, asked about, or of a type without a list.
WITH claim AS (
    SELECT c.meter_id, c.firmware, m.meter_type,
           'says it runs ' || encode(c.firmware, 'hex') || ', not approved for ' || m.meter_type
               AS detail,
           NOT EXISTS (SELECT FROM firmware_word w WHERE w.meter_type = m.meter_type)
           OR EXISTS (
               SELECT FROM firmware_word w
               WHERE w.meter_type = m.meter_type AND w.approved
                   AND length(c.firmware) >= :prefix_min::integer
                   AND substring(w.firmware_digest FOR length(c.firmware)) = c.firmware
                   AND NOT EXISTS (
                       SELECT FROM firmware_word later
                       WHERE later.meter_type = w.meter_type
                           AND later.firmware_digest = w.firmware_digest
                           AND later.revision > w.revision
                   )
           ) AS fine
    FROM unnest(:meter_ids::text[], :firmwares::bytea[]) AS c (meter_id, firmware)
    JOIN meter m ON m.meter_id = c.meter_id
),
known AS (
    SELECT c.meter_id, c.firmware
    FROM claim c
    JOIN meter_case k ON k.meter_id = c.meter_id AND k.kind = 'unknown_firmware'
        AND k.detail = c.detail
    WHERE NOT c.fine AND (
        k.closed_at IS NULL
        OR k.closed_at >= (
            SELECT max(w.said_at) FROM firmware_word w WHERE w.meter_type = c.meter_type
        )
    )
),
asked AS (
    INSERT INTO meter_case (meter_id, kind, detail, opened_at)
    SELECT c.meter_id, 'unknown_firmware', c.detail, :at::timestamptz
    FROM claim c
    WHERE NOT c.fine AND NOT EXISTS (
        SELECT FROM known k WHERE k.meter_id = c.meter_id AND k.firmware = c.firmware
    )
    ORDER BY c.meter_id, c.firmware
    ON CONFLICT (meter_id, kind) WHERE closed_at IS NULL DO NOTHING
    RETURNING meter_id, detail
)
SELECT c.meter_id, c.firmware
FROM claim c
WHERE c.fine
    OR EXISTS (SELECT FROM known k WHERE k.meter_id = c.meter_id AND k.firmware = c.firmware)
    OR EXISTS (SELECT FROM asked a WHERE a.meter_id = c.meter_id AND a.detail = c.detail)
ORDER BY c.meter_id, c.firmware;

-- name: list_firmware(meter_type, every)
-- List the town's words on the firmware of a type of meter, or of all types, the newest first.
SELECT meter_type, firmware_digest, revision, approved, because, said_by, said_at
FROM firmware_word
WHERE :every::boolean OR meter_type = :meter_type::text
ORDER BY said_at DESC, meter_type, firmware_digest, revision DESC;

-- name: find_firmware(meter_type, firmware_digest)^
-- Find the town's last word on one firmware of one type of meter.
SELECT meter_type, firmware_digest, revision, approved, because, said_by, said_at
FROM firmware_word
WHERE meter_type = :meter_type AND firmware_digest = :firmware_digest
ORDER BY revision DESC
LIMIT 1;

-- name: say_firmware(meter_type, firmware_digest, revision, approved, because, said_by, said_at)!
-- Keep a word of the town on a firmware.
INSERT INTO firmware_word (
    meter_type, firmware_digest, revision, approved, because, said_by, said_at
) VALUES (
    :meter_type, :firmware_digest, :revision, :approved, :because, :said_by, :said_at
);

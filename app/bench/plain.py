"""What a tutorial would write: one message, one row, one commit. The measure below ours.

It runs as its own process: ``python -m app.bench.plain MQTT-URL DATABASE-URL MESSAGES``, says
when it listens, and ends after so many rows. The broker's acknowledgement goes out before the row
is safe.
"""

import asyncio
import json
import sys
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
import asyncpg

import sql

_Q: Final = sql.queries("owner/bench")


async def listen(mqtt_url: str, database_url: str, messages: int) -> None:
    """Write rows until there are enough."""
    broker = urlsplit(mqtt_url)
    connection = await asyncpg.connect(database_url)
    async with aiomqtt.Client(
        broker.hostname or "", broker.port or 1883, protocol=aiomqtt.ProtocolVersion.V5
    ) as client:
        await client.subscribe("gas/v1/+/+/up/json", qos=1)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        rows = 0
        async for message in client.messages:
            said = json.loads(bytes(message.payload))
            for reading in said["readings"]:
                await _Q.add_row(
                    connection,
                    meter_id=said["meter"],
                    read_at=datetime.fromisoformat(reading["at"]),
                    register_dm3=reading["dm3"],
                    counter=said["counter"],
                )
            rows += 1
            if rows == messages:
                break
    await connection.close()


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], sys.argv[2], int(sys.argv[3])))

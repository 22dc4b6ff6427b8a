"""A process that runs one of our servers until it is killed; started by the tests beside this file.

    server_process.py postgres|mosquitto HOME
It prints one JSON line {"url", "pid"} when the server answers, and stops it when its input ends.
"""

import asyncio
import json
import sys
from pathlib import Path

from app import logs
from app.servers.child import Server
from app.servers.mosquitto import Mosquitto
from app.servers.postgres import Postgres


async def main(name: str, home: Path) -> None:
    logs.configure("json")
    servers: dict[str, Server] = {
        "postgres": Postgres(home=home, options={"fsync": "off"}),
        "mosquitto": Mosquitto(home=home),
    }
    server = servers[name]
    url = await server.start()
    sys.stdout.write(json.dumps({"url": url, "pid": server.pid}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

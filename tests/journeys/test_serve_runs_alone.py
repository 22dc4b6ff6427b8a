"""The README's own commands, word for word, against servers started by hand."""

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import asyncpg
import pytest

from tests.serving import Serve, command, environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ASK = re.compile(r"^ask (\w+) (\S+)(?: -d '(.*)')?$", re.MULTILINE)
SET_UP = re.compile(
    r"^cat > home\.json <<'JSON'\n(.*)\nJSON\n\./aqkol (tariff set-up home\.json .*)$", re.MULTILINE
)
PUBLISH = re.compile(r"^mosquitto_pub .*-t (\S+) -m '(.*)'$", re.MULTILINE)


async def ask(
    session: aiohttp.ClientSession, url: str, token: str, method: str, body: str | None
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with session.request(method, url, data=body or None, headers=headers) as answer:
        return answer.status, await answer.json()


async def tell(port: int, topic: str, telegram: str) -> dict[str, Any]:
    """Publish as the README says, or without Mosquitto's client as anybody; return the receipt."""
    publish = shutil.which("mosquitto_pub")
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as meter:
        await meter.subscribe(topic.replace("/up/json", "/down/receipt"), qos=1)
        if publish is None:
            await meter.publish(topic, telegram, qos=1)
        else:
            words = [publish, "-V", "5", "-q", "1", "-p", str(port), "-t", topic, "-m", telegram]
            process = await asyncio.create_subprocess_exec(*words)
            assert await process.wait() == 0
        message = await anext(aiter(meter.messages))
        found: dict[str, Any] = json.loads(bytes(message.payload))
    return found


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_serve_runs_alone(
    database_url: str,
    owner: asyncpg.Connection,
    own_mosquitto: Any,
    start_bank: Any,
    tmp_path: Path,
) -> None:
    """What the README tells a newcomer to type works, and its telegram ends up in the API."""
    await owner.execute("DROP SCHEMA public CASCADE")
    await owner.execute("CREATE SCHEMA public")
    bank = await start_bank()
    env = environment(
        database_url=database_url,
        mqtt_url=own_mosquitto.url,
        state=tmp_path / "state",
        AQKOL_BANK_URL=bank.url,
        AQKOL_BANK_TOKEN=bank.token,
    )
    [(topic, telegram)] = PUBLISH.findall(README)
    asked = ASK.findall(README)
    assert len(asked) == 4
    [(price, words)] = SET_UP.findall(README)
    file = tmp_path / "home.json"
    file.write_text(price, encoding="utf-8")

    served = await Serve.start(env, "--migrate")
    await command(env, *(str(file) if one == file.name else one for one in shlex.split(words)))
    token = await command(env, "token", "operator")
    async with aiohttp.ClientSession() as session:
        for method, path, body in asked[:3]:
            status, answer = await ask(session, served.url + path, token, method, body)
            assert status == 201, answer
        receipt = await tell(own_mosquitto.port, topic, telegram)
        ready = await ask(session, f"{served.url}/readyz", token, "GET", None)
        method, path, _ = asked[3]
        status, page = await ask(session, served.url + path, token, method, None)
    assert await served.stop() == 0

    assert ready == (200, {"ready": True, "checks": {"database": True, "broker-1": True}})
    assert receipt["receipts"] == [{"counter": 42, "result": "stored"}]
    assert status == 200
    [reading] = page["readings"]
    assert (reading["register_dm3"], reading["verdict"]) == (1_234_567, "billable")
    assert reading["read_at"] == "2025-12-31T19:00:00Z"

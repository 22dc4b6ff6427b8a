"""Hostile requests, made up from our own document and sent to a running server."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tests.app.api_town import Api, bill, served

# What is left out, and why: rules between two fields, or between a field and the database, cannot
# be said in a schema, so that a valid body may be refused with 422.
CHECKS_LEFT_OUT: Final = "positive_data_acceptance"
CASES_MIN: Final = 2_000
EXAMPLES_PER_OPERATION: Final = 5


def prepared(folder: Path, settings: str) -> Path:
    folder.mkdir()
    (folder / "settings.toml").write_text(settings, encoding="utf-8")
    return folder


async def attack(api: Api, folder: Path, token: str) -> dict[str, Any]:
    """Run schemathesis as a program of its own; return its report."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(folder / "settings.toml"),
        "run",
        f"{api.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--checks",
        "all",
        "--exclude-checks",
        CHECKS_LEFT_OUT,
        "--max-examples",
        str(EXAMPLES_PER_OPERATION),
        "--seed",
        "7",
        "--continue-on-failure",
        "--no-shrink",
        "--warnings",
        "off",
        "--generation-database",
        "none",
        "--report-json-path",
        str(folder / "report.json"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        pytest.fail(said.decode(errors="replace"))
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.slow
@pytest.mark.timeout(580)
class TestHostileRequests:
    """Two thousand requests that nobody should send ..."""

    async def test_find_no_error_of_ours_and_no_answer_we_did_not_announce(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, tmp_path: Path
    ) -> None:
        """No 5xx, no status, header or body that the document does not know, for both roles.

        The resident asks for the own account, or every answer would be the same 404.
        """
        async with served(pool, owner) as api:
            await bill(api)
            own = '[parameters]\n"path.account_id" = "A-1"\n'
            reports = [
                await attack(api, prepared(tmp_path / "operator", ""), api.operator),
                await attack(api, prepared(tmp_path / "resident", own), api.resident),
            ]

        for report in reports:
            assert report["operations"]["tested"] == report["operations"]["total"]
            assert [phase["status"] for phase in report["phases"].values()] == ["success"] * 4
        assert sum(cases(report) for report in reports) >= CASES_MIN


def cases(report: dict[str, Any]) -> int:
    """Count the requests whose answers were looked at."""
    counts = report["test_cases"]
    return int(counts["generated"]) - int(counts["without_checks"])

"""A meter goes on at another level: readings agree, a person confirms, and the books add up."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from billing.audit import AuditReport, audit
from billing.io.store import BillingStore
from billing.period import Period
from billing.window import window_of
from metering.ingest import ingest
from metering.io.findings import Findings
from metering.io.store import Store
from metering.telegram import Arrival
from metering.validate import validate
from simulators.wire import bucket
from tests.app.api_town import ZONE, Api, bill
from tests.app.test_metering_api import kind, read

# Local midnights of February and March 2026; the meter's last trusted register is of the 1st.
FEBRUARY: Final = datetime(2026, 1, 31, 19, tzinfo=UTC)
MARCH: Final = datetime(2026, 2, 28, 19, tzinfo=UTC)
DAY: Final = timedelta(days=1)
# 120 m3 stood on the dial; then somebody changed the counter, and it says 9000 m3 and goes on.
LEVEL: Final = {2: 9_000_000, 3: 9_001_000, 4: 9_003_500, 28: 9_050_000}
SEEN: Final = {
    "because": "counter changed by the maker, protocol 7",
    "before_dm3": 120_000,
    "first_read_at": "2026-02-02T19:00:00Z",
    "first_dm3": 9_000_000,
}


async def jump(api: Api, level: dict[int, int] = LEVEL) -> None:
    """Let the meter tell registers of another level, by days of February after the first."""
    for day, register_dm3 in level.items():
        await read(api, register_dm3, FEBRUARY + day * DAY, None)
    api.clock.advance_to(MARCH + DAY)


async def confirm(api: Api, **changes: object) -> tuple[int, Any]:
    path = "/v1/meters/AQ-000001/rebaseline"
    return await api.call("POST", path, token=api.operator, json={**SEEN, **changes})


async def shown(api: Api) -> tuple[int, Any]:
    return await api.call("GET", "/v1/meters/AQ-000001/rebaseline", token=api.operator)


async def billed(api: Api) -> tuple[int, int]:
    """Bill February; return the gas in dm3 and how many bills are held."""
    body = {"period": "2026-02"}
    status, done = await api.call("POST", "/v1/bill-runs", token=api.operator, json=body)
    assert status == 200
    return done["volume_dm3"], done["held"]


async def judged(api: Api) -> None:
    """Let the rules go over February."""
    window = window_of(Period.month(2026, 2), ZONE)
    await validate(store=Findings(api.pool), window=window, at=api.clock.now(), heated=False)


async def audited(api: Api) -> AuditReport:
    return await audit(store=BillingStore(api.pool), bank=None, at=api.clock.now(), zone=ZONE)


async def kinds(api: Api) -> set[str]:
    return {finding.kind.value for finding in (await audited(api)).findings}


async def stays(api: Api) -> list[tuple[Any, ...]]:
    rows = await api.owner.fetch(
        "SELECT installed_at, opening_dm3, removed_at, closing_dm3, closing_turns FROM installation"
        " WHERE meter_id = 'AQ-000001' ORDER BY installed_at"
    )
    return [tuple(row) for row in rows]


class TestANewLevel:
    """A new level ..."""

    async def test_is_shown_before_it_is_confirmed(self, api: Api) -> None:
        """The person sees what would be ended and what would begin; nothing happens yet."""
        await jump(api)
        before = await stays(api)

        assert await shown(api) == (
            200,
            {
                "meter_id": "AQ-000001",
                "before_read_at": "2026-01-31T19:00:00Z",
                "before_dm3": 120_000,
                "first_read_at": "2026-02-02T19:00:00Z",
                "first_dm3": 9_000_000,
                "last_read_at": "2026-02-28T19:00:00Z",
                "last_dm3": 9_050_000,
                "readings": 4,
                "rule_version": "1",
            },
        )
        assert await stays(api) == before

    async def test_ends_one_stay_and_begins_another(self, api: Api) -> None:
        """At the account it hung at, with whose word it is; the readings stay as they came."""
        await jump(api)
        readings = await api.owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at")

        status, made = await confirm(api)

        assert (status, made["decided_by"], made["readings"]) == (201, "a test", 4)
        assert await confirm(api) == (200, made)
        first_at = FEBRUARY + 2 * DAY
        opened = datetime.fromisoformat("2026-01-01T00:00:00+05:00")
        assert await stays(api) == [
            (opened, 20_000, first_at, 120_000, 0),
            (first_at, 9_000_000, None, None, None),
        ]
        assert await api.owner.fetch("SELECT * FROM reading ORDER BY meter_id, read_at") == readings
        _, held = await api.call("GET", "/v1/readings/held", token=api.operator)
        assert held["readings"] == []

    async def test_is_billed_without_the_jump_and_the_books_add_up(self, api: Api) -> None:
        """120 m3 to 120, then 9000 m3 to 9050: 50 m3. The proposal held the bill until then."""
        await read(api, 190_000, MARCH, 0, "AQ-000002")
        await bill(api)
        await jump(api)
        await judged(api)
        # A-2 used 70 m3 after 100 in January: no question.
        assert await billed(api) == (70_000, 1)

        assert (await confirm(api))[0] == 201

        assert await billed(api) == (50_000, 0)
        assert not {one for one in await kinds(api) if one.startswith("usage")}
        line = await api.owner.fetch(
            "SELECT opening_register_dm3, closing_register_dm3, volume_dm3 FROM usage"
            " WHERE meter_id = 'AQ-000001' AND period_start = '2026-02-01' ORDER BY from_at"
        )
        assert [tuple(row) for row in line] == [
            (120_000, 120_000, 0),
            (9_000_000, 9_050_000, 50_000),
        ]

    async def test_is_checked_by_the_audit(self, api: Api) -> None:
        """Whoever moves the end of the old stay afterwards is found: periods no longer add up."""
        await bill(api)
        await jump(api)
        await judged(api)
        await confirm(api)
        await billed(api)
        clean = await kinds(api)

        await api.owner.execute(
            "UPDATE installation SET closing_dm3 = 9000000 WHERE closing_dm3 > 0"
        )

        assert {one for one in await kinds(api) - clean if one.startswith("usage")}

    async def test_is_believed_by_a_running_ingest(self, api: Api) -> None:
        """The next telegram continues the new line, in a process that knew the old one."""
        store = Store(api.pool)

        async def tell(counter: int, at: datetime, register_dm3: int) -> str:
            body = (
                f'{{"meter":"AQ-000001","counter":{counter},'
                f'"readings":[{{"at":"{at.isoformat()}","dm3":{register_dm3}}}]}}'
            )
            topic = f"gas/v1/{bucket('AQ-000001')}/AQ-000001/up/json"
            arrival = Arrival(topic=topic, payload=body.encode(), retained=False, handle=None)
            await ingest([arrival], store=store, at=MARCH + 2 * DAY)
            return str(
                await api.owner.fetchval(
                    "SELECT verdict FROM reading WHERE meter_id = 'AQ-000001' AND read_at = $1", at
                )
            )

        for counter, (day, register_dm3) in enumerate(LEVEL.items(), start=10):
            assert await tell(counter, FEBRUARY + day * DAY, register_dm3) == "suspect"
        api.clock.advance_to(MARCH + DAY)
        assert (await confirm(api))[0] == 201

        assert await tell(20, MARCH + DAY, 9_051_000) == "billable"


class TestRefusals:
    """A new level is refused ..."""

    async def test_while_the_readings_do_not_agree(self, api: Api) -> None:
        """Two are too few, and one that fell back begins the count anew."""
        await jump(api, {2: 9_000_000, 3: 9_001_000, 4: 8_980_000, 5: 8_981_000})

        assert kind(await shown(api)) == (409, "not-consistent")
        assert kind(await confirm(api)) == (409, "not-consistent")

    async def test_when_another_was_shown(self, api: Api) -> None:
        """A page left open for a week must not confirm what nobody has looked at."""
        await jump(api)
        for changes in ({"first_dm3": 9_001_000}, {"before_dm3": 119_999}):
            assert kind(await confirm(api, **changes)) == (409, "proposal-differs")
        assert kind(await confirm(api, first_read_at="2026-02-03T19:00:00Z")) == (
            409,
            "proposal-differs",
        )
        assert len(await stays(api)) == 1
        assert (await confirm(api))[0] == 201
        assert kind(await confirm(api, first_dm3=9_001_000)) == (409, "proposal-differs")

    async def test_without_a_meter_that_hangs(self, api: Api) -> None:
        """No meter, or one that was taken down: there is no stay to end."""
        path = "/v1/meters/AQ-000009/rebaseline"
        assert kind(await api.call("GET", path, token=api.operator)) == (404, "not-found")
        await api.owner.execute(
            "UPDATE installation SET removed_at = $1, closing_dm3 = 120000, closing_turns = 0",
            FEBRUARY + DAY,
        )
        assert kind(await shown(api)) == (409, "not-installed")

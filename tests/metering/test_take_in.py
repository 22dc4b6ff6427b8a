"""Whole files against a real database."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import sheet as limits
from metering import take_in as verb
from metering.ingest import ingest
from metering.io.blob import Blob, BlobTooLargeError, Spool
from metering.io.store import Store
from metering.io.uploads import (
    Uploads,
    UploadUnknownError,
    UploadUnreadableError,
    receive,
)
from metering.row_answer import RowAnswer, RowCounts
from metering.take_in import Letter, Report, Step, UploadOvertakenError
from metering.upload import Manner
from tests.metering.test_ingest import AT, DAY, INSTALLED, day, hang, telegram

HEAD = "meter,at,dm3\n"
PLAIN = Manner()


def line(meter: str, number: int, register_dm3: int) -> str:
    return f"{meter},{day(number).isoformat()},{register_dm3}\n"


def file(*lines: str) -> bytes:
    return (HEAD + "".join(lines)).encode()


async def send(pool: asyncpg.Pool, data: bytes, manner: Manner = PLAIN, **more: Any) -> Report:
    """Send a file as an operator does."""
    with Spool(limits.FILE_BYTES_MAX) as spool:
        spool.add(data)
        return await receive(
            spool.blob(), manner, sent_by="a test", uploads=Uploads(pool=pool), at=AT, **more
        )


def told(report: Report) -> list[tuple[object, ...]]:
    return [(it.row_no, it.meter_id, it.result.value, reason(it)) for it in report.answers]


def reason(answer: RowAnswer) -> str | None:
    return answer.reason and answer.reason.value


async def tables(owner: asyncpg.Connection) -> dict[str, int]:
    """Count the rows of every table there is, partitions of their own included."""
    names = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p')"
    )
    return {name: await owner.fetchval(f'SELECT count(*) FROM "{name}"') for (name,) in names}


async def contents(owner: asyncpg.Connection) -> list[list[tuple[object, ...]]]:
    """Return all that uploads leave of readings and evidence, but when."""
    queries = (
        "meter_id, counter, digest, readings, flags, trust, key_epoch FROM telegram",
        "meter_id, read_at, register_dm3, turns, verdict, reason, counter, key_epoch FROM reading",
        "sender, digest, reason, detail, topic, payload, times FROM refused_telegram",
    )
    return [
        [tuple(row.values()) for row in await owner.fetch(f"SELECT {query} ORDER BY 1, 2, 3")]
        for query in queries
    ]


class TestAFile:
    """A file of an operator ..."""

    async def test_is_taken_in_row_by_row(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """One of each: what is stored, what is kept as suspect, what is refused, and why."""
        await hang(owner)
        await hang(owner, "AQ-000002", dial_dm3=100_000, opening_dm3=99_000)
        await owner.execute("UPDATE meter SET state = 'pending' WHERE meter_id = 'AQ-000002'")
        await hang(owner, "AQ-000003", dial_dm3=100_000, opening_dm3=99_000)

        report = await send(
            pool,
            file(
                line("AQ-000001", 1, 1000),
                line("AQ-000001", 2, 9_999_999),
                line("AQ-000001", 3, 3000),
                line("AQ-000001", 1, 1000),
                line("AQ-000001", 1, 1001),
                line("AQ-000404", 1, 1000),
                line("AQ-000002", 1, 99_100),
                line("AQ-000003", 1, 99_900),
                line("AQ-000003", 2, 200),
                "AQ-000003,2026-01-04\n",
                "=1+1,2026-01-04T00:00:00Z,5\n",
            ),
        )

        assert told(report) == [
            (3, "AQ-000001", "suspect", "too_fast"),
            (6, "AQ-000001", "refused", "counter_conflict"),
            (7, "AQ-000404", "refused", "unknown_meter"),
            (8, "AQ-000002", "refused", "meter_pending"),
            (10, "AQ-000003", "flagged", "rollover"),
            (11, "AQ-000003", "refused", "half_row"),
            (12, None, "refused", "bad_meter"),
        ]
        assert report.counts == RowCounts(stored=3, repeated=1, refused=5, suspect=1, flagged=1)
        kept = await owner.fetch(
            "SELECT DISTINCT trust, key_epoch, readings FROM telegram ORDER BY 1"
        )
        assert [tuple(row.values()) for row in kept] == [("uploaded", -2, 1)]
        evidence = await owner.fetch(
            "SELECT sender, reason, topic, payload FROM refused_telegram ORDER BY sender, payload"
        )
        assert [tuple(row.values()) for row in evidence] == [
            ("", "bad_shape", "upload", b"=1+1,2026-01-04T00:00:00Z,5"),
            ("", "unknown_meter", "upload", line("AQ-000404", 1, 1000).strip().encode()),
            (
                "AQ-000001",
                "counter_conflict",
                "upload",
                line("AQ-000001", 1, 1001).strip().encode(),
            ),
            ("AQ-000002", "meter_pending", "upload", line("AQ-000002", 1, 99_100).strip().encode()),
            ("AQ-000003", "bad_shape", "upload", b"AQ-000003,2026-01-04"),
        ]

    async def test_may_speak_for_a_meter_that_signs(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The operator's name stands on it; a walk-by is how a silent signing meter is read."""
        await hang(owner)
        await owner.execute(
            "INSERT INTO device_key (meter_id, key_epoch, algorithm, public_key, kid, origin,"
            " added_at) VALUES ('AQ-000001', 1, 'EdDSA', sha256('key'), 'AQ-00001', 'device', $1)",
            INSTALLED,
        )

        report = await send(pool, file(line("AQ-000001", 1, 1000)))

        assert report.counts == RowCounts(stored=1)

    async def test_is_remembered(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """Whoever asks a week later finds what was refused and why."""
        await hang(owner)
        report = await send(pool, file(line("AQ-000001", 1, 1000), "x\n"))
        assert report.upload_id is not None

        uploads = Uploads(pool=pool)
        found = await uploads.find(report.upload_id)
        rows = await uploads.rows(report.upload_id, after=0, page=10)

        assert (found.state, found.rows, found.rows_done, found.stored, found.refused) == (
            "done", 2, 2, 1, 1,
        )  # fmt: skip
        assert found.sent_by == "a test"
        assert [(row.row_no, row.result, row.reason) for row in rows] == [
            (3, "refused", "half_row")
        ]
        with pytest.raises(UploadUnknownError):
            await uploads.rows(UUID(int=7), after=0, page=10)

    async def test_keeps_no_more_answers_than_it_may(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rest is counted: a file of nonsense must not fill the disk."""
        monkeypatch.setattr(verb, "ANSWERS_MAX", 3)

        report = await send(pool, file(*(f"x{n}\n" for n in range(9))))

        assert (report.told, len(report.answers), report.counts.refused) == (9, 3, 9)
        assert await owner.fetchval("SELECT count(*) FROM upload_row") == 3


class TestTheSameAgain:
    """What comes again ..."""

    async def test_is_found_repeated(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """The button pressed twice, a part of the file, and a file that overlaps."""
        await hang(owner)
        lines = [line("AQ-000001", n, n * 1000) for n in range(1, 6)]
        await send(pool, file(*lines[:3]))
        before = await contents(owner)

        again = await send(pool, file(*lines[:3]))
        part = await send(pool, file(lines[1]))
        assert before == await contents(owner)
        more = await send(pool, file(*lines[2:]))

        assert [it.counts for it in (again, part, more)] == [
            RowCounts(repeated=3),
            RowCounts(repeated=1),
            RowCounts(stored=2, repeated=1),
        ]

    async def test_by_another_way_is_no_second_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The meter said it over MQTT, and a person read it from the dial at that very instant."""
        await hang(owner)
        await ingest([telegram(1, (day(1), 1000))], store=Store(pool), at=AT)

        report = await send(pool, file(line("AQ-000001", 1, 1000), line("AQ-000001", 2, 2000)))
        contradicting = await send(
            pool, file(f"AQ-000001,{day(1).isoformat()},999\n", line("AQ-000001", 2, 2000))
        )
        await ingest([telegram(2, (day(2), 2000))], store=Store(pool), at=AT)

        assert report.counts == RowCounts(stored=1, repeated=1)
        assert told(contradicting) == [(2, "AQ-000001", "refused", "counter_conflict")]
        found = await owner.fetch("SELECT read_at, register_dm3 FROM reading ORDER BY 1")
        assert [tuple(row.values()) for row in found] == [(day(1), 1000), (day(2), 2000)]

    async def test_as_another_register_is_refused(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The meter's own word stands, and the other is evidence."""
        await hang(owner)
        await ingest([telegram(1, (day(1), 1000))], store=Store(pool), at=AT)

        report = await send(pool, file(line("AQ-000001", 1, 999)))

        assert told(report) == [(2, "AQ-000001", "refused", "reading_conflict")]


class TestAFileInParts:
    """A file cut into parts ..."""

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        rows=st.lists(
            st.tuples(
                st.sampled_from(["AQ-000001", "AQ-000002", "AQ-000404"]),
                st.integers(0, 12),
                st.sampled_from([0, 100, 1000, 5000, 99_900, 2**24 - 1]),
            ).map(lambda it: line(*it))
            | st.sampled_from(["x\n", "AQ-000001,2026\n", 'AQ-000002,"\n', "\n"]),
            max_size=30,
        ),
        cuts=st.sets(st.integers(1, 29), max_size=4),
        chunk_rows=st.integers(1, 12),
    )
    def test_gives_the_same_database(
        self, database_url: str, rows: Sequence[str], cuts: set[int], chunk_rows: int
    ) -> None:
        """Contradictions and nonsense included, whatever the chunks: nothing hangs on the cut.

        A cell that stays open swallows what comes after it, so its line stands alone in a file.
        """
        rows = [it for it in rows if '"' not in it]

        async def both() -> None:
            owner = await asyncpg.connect(database_url)
            pool = await asyncpg.create_pool(
                database_url, min_size=1, max_size=2, server_settings={"role": "aqkol_service"}
            )
            whole = await _left_by(owner, pool, [rows])
            limits_before, limits.CHUNK_ROWS = limits.CHUNK_ROWS, chunk_rows  # type: ignore[misc]
            try:
                places = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
                parts = [rows[a:b] for a, b in pairwise(places)]
                cut_up = await _left_by(owner, pool, parts)
                if any(it.strip() for it in rows):
                    await send(pool, file(*rows))
                again = await contents(owner)
            finally:
                limits.CHUNK_ROWS = limits_before  # type: ignore[misc]
            await pool.close()
            await owner.close()
            assert whole == cut_up
            # Evidence counts how often it came; of telegrams and readings there are no more.
            assert again[:2] == whole[:2]

        asyncio.run(both())

    async def test_in_any_order_gives_the_same_readings(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """Registers that fit each other are believed whoever comes first."""
        await hang(owner)
        lines = [line("AQ-000001", n, n * 1000) for n in range(40)]
        await send(pool, file(*lines))
        straight = await contents(owner)
        await _empty(owner)
        await hang(owner)

        random.Random(7).shuffle(lines)  # noqa: S311 - a seeded shuffle
        for start in range(0, 40, 7):
            await send(pool, file(*lines[start : start + 7]))

        assert await contents(owner) == straight


async def _left_by(
    owner: asyncpg.Connection, pool: asyncpg.Pool, parts: Sequence[Sequence[str]]
) -> list[list[tuple[object, ...]]]:
    await _empty(owner)
    await hang(owner)
    await hang(owner, "AQ-000002", dial_dm3=100_000, opening_dm3=99_000)
    for part in parts:
        if any(it.strip() for it in part):
            await send(pool, file(*part))
    return await contents(owner)


async def _empty(owner: asyncpg.Connection) -> None:
    await owner.execute(
        "TRUNCATE meter, installation, telegram, reading, refused_telegram, upload, upload_row"
        " CASCADE"
    )


class TestADryRun:
    """A dry run ..."""

    async def test_writes_nothing_at_all(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """No row in any table, and no room made for a month; even a file that cannot be read."""
        await hang(owner)
        await ingest([telegram(1, (day(1), 1000))], store=Store(pool), at=AT)
        before = await tables(owner)
        versions = await owner.fetch("SELECT * FROM bucket ORDER BY 1")

        report = await send(
            pool,
            file(
                line("AQ-000001", 2, 2000), line("AQ-000001", -400, 7), line("AQ-404", 1, 1), "x\n"
            ),
            dry_run=True,
        )
        with pytest.raises(UploadUnreadableError, match=r"^bad_encoding at line 1, byte 1: "):
            await send(pool, b"\xff\xfe", dry_run=True)

        assert report.upload_id is None
        assert report.counts == RowCounts(stored=1, suspect=1, refused=2)
        assert await tables(owner) == before
        assert await owner.fetch("SELECT * FROM bucket ORDER BY 1") == versions

    async def test_foretells_every_answer(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same decision, although each chunk is forgotten before the next one."""
        monkeypatch.setattr(limits, "CHUNK_ROWS", 5)
        for number in range(1, 5):
            await hang(owner, f"AQ-00000{number}")
        dice = random.Random(11)  # noqa: S311 - seeded dice
        lines = [
            line(f"AQ-00000{dice.randint(1, 5)}", dice.randint(-1, 9), dice.choice((1, 50, 900)))
            for _ in range(120)
        ]

        foretold = await send(pool, file(*lines), dry_run=True)
        came = await send(pool, file(*lines))

        assert foretold.counts == came.counts
        assert foretold.answers == came.answers
        assert min(came.counts.stored, came.counts.repeated, came.counts.refused) > 0


WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class _StoppedError(Exception):
    """The power went."""


class TestAKilledUpload:
    """An upload that is killed in the middle ..."""

    async def test_goes_on_when_the_file_comes_again(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wherever it was killed, the end is the same, and each row is counted once."""
        monkeypatch.setattr(limits, "CHUNK_ROWS", 4)
        lines = [
            line(f"AQ-00000{meter}", n, n * 1000) for n in range(1, 5) for meter in range(1, 6)
        ]
        data = file(*lines, "x\n", line("AQ-404", 1, 1))
        whole = await self._lives(pool, owner, data, [])

        for deaths in ([4], [8, 12], [1, 2, 3, 21]):
            assert await self._lives(pool, owner, data, deaths) == whole

    async def _lives(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, data: bytes, deaths: list[int]
    ) -> object:
        await _empty(owner)
        for meter in range(1, 6):
            await hang(owner, f"AQ-00000{meter}")

        def die_at(place: int) -> verb.Progress:
            def progress(done: int, _rows: int) -> None:
                if done >= place:
                    raise _StoppedError

            return progress

        for place in deaths:
            with suppress(_StoppedError):
                await send(pool, data, progress=die_at(place))
        if deaths:
            assert await owner.fetchval("SELECT count(*) FROM upload WHERE state = 'done'") <= 1
        if await owner.fetchval("SELECT count(*) FROM upload WHERE state = 'done'") == 0:
            await send(pool, data)
        uploads = await owner.fetch(
            "SELECT state, rows, rows_done, rows_kept, stored, repeated, refused FROM upload"
        )
        rows = await owner.fetch(
            "SELECT row_no, meter_id, result, reason FROM upload_row ORDER BY 1"
        )
        return (
            [tuple(it.values()) for it in uploads],
            [tuple(it.values()) for it in rows],
            await contents(owner),
        )

    async def test_is_not_gone_on_with_twice(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two people send one file at once: one of them does it, each row is counted once."""
        monkeypatch.setattr(limits, "CHUNK_ROWS", 2)
        for meter in range(1, 9):
            await hang(owner, f"AQ-00000{meter}")
        data = file("x\n", *(line(f"AQ-00000{meter}", 1, 500) for meter in range(1, 9)))

        async with owner.transaction():
            # Nobody may judge a reading now, so all three wait for the same first chunk.
            await owner.execute("SELECT * FROM bucket FOR UPDATE")
            sending = [asyncio.create_task(send(pool, data)) for _ in range(3)]
            async with asyncio.timeout(20):
                while await owner.fetchval(WAITING) < 3:
                    # What a transaction has seen of the others it goes on seeing.
                    await owner.execute("SELECT pg_stat_clear_snapshot()")
        ends = await asyncio.gather(*sending, return_exceptions=True)

        assert sorted(type(end).__name__ for end in ends) == [
            "Report",
            "UploadOvertakenError",
            "UploadOvertakenError",
        ]
        sums = await owner.fetchrow(
            "SELECT sum(stored), count(*) FILTER (WHERE state = 'running') FROM upload"
        )
        assert tuple(sums.values()) == (8, 0)
        # Whoever was overtaken has written nothing at all, evidence included.
        assert await owner.fetchval("SELECT sum(times) FROM refused_telegram") == 1
        assert await owner.fetchval("SELECT count(*) FROM reading") == 8


class TestAStep:
    """A step of an upload ..."""

    async def test_begins_where_the_upload_stands(self, pool: asyncpg.Pool) -> None:
        """One that was taken already, or that leaves something out, is nobody's to take."""
        uploads = Uploads(pool=pool)
        letter = Letter(digest=b"d" * 32, size_bytes=9, manner=PLAIN, sent_by="a test")
        begun = await uploads.begin(letter, rows=9, at=AT)

        async def step(start: int, end: int) -> None:
            async with uploads.batch(()) as batch:
                await batch.move(
                    Step(
                        upload_id=begun.upload_id,
                        start=start,
                        end=end,
                        counts=RowCounts(stored=end - start),
                        answers=(),
                    ),
                    at=AT,
                )

        await step(0, 4)
        for wrong in ((0, 4), (0, 9), (3, 9), (5, 9)):
            with pytest.raises(UploadOvertakenError):
                await step(*wrong)
        again = await uploads.begin(letter, rows=9, at=AT)
        await step(4, 9)

        assert (again.upload_id, again.rows_done) == (begun.upload_id, 4)
        assert (await uploads.find(begun.upload_id)).state == "done"
        assert (await uploads.begin(letter, rows=9, at=AT)).upload_id != begun.upload_id


class TestWhatCannotBeRead:
    """A file that cannot be read ..."""

    async def test_is_refused_kept_counted_and_shown(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """The wrong encoding twice: two uploads that failed, one piece of evidence, two times."""
        data = HEAD.encode() + "счёт".encode("cp1251")
        for _ in range(2):
            with pytest.raises(UploadUnreadableError, match="bad_encoding at line 2, byte 14"):
                await send(pool, data)

        uploads = Uploads(pool=pool)
        found = await uploads.newest(
            before=AT + DAY,
            before_upload=UUID(int=0),
            page=9,
        )
        evidence = await owner.fetchrow(
            "SELECT reason, detail, payload, times FROM refused_telegram"
        )

        assert [(it.state, it.reason, it.rows) for it in found] == [
            ("failed", "bad_encoding", 0)
        ] * 2
        assert found[0].detail == "bad_encoding at line 2, byte 14: not utf-8"
        assert tuple(evidence.values()) == (
            "bad_shape", "bad_encoding at line 2, byte 14: not utf-8", data, 2,
        )  # fmt: skip

    async def test_may_be_empty(self, pool: asyncpg.Pool) -> None:
        """Nothing at all cannot be mapped, and is still an answer."""
        with pytest.raises(UploadUnreadableError, match=r"^empty"):
            await send(pool, b"")


class TestARowTheDatabaseRefuses:
    """A row that only the database refuses ..."""

    async def test_costs_nobody_else_his_reading(
        self, pool: asyncpg.Pool, owner: asyncpg.Connection
    ) -> None:
        """It is found by halving, refused alone, and the upload is whole."""
        for meter in range(1, 6):
            await hang(owner, f"AQ-00000{meter}")
        await owner.execute(
            "ALTER TABLE telegram ADD CHECK (NOT (meter_id = 'AQ-000003' AND readings = 1))"
        )

        report = await send(
            pool, file(*(line(f"AQ-00000{meter}", 1, 500) for meter in range(1, 6)))
        )

        assert told(report) == [(4, "AQ-000003", "refused", "not_storable")]
        assert report.counts == RowCounts(stored=4, refused=1)


class TestASpool:
    """A spool ..."""

    def test_gives_back_what_came(self) -> None:
        """Piece by piece in, whole out, with its digest."""
        with Spool(6) as spool:
            for piece in (b"abc", b"", b"def"):
                spool.add(piece)
            blob: Blob = spool.blob("text/csv")
            with blob.mapped() as data:
                assert BytesIO(data[:]).read() == b"abcdef"
            assert blob.digest.hex().startswith("bef57ec7f53a6d40")

    def test_takes_no_more_than_it_may(self) -> None:
        """One byte more is too much, before it is written."""
        with Spool(6) as spool:
            spool.add(b"abcdef")
            with pytest.raises(BlobTooLargeError):
                spool.add(b"g")


class TestAFewMonths:
    """Readings of several months ..."""

    async def test_find_room(self, pool: asyncpg.Pool, owner: asyncpg.Connection) -> None:
        """A backfill opens the months it needs, all of them in one chunk."""
        await hang(owner)

        report = await send(pool, file(*(line("AQ-000001", n, n * 1000) for n in (1, 35, 58))))

        assert report.counts == RowCounts(stored=3)

"""A whole file: its encoding, its lines, and the order in which they are taken."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import sheet as limits
from metering.sheet import (
    CHUNK_ROWS,
    FILE_BYTES_MAX,
    METER_ROWS_MAX,
    Sheet,
    UnreadableError,
    read_sheet,
)
from metering.upload import Fault, Manner, Row

HEAD = b"meter,at,dm3\n"
PLAIN = Manner()
CYRILLIC = Manner(encoding="windows-1251")
GOOD = b"AQ-1,2026-01-01T00:00:00Z,5\n"


def rows(data: bytes, manner: Manner = PLAIN) -> list[Row]:
    """Return the rows of a file by their number."""
    sheet = read_sheet(data, manner)
    return sorted(sheet.rows(0, len(sheet)), key=lambda row: row.row_no)


def faults(data: bytes, manner: Manner = PLAIN) -> list[tuple[int, str | None]]:
    return [(row.row_no, row.fault and row.fault.value) for row in rows(data, manner)]


def refused(data: bytes, manner: Manner = PLAIN) -> tuple[str, int | None, int | None]:
    with pytest.raises(UnreadableError) as caught:
        read_sheet(data, manner)
    return caught.value.reason.value, caught.value.line_no, caught.value.byte_no


class TestEncoding:
    """The bytes of a file ..."""

    @pytest.mark.parametrize(
        ("data", "place"),
        [
            ("meter,at,dm3\n".encode("utf-16"), (1, 1)),
            ("meter,at,dm3\n".encode("utf-32"), (1, 1)),
            (b"\xfe\xff\x00m", (1, 1)),
            ("meter,at,dm3\n".encode("utf-16-le"), (1, 2)),
            (HEAD + GOOD + "счёт".encode("cp1251"), (3, 42)),
            (HEAD + b"AQ-1,\xc0\x80,5\n", (2, 19)),
            (HEAD + b"AQ-1,\xed\xa0\x80,5\n", (2, 19)),
            (HEAD + GOOD + b"AQ-\x00", (3, 45)),
            (HEAD + GOOD + b"\xd0", (3, 42)),
        ],
    )
    def test_are_utf_8_unless_declared(self, data: bytes, place: tuple[int, int]) -> None:
        """A wrong guess would change letters without a word; the place is told instead."""
        assert refused(data) == ("bad_encoding", *place)

    def test_are_searched_to_the_end(self) -> None:
        """13 bytes of head, 28 per row: row 5,001 begins at byte 140,014, line 5,002."""
        data = HEAD + GOOD * 5000 + b"\xff" + GOOD

        assert refused(data) == ("bad_encoding", 5002, 140_014)
        assert refused(HEAD + GOOD * 5000 + b"\x00") == ("bad_encoding", 5002, 140_014)

    def test_may_be_cut_anywhere_by_our_own_reading(self) -> None:
        """A letter of two bytes across the end of a piece is still that letter."""
        for shift in range(2):
            line = b"x" * (65_536 - len(HEAD) - 1 - shift) + "я".encode() * 2 + b"\n"

            assert faults(HEAD + line + GOOD) == [(2, "line_too_long"), (3, None)]
            bad = line[:-2] + b"\n"
            assert refused(HEAD + bad) == ("bad_encoding", 2, len(HEAD) + len(bad) - 1)

    def test_may_carry_the_mark_of_utf_8(self) -> None:
        """Excel writes it before the first name."""
        assert faults(b"\xef\xbb\xbf" + HEAD + GOOD) == [(2, None)]

    def test_are_windows_1251_when_declared(self) -> None:
        """Its letters have no place in a cell that we take, and spoil nothing but their row."""
        data = HEAD + GOOD + "счёт,2026-01-01T00:00:00Z,5\n".encode("cp1251")

        assert faults(data, CYRILLIC) == [(2, None), (3, "bad_meter")]
        assert refused(data) == ("bad_encoding", 3, 42)

    def test_do_not_contradict_what_is_declared(self) -> None:
        """A mark of UTF-8 in a file declared as windows-1251, and a byte that it does not have."""
        assert refused(b"\xef\xbb\xbf" + HEAD + GOOD, CYRILLIC) == ("bad_encoding", 1, 1)
        assert refused(HEAD + b"\x98", CYRILLIC) == ("bad_encoding", 2, 14)


class TestLines:
    """The lines of a file ..."""

    def test_are_numbered_as_an_editor_numbers_them(self) -> None:
        """Empty lines are no rows, and keep their numbers."""
        assert faults(HEAD + b"\n" + GOOD + b"  \r\n\r\nx\n") == [(3, None), (6, "half_row")]

    def test_may_end_in_crlf(self) -> None:
        """Windows writes it; the register does not end in a control character."""
        data = (HEAD + GOOD).replace(b"\n", b"\r\n")

        assert faults(data) == [(2, None)]
        assert rows(data)[0].telegram == rows(HEAD + GOOD)[0].telegram

    @pytest.mark.parametrize(
        "half",
        [
            b"AQ-1",
            b"AQ-1,2026-01-01T0",
            b"AQ-1,2026-01-02T00:00:00Z,",
            b"AQ-1,2026-01-02T00:00:00Z,12",
            b'AQ-1,2026-01-02T00:00:00Z,"12',
        ],
    )
    def test_without_an_end_are_half_a_row(self, half: bytes) -> None:
        """12 may be the beginning of 1234567: a plausible register that nobody read."""
        assert faults(HEAD + GOOD + half) == [(2, None), (3, "half_row")]

    def test_of_json_show_their_own_end(self) -> None:
        """A cut object is none, so the last line needs no end."""
        line = b'{"meter": "AQ-1", "at": "2026-01-01T00:00:00Z", "dm3": 51}'

        manner = Manner(json_lines=True)
        assert faults(line + b"\n" + line, manner) == [(1, None), (2, None)]
        assert faults(line + b"\n" + line[:-1], manner) == [(1, None), (2, "not_json")]

    def test_inside_a_cell_are_no_rows(self) -> None:
        """A cell that goes over three lines may hold what looks like a reading; it is a note."""
        data = HEAD + b'AQ-1,2026-01-01T00:00:00Z,"note\n' + GOOD + b'end"\n' + GOOD

        assert faults(data) == [
            (2, "quoted_newline"),
            (3, "quoted_newline"),
            (4, "quoted_newline"),
            (5, None),
        ]

    def test_inside_a_cell_of_a_megabyte_are_no_rows(self) -> None:
        """The mark that opens the cell stands beyond what is kept of the line."""
        long = b"x" * 2**20 + b',"note\n'
        data = HEAD + long + GOOD + b'"\n' + GOOD

        assert faults(data) == [
            (2, "line_too_long"),
            (3, "quoted_newline"),
            (4, "quoted_newline"),
            (5, None),
        ]

    def test_with_a_stray_mark_open_no_cell(self) -> None:
        """Inches after a number spoil their own row only."""
        assert faults(HEAD + b'AQ-1,2026-01-01T00:00:00Z,5"\n' + GOOD) == [
            (2, "bad_quotes"),
            (3, None),
        ]

    def test_of_a_megabyte_are_refused_and_not_kept(self) -> None:
        """4,096 bytes show what it was; the rows after it are taken."""
        found = rows(HEAD + b"9" * 2**20 + b"\n" + GOOD)

        assert [row.fault for row in found] == [Fault.LINE_TOO_LONG, None]
        assert found[0].line == b"9" * 4096


class TestAFile:
    """A file ..."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty"),
            (b"\xef\xbb\xbf", "empty"),
            (HEAD, "empty"),
            (HEAD + b"\n\n", "empty"),
            (b"\n" + HEAD + GOOD, "bad_head"),
            (GOOD, "bad_head"),
            (b"meter,at,dm3,owner\n" + GOOD, "bad_head"),
            (b"m" * 2**20, "bad_head"),
            (HEAD.replace(b"\n", b"\r") + GOOD, "bad_head"),
        ],
    )
    def test_that_says_nothing_is_turned_away(self, data: bytes, reason: str) -> None:
        """Whose column is whose cannot be guessed."""
        assert refused(data)[0] == reason

    def test_has_a_limit_of_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The row after the last one that is taken turns the file away, by its line."""
        monkeypatch.setattr(limits, "ROWS_MAX", 3)

        assert len(read_sheet(HEAD + GOOD * 3, PLAIN)) == 3
        assert refused(HEAD + GOOD * 4) == ("too_many_rows", 5, None)

    def test_has_a_limit_of_rows_of_one_meter(self) -> None:
        """One meter's rows are decided together."""
        assert len(read_sheet(HEAD + GOOD * METER_ROWS_MAX, PLAIN)) == METER_ROWS_MAX
        assert refused(HEAD + GOOD * (METER_ROWS_MAX + 1)) == ("too_many_rows", None, None)

    def test_counts_each_meter_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both meters are in bucket 22; a neighbour's rows are not this one's."""
        monkeypatch.setattr(limits, "METER_ROWS_MAX", 3)
        other = GOOD.replace(b"AQ-1", b"AQ-154")

        assert len(read_sheet(HEAD + GOOD * 3 + other * 3, PLAIN)) == 6

    def test_has_a_limit_of_bytes(self) -> None:
        """Before anything of it is looked at."""
        assert refused(b" " * (FILE_BYTES_MAX + 1)) == ("too_large", None, None)

    def test_costs_sixty_bytes_a_row(self) -> None:
        """Rows are found again by their place; 200,000 of them cost 12 MB at the very most."""
        data = HEAD + b"".join(
            b"AQ-%06d,2026-01-01T00:00:00+05:00,%d\n" % (n, n) for n in range(20_000)
        )
        read_sheet(HEAD + GOOD, PLAIN)
        tracemalloc.start()

        sheet = read_sheet(data, PLAIN)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert max(end - start for start, end in sheet.chunks()) <= CHUNK_ROWS
        assert peak_bytes < 20_000 * 60


class TestOrder:
    """Rows are taken ..."""

    def test_meter_by_meter_as_they_stand(self) -> None:
        """Whoever is before is believed first, so the order of a meter's rows is kept."""
        data = HEAD + b"".join(
            b"%s,2026-01-01T00:00:00Z,%d\n" % (meter, n)
            for n in range(50)
            for meter in (b"AQ-1", b"AQ-2", b"AQ-3")
        )
        sheet = read_sheet(data, PLAIN)
        found = [(row.meter_id, row.row_no) for row in sheet.rows(0, len(sheet))]

        meters = list(dict.fromkeys(meter for meter, _ in found))
        assert sorted(meters) == ["AQ-1", "AQ-2", "AQ-3"]
        assert found == [
            (meter, number) for meter in meters for it, number in sorted(found) if it == meter
        ]

    @given(
        counts=st.lists(st.integers(1, 900), min_size=1, max_size=12),
        whose=st.randoms(use_true_random=False),
    )
    def test_in_chunks_that_cut_no_meter(self, counts: list[int], whose: object) -> None:
        """What is decided of a meter in one chunk needs nothing of another chunk."""
        del whose
        sheet = Sheet(data=b"", manner=PLAIN, head=None)
        for owner, times in enumerate(counts, start=1):
            for _ in range(times * 4):
                sheet.order.append(len(sheet.starts))
                sheet.starts.append(0)
                sheet.owners.append(owner)
        chunks = list(sheet.chunks())

        assert [start for start, _ in chunks] == [0, *[end for _, end in chunks[:-1]]]
        assert chunks[-1][1] == len(sheet)
        owners = [set(sheet.owners[start:end]) for start, end in chunks]
        assert sum(len(it) for it in owners) == len(counts)
        assert all(
            end - start <= CHUNK_ROWS or len(it) == 1
            for (start, end), it in zip(chunks, owners, strict=True)
        )


class TestAnyFile:
    """Whatever bytes come ..."""

    @given(
        data=st.binary(max_size=400)
        | st.lists(
            st.sampled_from(
                [HEAD, GOOD, b'"', b"\n", b"\r\n", b",", "я".encode(), b"\xff", b"\x00", b"{}"]
            ),
            max_size=20,
        ).map(b"".join),
        manner=st.sampled_from([PLAIN, CYRILLIC, Manner(json_lines=True)]),
    )
    def test_are_rows_or_one_reason(self, data: bytes, manner: Manner) -> None:
        """Each row that is there is there once; nothing else is ever raised."""
        try:
            found = rows(data, manner)
        except UnreadableError:
            return

        numbers = [row.row_no for row in found]
        assert numbers == sorted(set(numbers))
        for row in found:
            assert (row.telegram is None) is (row.fault is not None)

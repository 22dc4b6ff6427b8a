"""The reader of bank statements, against files that somebody else's code and a hand wrote."""

from datetime import date

import pytest

from billing.iso.camt053 import Statement, StatementLine, read
from billing.iso.document import (
    FILE_BYTES_MAX,
    CurrencyError,
    EncodingError,
    EntityError,
    FieldError,
    FileError,
    NotXmlError,
    SumError,
    TooLargeError,
    VersionError,
)
from tests.billing.statement_file import IBAN, VERSIONS, balance, entry, part, statement

DAY = date(2026, 2, 10)

# Written by hand after the message definition report of camt.053.001.08.
BY_HAND = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
 <BkToCstmrStmt>
  <GrpHdr><MsgId>1</MsgId><CreDtTm>2026-02-10T23:59:59+05:00</CreDtTm></GrpHdr>
  <Stmt>
   <Id>2026-041</Id>
   <FrToDt><FrDtTm>2026-02-09T00:00:00+05:00</FrDtTm><ToDtTm>2026-02-10T23:59:59+05:00</ToDtTm></FrToDt>
   <Acct><Id><Othr><Id>0001300335</Id></Othr></Id></Acct>
   <Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy="KZT">10.5</Amt>
    <CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-02-08</Dt></Dt></Bal>
   <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="KZT">989.51000</Amt>
    <CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-02-10</Dt></Dt></Bal>
   <Ntry>
    <NtryRef>77</NtryRef><Amt Ccy="KZT">1000.01</Amt><CdtDbtInd>CRDT</CdtDbtInd>
    <Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>2026-02-09T08:15:00+05:00</DtTm></BookgDt>
    <BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>
    <NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>
     <RmtInf><Ustrd>payout AQKOL-7QX2M9K4TA of 6 Feb</Ustrd></RmtInf></TxDtls></NtryDtls>
   </Ntry>
   <Ntry>
    <Amt Ccy="KZT">5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts>
    <BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>
   </Ntry>
  </Stmt>
 </BkToCstmrStmt>
</Document>
"""


def one_payout(version: str = "08", **more: object) -> bytes:
    paid = entry(
        "125000.40",
        DAY,
        version=version,
        ref="PO0001",
        parts=[part(end_to_end_id="AQKOL-7QX2M9K4TA")],
    )
    return statement(
        on=DAY, opening="100.00", closing="125100.40", entries=[paid], version=version, **more
    )


class TestAStatement:
    """What a bank says of our account, in our own words."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_is_read_in_every_version(self, version: str) -> None:
        """Banks move from version to version in their own time; the town must not notice."""
        assert read(one_payout(version)) == (
            Statement(
                statement_id="AQKOL-2026-02-10",
                iban_ending="0335",
                currency="KZT",
                from_on=DAY,
                until_on=DAY,
                opening_minor=100_00,
                closing_minor=125_100_40,
                lines=(
                    StatementLine(
                        entry_ref="PO0001",
                        booked_on=DAY,
                        amount_minor=125_000_40,
                        currency="KZT",
                        end_to_end_id="AQKOL-7QX2M9K4TA",
                        payout_reference="AQKOL-7QX2M9K4TA",
                        status="BOOK",
                        text="",
                    ),
                ),
            ),
        )

    def test_is_read_as_a_hand_wrote_it(self) -> None:
        """Periods with instants, an overdrawn balance, one decimal and five, a text for a name."""
        (found,) = read(BY_HAND.encode())

        assert (found.from_on, found.until_on) == (date(2026, 2, 9), DAY)
        assert (found.opening_minor, found.closing_minor) == (-10_50, 989_51)
        assert found.iban_ending == "0335"
        (line,) = found.lines
        assert (line.entry_ref, line.booked_on) == ("77", date(2026, 2, 9))
        assert (line.end_to_end_id, line.payout_reference) == (None, "AQKOL-7QX2M9K4TA")
        assert line.text == "payout AQKOL-7QX2M9K4TA of 6 Feb"

    def test_counts_what_is_booked_only(self) -> None:
        """A pending entry comes again when it is booked; counted now it would be counted twice."""
        (found,) = read(BY_HAND.encode())

        assert [line.amount_minor for line in found.lines] == [1000_01]

    def test_takes_what_went_out_as_negative(self) -> None:
        """A sign that is lost turns a refund into income."""
        out = entry("30.00", DAY, sign="DBIT", ref="RF1", parts=[part(reason="AC04")])
        (found,) = read(statement(on=DAY, opening="30.00", closing="0", entries=[out]))

        assert [(line.amount_minor, line.reason) for line in found.lines] == [(-30_00, "AC04")]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_takes_a_batch_apart(self, version: str) -> None:
        """A bank without payouts books a day's debits as one entry; each has its own name."""
        parts = [
            part(end_to_end_id="E1", amount="10.01", version=version),
            part(end_to_end_id="E2", amount="20.02", version=version),
        ]
        batch = entry("30.03", DAY, version=version, ref="B1", parts=parts)
        (found,) = read(
            statement(on=DAY, opening="0", closing="30.03", entries=[batch], version=version)
        )

        assert [(one.entry_ref, one.amount_minor, one.end_to_end_id) for one in found.lines] == [
            ("B1/1", 10_01, "E1"),
            ("B1/2", 20_02, "E2"),
        ]

    def test_keeps_a_batch_whole_when_it_names_no_amounts(self) -> None:
        """Guessing who paid which part would be worse than asking."""
        batch = entry("30.03", DAY, ref="B1", parts=[part(end_to_end_id="E1"), part()])
        (found,) = read(statement(on=DAY, opening="0", closing="30.03", entries=[batch]))

        assert [(one.entry_ref, one.amount_minor, one.end_to_end_id) for one in found.lines] == [
            ("B1", 30_03, None)
        ]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_passes_over_what_moves_nothing(self, version: str) -> None:
        """Banks write entries and parts of nothing, for a fee that is waived."""
        parts = [
            part(end_to_end_id="E1", amount="10.01", version=version),
            part(end_to_end_id="E2", amount="0", version=version),
        ]
        both = [
            part(end_to_end_id="E3", amount="5.00", version=version),
            part(end_to_end_id="E4", amount="5.00", version=version) | {"cdt_dbt_ind": "DBIT"},
        ]
        entries = [
            entry("0.00", DAY, version=version, ref="B0"),
            entry("10.01", DAY, version=version, ref="B1", parts=parts),
            *([] if version == "02" else [entry("0.00", DAY, ref="B2", parts=both)]),
        ]
        (found,) = read(
            statement(on=DAY, opening="0", closing="10.01", entries=entries, version=version)
        )

        # Two movements that cancel out are two; .02 gives parts no direction of their own.
        cancelling = [] if version == "02" else [("B2/1", 5_00), ("B2/2", -5_00)]
        assert [(one.entry_ref, one.amount_minor) for one in found.lines] == [
            ("B1/1", 10_01),
            *cancelling,
        ]

    def test_keeps_four_characters_of_the_account(self) -> None:
        """The number itself is nobody's business here."""
        assert IBAN not in repr(read(one_payout()))

    def test_names_an_entry_without_a_name_by_its_place(self) -> None:
        """The same file read twice must give the same names."""
        bare = entry("1.00", DAY)
        data = statement(on=DAY, opening="0", closing="2.00", entries=[bare, bare])

        assert [line.entry_ref for line in read(data)[0].lines] == [
            "AQKOL-2026-02-10/1",
            "AQKOL-2026-02-10/2",
        ]

    def test_begins_after_the_balance_of_the_day_before(self) -> None:
        """PRCD carries yesterday's date; yesterday is not what the statement speaks of."""
        opening = balance("PRCD", "100.00", date(2026, 2, 9))
        closing = balance("CLBD", "100.00", DAY)
        data = statement(on=DAY, opening="0", closing="0", entries=[], bal=[opening, closing])

        assert (read(data)[0].from_on, read(data)[0].until_on) == (DAY, DAY)


class TestABadFile:
    """Files come from outside: each kind of bad one has a name, and its content stays inside."""

    @pytest.mark.parametrize(
        "data",
        [b"", b"not xml", b"<Document>", BY_HAND[:-20].encode(), b'{"statement": 1}'],
    )
    def test_is_not_xml(self, data: bytes) -> None:
        """A download that broke off, or a page of an error."""
        with pytest.raises(NotXmlError):
            read(data)

    @pytest.mark.parametrize(
        "data",
        [
            BY_HAND.encode("utf-16"),
            BY_HAND.replace('"UTF-8"', '"windows-1251"').encode("windows-1251"),
            BY_HAND.replace("of 6 Feb", "за 6 фев").encode("windows-1251"),
            BY_HAND.replace("of 6 Feb", "\x00".join("ab")).encode().replace(b"a\x00b", b"\xff"),
        ],
    )
    def test_is_in_another_encoding(self, data: bytes) -> None:
        """A text in another encoding reads as other letters; a name misread is a debt misplaced."""
        with pytest.raises(EncodingError):
            read(data)

    def test_may_begin_with_the_mark_of_its_encoding(self) -> None:
        """Windows writes one in front of UTF-8; it means nothing."""
        assert read(b"\xef\xbb\xbf" + BY_HAND.encode()) == read(BY_HAND.encode())

    @pytest.mark.parametrize(
        "doctype",
        [
            '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
            '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
            "<!DOCTYPE a>",
        ],
    )
    def test_has_entities(self, doctype: str) -> None:
        """A bomb of entities fills the memory, an external one reads our files."""
        data = BY_HAND.replace("<Document", f"{doctype}<Document", 1)
        with pytest.raises(EntityError):
            read(data.encode())

    @pytest.mark.parametrize(
        "space",
        ["camt.053.001.99", "camt.054.001.08", "pain.002.001.10", "urn"],
    )
    def test_is_of_another_kind(self, space: str) -> None:
        """An advice repeats what a statement says; taken for one, it would count twice."""
        with pytest.raises(VersionError):
            read(BY_HAND.replace("camt.053.001.08", space).encode())

    def test_has_an_entry_in_another_currency(self) -> None:
        """Euros that are added to tenge are a sum of nothing."""
        foreign = entry("1.00", DAY, currency="EUR")
        with pytest.raises(CurrencyError):
            read(statement(on=DAY, opening="0", closing="1.00", entries=[foreign]))

    def test_has_an_account_in_another_currency(self) -> None:
        """Balances and account must speak of the same money."""
        with pytest.raises(CurrencyError):
            read(one_payout().replace(b"<Ccy>KZT</Ccy>", b"<Ccy>EUR</Ccy>"))

    def test_does_not_add_up_by_one_tiyn(self) -> None:
        """A line that is missing shows in the balances, and nowhere else."""
        with pytest.raises(SumError):
            read(one_payout().replace(b">125100.40<", b">125100.41<"))

    def test_has_a_batch_that_does_not_add_up(self) -> None:
        """Part amounts are what residents are credited with; they must be the whole."""
        parts = [part(end_to_end_id="E1", amount="1.00"), part(end_to_end_id="E2", amount="1.00")]
        with pytest.raises(SumError):
            read(
                statement(
                    on=DAY, opening="0", closing="3.00", entries=[entry("3.00", DAY, parts=parts)]
                )
            )

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("<Id>2026-041</Id>", "<Id> </Id>"),
            ("1000.01", "1,000.01"),
            ("1000.01", "1000.011"),
            ("1000.01", "-1000.01"),
            ("1000.01", "1e3"),
            ("1000.01", "NaN"),
            ("1000.01", "٣"),
            ('Ccy="KZT">1000.01', ">1000.01"),
            ('Ccy="KZT">1000.01', 'Ccy="KZT&#10;">1000.01'),
            ("<CdtDbtInd>CRDT</CdtDbtInd>", "<CdtDbtInd>BOTH</CdtDbtInd>"),
            ("2026-02-09T08:15:00+05:00", "09.02.2026"),
            ("2026-02-09T08:15:00+05:00", "2026-02-30T08:15:00+05:00"),
            ("<Cd>CLBD</Cd>", "<Cd>ITBD</Cd>"),
            ("<Cd>PRCD</Cd>", "<Cd>ITBD</Cd>"),
            ("<FrDtTm>2026-02-09", "<FrDtTm>2026-03-09"),
            ("Stmt>", "Smt>"),
        ],
    )
    def test_lacks_what_we_rely_on(self, right: str, wrong: str) -> None:
        """What cannot be read exactly is not read at all."""
        assert right in BY_HAND
        with pytest.raises(FieldError):
            read(BY_HAND.replace(right, wrong).encode())

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("<Id>2026-041</Id>", f"<Id>{'x' * 36}</Id>"),
            ("<NtryRef>77</NtryRef>", f"<NtryRef>{'7' * 36}</NtryRef>"),
            ("NOTPROVIDED", "E" * 141),
            ("</RmtInf>", f"</RmtInf><RtrInf><Rsn><Cd>{'A' * 41}</Cd></Rsn></RtrInf>"),
        ],
    )
    def test_has_a_name_that_is_longer_than_any(self, right: str, wrong: str) -> None:
        """Longer than we can keep whole; a name cut short would be another one's."""
        assert right in BY_HAND
        with pytest.raises(FieldError):
            read(BY_HAND.replace(right, wrong, 1).encode())

    def test_speaks_of_more_days_than_a_year_has(self) -> None:
        """One slip in a year, and two thousand years would count as reconciled or not."""
        with pytest.raises(FieldError):
            read(BY_HAND.replace("<FrDtTm>2026-02-09", "<FrDtTm>0026-02-09").encode())

    def test_is_too_large(self) -> None:
        """A file that nobody could have meant is not unfolded in memory."""
        with pytest.raises(TooLargeError):
            read(b" " * (FILE_BYTES_MAX + 1))

    def test_is_deep(self) -> None:
        """Nesting costs the sender four bytes a level; it must not cost us the process."""
        data = BY_HAND.replace("of 6 Feb", "<a>" * 100_000 + "</a>" * 100_000)

        assert len(read(data.encode())) == 1

    def test_keeps_its_content_to_itself(self) -> None:
        """What an error says ends in a log; a statement holds names and numbers of people."""
        with pytest.raises(FileError) as caught:
            read(BY_HAND.replace("1000.01", "Aigul N.").encode())

        assert "Aigul" not in str(caught.value)

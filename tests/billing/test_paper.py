"""The bill as a document: the same figures in three languages and in every form."""

import base64
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO
from typing import Any, Final

import pytest
from pypdf import PdfReader

from billing.io import press
from billing.io.press import FormUnknownError, form_of
from billing.paper import qr
from billing.paper.document import Document, document
from billing.paper.figures import Figures
from billing.paper.plain import text
from billing.paper.surroundings import Addressee
from billing.paper.words import (
    Language,
    LanguageUnknownError,
    catalogue,
    language_of,
    names_in,
    words,
)
from tests.billing.bill_samples import PAYEE, PLAIN, around, recorded, samples

SAMPLES: Final = samples()
NO_BREAK: Final = "\u00a0"
HOSTILE: Final = (
    '#panic("x") $x$ *b* _i_ <a@b> @ref `raw` \\ "quoted" // not a comment',
    "<script>alert(1)</script><img src=x onerror=alert(1)> &amp; {{ 7*7 }} {% raw %}",
    ']]] }}} ((( #read("/etc/passwd") #include "x" {number}',
)


def pdf_text(document: Document) -> str:
    """Return what a reader program finds in the PDF."""
    pages = PdfReader(BytesIO(press.pdf(document))).pages
    return "\n".join(page.extract_text() for page in pages)


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.texts.append(data)


def page_of(document: Document) -> _Texts:
    found = _Texts()
    found.feed(press.html(document).decode())
    return found


def strings_of(value: Any, above: str = "") -> list[str]:
    """Return every text of a document but drawings and what no reader sees."""
    if isinstance(value, dict):
        unseen = {"svg", "qr", "kind", "align", "language", "issued_on", "label"}
        return [
            text
            for key, part in value.items()
            if key not in unseen or above == "pay"
            for text in strings_of(part, key)
        ]
    if isinstance(value, list):
        return [text for part in value for text in strings_of(part, above)]
    return [value] if isinstance(value, str) and value else []


def squeezed(text: str) -> str:
    """Return a text without any space: where lines break is the printer's affair."""
    return re.sub(r"[\s\u200b]+", "", text)


def amounts(text: str) -> list[str]:
    """Return the figures of a text as plain decimals, in order: money, volumes, prices."""
    found = re.findall(r"[\u2212+]?\d[\d\u00a0.,]*", text)
    plain = (re.sub(r"[^\d]", "", figure) for figure in found)
    return [figure for figure in plain if figure]


class TestCatalogue:
    """The words of a bill ..."""

    def test_are_there_in_all_languages(self) -> None:
        """A missing word would be a hole in somebody's bill."""
        wanted = {str(language) for language in Language}

        assert {key for key, entry in catalogue().items() if set(entry) != wanted} == set()
        assert all(text.strip() for entry in catalogue().values() for text in entry.values())

    def test_ask_for_the_same_figures(self) -> None:
        """A sentence that leaves out a figure in one language says less there."""
        assert [
            key
            for key, entry in catalogue().items()
            if len({names_in(text) for text in entry.values()}) != 1
        ] == []

    def test_have_twelve_months(self) -> None:
        """Short ones, all different."""
        for language in Language:
            assert len(set(words(language).months)) == 12

    def test_are_spelt_in_their_own_letters(self) -> None:
        """No Latin letter strays into a Cyrillic word, where no search would find it."""
        allowed = {"QR", "aqkol-bill"}
        for key, entry in catalogue().items():
            for language in (Language.KK, Language.RU):
                text = re.sub(r"\{\w+\}", "", entry[language])
                latin = set(re.findall(r"[A-Za-z][\w-]*", text))
                assert latin <= allowed, key

    @pytest.mark.parametrize("name", ["de", "KK", "", "kk "])
    def test_are_of_three_languages_only(self, name: str) -> None:
        """Another one is refused by its name."""
        with pytest.raises(LanguageUnknownError):
            language_of(name)


class TestForms:
    """The forms of a bill ..."""

    @pytest.mark.parametrize("name", ["docx", "PDF", ""])
    def test_are_two(self, name: str) -> None:
        """Another one is refused."""
        with pytest.raises(FormUnknownError):
            form_of(name)


class TestFigures:
    """Figures ..."""

    KK: Final = Figures(language=Language.KK, currency="KZT", zone="Asia/Almaty")
    EN: Final = Figures(language=Language.EN, currency="KZT", zone="Asia/Almaty")

    def test_are_written_as_each_language_does(self) -> None:
        """A comma and a space that does not break, or a point and commas."""
        assert self.KK.money(123_456_750) == "1\u00a0234\u00a0567,50\u00a0₸"
        assert self.EN.money(123_456_750) == "1,234,567.50\u00a0₸"
        assert self.KK.m3(1_234_567) == "1\u00a0234,567"
        assert self.EN.m3(34) == "0.034"
        assert self.KK.money(-5) == "\u22120,05\u00a0₸"
        assert self.EN.money(5, signed=True) == "+0.05\u00a0₸"
        assert self.EN.money(0, signed=True) == "0.00\u00a0₸"

    def test_show_prices_exactly(self) -> None:
        """6404.90 for 1000 m3 are 6.40490 for one; 600 000.05 for a GWh 0.60000005 for a kWh."""
        assert self.KK.per_m3(640_490) == "6,40490\u00a0₸"
        assert self.EN.per_kwh(60_000_005) == "0.60000005\u00a0₸"
        assert self.EN.per_kwh(60_000_000) == "0.60\u00a0₸"
        assert self.EN.thousandths(1_000_000) == "10.00\u00a0₸"
        assert self.EN.thousandths(1_000_005) == "10.00005\u00a0₸"

    def test_show_rates_without_idle_zeros(self) -> None:
        """16 %, 12.5 %, 1.3 times."""
        assert (self.KK.percent(1600), self.EN.percent(1250)) == ("16\u00a0%", "12.5%")
        assert (self.KK.times(13_000), self.EN.times(20_000)) == ("1,3", "2")

    def test_show_days_and_minutes_of_the_town(self) -> None:
        """19:00 in UTC on New Year's Eve is midnight in Aqkol."""
        assert self.KK.minute("2025-12-31T19:00:00+00:00") == "01.01.2026\u00a000:00"
        assert self.EN.minute("2025-12-31T19:00:00+00:00") == "2026-01-01\u00a000:00"

    def test_name_a_currency_without_a_sign(self) -> None:
        """By its three letters."""
        other = Figures(language=Language.EN, currency="CHF", zone="Asia/Almaty")
        assert other.money(100) == "1.00\u00a0CHF"


class TestDocument:
    """A document ..."""

    @pytest.mark.parametrize("name", sorted(SAMPLES))
    def test_says_the_same_figures_in_every_language_and_form(self, name: str) -> None:
        """Read back from PDF and HTML: a figure that differs would be two bills."""
        record, near = SAMPLES[name]
        told: dict[str, list[str]] = {}
        for language in Language:
            made = document(record, near, language)
            paper, page = squeezed(pdf_text(made)), squeezed(" ".join(page_of(made).texts))
            for said in strings_of(made["blocks"]) + strings_of(made["facts"]):
                assert squeezed(said) in page, said
                if len(said) < 60:
                    assert squeezed(said) in paper, said
            days = r"\d\d\d\d-\d\d-\d\d|\d\d\.\d\d\.\d\d\d\d"
            texts = [re.sub(days, "", said) for said in strings_of(made["blocks"])]
            told[language] = sorted(figure for said in texts for figure in amounts(said))

        assert told["kk"] == told["ru"] == told["en"]
        assert len(told["kk"]) > 10

    def test_says_what_is_on_it(self) -> None:
        """34.567 m3 at 6.40490 are 221.40, 35.42 of tax, 256.82."""
        record, near = SAMPLES["plain"]
        said = pdf_text(document(record, near, Language.KK)).replace(NO_BREAK, " ")

        for part in (
            "256,82 ₸",
            "1 234,567",
            "34,567 м³",
            "6,40490 ₸/м³",
            "221,40 ₸",
            "35,42 ₸",
            "Әйгүл Ңұрғалиқызы Өтеғұлова",
            "KZ86 125K ZT50 0410 0100",
            "Committee, order 12",
            "Economist B.",
            "25.02.2026",
        ):
            assert part in said, part

    def test_writes_the_turn_of_a_dial_out(self) -> None:
        """12.345 + 1 x 100 000 - 99 990 = 22.345: whoever doubts it can add it up."""
        record, near = SAMPLES["exchanged"]
        said = text(document(record, near, Language.EN)).replace(NO_BREAK, " ")

        assert "12.345 + 1 \u00d7 100,000.000 \u2212 99,990.000 = 22.345" in said

    def test_marks_an_estimate_wherever_it_stands(self) -> None:
        """At the register, in the story, and with a promise to put it right."""
        record, near = SAMPLES["estimated"]
        said = text(document(record, near, Language.EN))

        assert said.count("(estimated)") >= 2
        assert "Estimated registers are put right when real ones arrive." in said

    def test_asks_for_nothing_when_nothing_is_owed(self) -> None:
        """No payment details and no code to pay with, but what is left in favour."""
        record, near = SAMPLES["in_credit"]
        made = document(record, near, Language.EN)

        assert made["qr"] == []
        assert made["pay"]["amount"] == f"648.18{NO_BREAK}₸"
        assert "Payment details" not in text(made)

    def test_names_nobody_without_an_addressee(self) -> None:
        """An operator's copy says that it is one."""
        record, near = SAMPLES["no_payee"]
        said = text(document(record, near, Language.EN))

        assert "Copy without the resident's name and address" in said
        assert "Customer" not in said
        assert "ask the gas supplier" in said

    def test_of_a_cancellation_names_what_it_cancels(self) -> None:
        """Every sign is turned, and nothing is compared."""
        record, near = SAMPLES["cancellation"]
        said = text(document(record, near, Language.EN))

        assert "This document cancels bill 2026-01 completely." in said
        assert f"\u2212256.82{NO_BREAK}₸" in said
        assert "Compared with earlier bills" not in said

    def test_names_the_bill_that_an_adjustment_is_for(self) -> None:
        """And shows the tax of each rate, also of one that is over."""
        record, near = SAMPLES["adjusted"]
        said = text(document(record, near, Language.EN)).replace(NO_BREAK, " ")

        assert "Adjustment (2025-12-01 \u2013 2025-12-31; for bill 2025-12)" in said
        assert "VAT 12% on \u221212.81 ₸: \u22121.54 ₸" in said
        assert "To pay: 242.47 ₸" in said

    def test_says_what_a_voucher_paid_at_once(self) -> None:
        """200.00 of 256.82 are paid; the code asks for the rest."""
        record, near = SAMPLES["plain"]
        paid = replace(near, balance=replace(near.balance, settled_minor=20_000))
        said = text(document(record, paid, Language.EN)).replace(NO_BREAK, " ")

        assert "Paid by voucher: \u2212200.00 ₸" in said
        assert "To pay: 56.82 ₸. Pay by: 2026-02-25" in said

    def test_tells_a_charge_of_a_kind_it_does_not_know(self) -> None:
        """A later kind of charge is shown under its own name, not left out."""
        record, near = SAMPLES["bands"]
        charge = {**record["charges"][0], "kind": "surprise", "line_no": None}
        told = {**record, "charges": [charge]}

        assert "Other (surprise)" in text(document(told, near, Language.EN))

    def test_keeps_who_it_is_for_out_of_logs(self) -> None:
        """A name in a traceback is a leak."""
        _, near = SAMPLES["plain"]

        assert "Өтеғұлова" not in repr(near)


class TestPdf:
    """The PDF ..."""

    def test_is_the_same_bytes_each_time(self) -> None:
        """In a fresh compiler too: a digest may stand for the paper."""
        record, near = SAMPLES["bands"]
        made = document(record, near, Language.RU)
        first = press.pdf(made)
        press.compiler.cache_clear()

        assert press.pdf(made) == first

    def test_needs_no_font_of_the_system(self) -> None:
        """Only the fonts inside typst, cut to the letters that are used."""
        record, near = SAMPLES["plain"]
        reader = PdfReader(BytesIO(press.pdf(document(record, near, Language.KK))))
        fonts = {
            str(font["/BaseFont"])
            for page in reader.pages
            for font in page["/Resources"]["/Font"].values()  # type: ignore[index]
        }

        assert fonts
        assert all(re.match(r"/[A-Z]{6}\+(LibertinusSerif|NewCM10)-", font) for font in fonts), (
            fonts
        )

    @pytest.mark.parametrize(
        "letters", ["ӘәҒғҚқҢңӨөҰұҮүҺһІі", "Ёё Щщ Ыы Ээ", "₸ м³ \u00d7 \u2212 \u2013 — « » “ ”"]
    )
    def test_has_every_letter(self, letters: str) -> None:
        """What has no glyph comes out as a box, and comes back as nothing."""
        record, near = SAMPLES["plain"]
        named = replace(near, addressee=Addressee(full_name=letters, address="x"))

        assert squeezed(letters) in squeezed(pdf_text(document(record, named, Language.KK)))

    def test_takes_hostile_text_as_text(self) -> None:
        """Markup of typst in a name, a tariff's approver or an address is printed, not run."""
        record, near = SAMPLES["plain"]
        for said in HOSTILE:
            tariffs = [{**record["tariffs"][0], "approved_by": said, "proposed_by": said}]
            named = replace(
                near,
                addressee=Addressee(full_name=said, address=said),
                payee=replace(PAYEE, name=said),
            )
            paper = pdf_text(document({**record, "tariffs": tariffs}, named, Language.EN))

            assert squeezed(paper).count(squeezed(said)) >= 4, said

    def test_holds_the_longest_names_within_the_page(self) -> None:
        """200 letters without a space, an address of 500: nothing is pushed off the paper."""
        record, near = SAMPLES["plain"]
        name, address = "Ұ" * 200, ("Абай " * 100)[:500]
        named = replace(near, addressee=Addressee(full_name=name, address=address))

        paper = squeezed(pdf_text(document(record, named, Language.KK)))

        assert name in paper
        assert squeezed(address) in paper


class TestManyPdfs:
    """Many bills ..."""

    def test_come_in_order_and_few_at_a_time(self) -> None:
        """A month of a town does not fit into memory; whoever prints it takes what it can."""
        record, near = SAMPLES["plain"]
        taken = 0

        def jobs() -> Iterator[press.Job]:
            nonlocal taken
            for number in range(150):
                taken += 1
                told = {**record, "number": f"A-1/{number}"}
                yield told, replace(near, months=[], besides=[]), Language.EN

        with ThreadPoolExecutor(1) as pool:
            found = press.pdfs(jobs(), pool)
            first = next(found)
            at_first = taken
            rest = list(found)

        assert at_first <= press.BATCH * (press.AHEAD + 1)
        assert len(rest) == 149
        assert "A-1/0" in PdfReader(BytesIO(first)).pages[0].extract_text()
        assert "A-1/149" in PdfReader(BytesIO(rest[-1])).pages[0].extract_text()

    def test_say_what_the_file_for_one_resident_says(self) -> None:
        """A file for a screen can be read aloud by a program; one for paper leaves its tags out."""
        record, near = SAMPLES["bands"]
        made = document(record, near, Language.KK)

        (paper,), screen = press.printed([(record, near, Language.KK)]), press.pdf(made)

        read = {name: PdfReader(BytesIO(file)) for name, file in (("p", paper), ("s", screen))}
        texts = [[page.extract_text() for page in one.pages] for one in read.values()]
        assert texts[0] == texts[1]
        tags = ["/StructTreeRoot" in one.root_object for one in read.values()]
        assert tags == [False, True]

    def test_may_be_none(self) -> None:
        """A month without bills ends at once."""
        with ThreadPoolExecutor(1) as pool:
            assert list(press.pdfs([], pool)) == []


class TestHtml:
    """The page ..."""

    @pytest.mark.parametrize("language", list(Language))
    def test_loads_nothing_and_runs_nothing(self, language: Language) -> None:
        """No script, no address of anything, no style but the one the policy names."""
        record, near = SAMPLES["bands"]
        page = page_of(document(record, near, language))

        assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & set(page.tags)
        names = {name for name, _ in page.attributes}
        assert not {"src", "href", "style", "srcset", "action"} & names
        assert not any(name.startswith("on") for name in names)
        assert "url(" not in press.html(document(record, near, language)).decode()

    def test_is_what_its_policy_lets_through(self) -> None:
        """The digest in the policy is that of the style in the page."""
        record, near = SAMPLES["plain"]
        page = press.html(document(record, near, Language.EN)).decode()
        style = page.split("<style>")[1].split("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

        assert f"style-src 'sha256-{digest}'" in press.page_policy()
        assert "default-src 'none'" in press.page_policy()

    def test_takes_hostile_text_as_text(self) -> None:
        """A script in a name is letters on a page."""
        record, near = SAMPLES["plain"]
        plain_tags = page_of(document(record, near, Language.EN)).tags
        for said in HOSTILE:
            tariffs = [{**record["tariffs"][0], "approved_by": said, "proposed_by": said}]
            named = replace(
                near,
                addressee=Addressee(full_name=said, address=said),
                payee=replace(PAYEE, name=said),
            )
            page = page_of(document({**record, "tariffs": tariffs}, named, Language.EN))

            assert page.tags == plain_tags
            assert page.texts.count(said) >= 4, said

    def test_has_a_real_table_beside_the_chart(self) -> None:
        """Who cannot see bars reads twelve rows."""
        record, near = SAMPLES["plain"]
        made = document(record, near, Language.EN)
        (chart,) = [block for block in made["blocks"] if block["kind"] == "chart"]
        page = page_of(made)

        assert len(chart["rows"]) == len(chart["bars"]) == 12
        assert page.tags.count("svg") == 2
        for row in chart["rows"]:
            for cell in row:
                assert cell["main"] in page.texts


class TestQr:
    """The square code ..."""

    def test_stands_only_where_somebody_can_be_paid(self) -> None:
        """And names nobody who pays: the code is the same whoever lives there."""
        record = recorded(PLAIN)
        known = document(record, around(record), Language.KK)["qr"]
        nobody = document(record, around(record, addressee=None), Language.RU)["qr"]

        assert len(known) == len(known[0]) > 21
        assert known == nobody
        assert document(record, around(record, payee=None), Language.KK)["qr"] == []

    def test_is_drawn_square_by_square(self) -> None:
        """The page and the paper draw the same squares: dark ones black, the others white."""
        code = ["1101", "0010"]

        drawn = qr.svg(code)

        assert '<path d="M0 0h2v1h-2zM3 0h1v1h-1zM2 1h1v1h-1z"/>' in drawn
        assert 'viewBox="0 0 2 2"' in drawn
        assert qr.pixels(code) == [0, 0, 255, 0, 255, 255, 0, 255]

    def test_has_room_around_it(self) -> None:
        """A reader finds the three corners only with two light squares beside them."""
        code = qr.rows("AQKOL")

        assert code[0] == code[1] == code[-1] == "0" * len(code)
        assert code[2].startswith("001111111")
        assert all(row.startswith("00") and row.endswith("00") for row in code)


class TestTemplates:
    """The words that templates use ..."""

    def test_are_all_used(self) -> None:
        """A word nobody says is deleted, not kept for later."""
        source = "".join(
            path.read_text(encoding="utf-8")
            for path in files("billing.paper").iterdir()  # type: ignore[attr-defined]
            if path.name.endswith(".py")
        )
        built = ("column.", "quality.", "title.", "corrects.", "charge.", "comparison.", "part.")
        unused = [
            key
            for key in catalogue()
            if f'"{key}"' not in source and f"'{key}'" not in source and not key.startswith(built)
        ]

        assert unused == []

"""A square code that says how to pay, as text: Kazakhstan has no open format of a bank's.

It holds no name and no address of the resident; whoever photographs it learns what the payee wants.
"""

import io
from typing import Final

import segno

# Medium error correction survives a crease in the paper.
_CORRECTION: Final = "m"
# Every mask can be read; finding the prettiest of the eight costs five times the rest.
_MASK: Final = 3
# The quiet zone that readers need around the code.
_BORDER: Final = 2


def svg(text: str) -> str:
    """Draw a text as a square code: one path, without styles."""
    code = segno.make(text, error=_CORRECTION, micro=False, mask=_MASK)
    out = io.BytesIO()
    code.save(
        out, kind="svg", border=_BORDER, xmldecl=False, svgclass="qr", lineclass=None, omitsize=True
    )
    return out.getvalue().decode().strip()

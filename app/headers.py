"""What every answer carries, so that a browser trusts it with as little as possible."""

from collections.abc import Mapping
from typing import Final

# Which program in which version answers is nobody's business.
SERVER: Final = "aqkol"

# What an answer that is not a page may load, and who may frame it: nothing and nobody.
NOTHING_LOADS: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": NOTHING_LOADS,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

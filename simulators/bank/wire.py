"""JSON over HTTP as both listeners speak it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import web

# Ten times the longest honest request (a flow with everything prefilled).
REQUEST_BYTES_MAX = 64 * 1024
JSON = "application/json"
_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is JSON already."""

    json: str

    def document(self) -> dict[str, Any]:
        """Read it."""
        found: dict[str, Any] = json.loads(self.json)
        return found


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    text = body.json if isinstance(body, Text) else _ENCODER.encode(body)
    return web.Response(
        status=status,
        body=text.encode(),
        content_type=JSON,
        headers=headers,
    )


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - JSON can be anything until it is looked at
    """Read JSON strictly.

    :raises ValueError: when it is none; NaN and Infinity are none, nor is what is nested too deep,
        is not UTF-8 or holds half a sign, which could be neither kept nor given back.
    """
    try:
        # Given bytes, the library would guess their encoding and let halves of signs through.
        document = json.loads(text.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if b"\\u" in text:
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

"""The families of foreign hardware, each by the name that a source gives it.

A new one is a file in ``adapters/`` and a line here.
"""

from typing import Final

from metering.adapter import Read

FAMILIES: Final[dict[str, Read]] = {}

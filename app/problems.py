"""Everything that can go wrong over HTTP, as application/problem+json (RFC 9457).

The problems of the web itself stand here; which error of the business becomes which problem stands
in one table in app/errors.py.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MEDIA_TYPE: Final = "application/problem+json"

# Enough to mend a form with; the rest of a thousand mistakes helps nobody.
FIELDS_MAX: Final = 20
_POINTER_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One kind of problem: its name, its status and what it means."""

    slug: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """Return the address under which the API explains this problem."""
        return f"/problems/{self.slug}"


def problem_type(status: int, slug: str, title: str) -> ProblemType:
    """Name a kind of problem."""
    return ProblemType(slug=slug, status=status, title=title)


BROKEN_JSON = problem_type(400, "broken-json", "The body is not JSON")
NO_TOKEN = problem_type(401, "no-token", "A valid token is needed")
FORBIDDEN = problem_type(403, "forbidden", "This token may not do that")
NOT_FOUND = problem_type(404, "not-found", "There is no such thing here")
METHOD_UNKNOWN = problem_type(405, "method-unknown", "This address does not know that method")
BODY_SLOW = problem_type(408, "body-slow", "The body took too long to arrive")
BODY_TOO_LARGE = problem_type(413, "body-too-large", "The body is larger than 1 MiB")
FILE_TOO_LARGE = problem_type(413, "file-too-large", "The file is larger than is taken here")
FILE_KIND = problem_type(
    415, "file-kind", "The body must be a file of a kind that is taken here, not compressed"
)
NOT_JSON = problem_type(415, "not-json", "The body must be application/json, not compressed")
INVALID = problem_type(422, "invalid", "A value is missing, unknown or out of range")
REFUSED = problem_type(400, "refused", "The request could not be understood")
OURS = problem_type(500, "ours", "The mistake is ours; it has been noted")
UNAVAILABLE = problem_type(503, "unavailable", "Something we depend on is not there; try again")

OF_THE_WEB: Final = (
    BROKEN_JSON,
    NO_TOKEN,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_UNKNOWN,
    BODY_SLOW,
    BODY_TOO_LARGE,
    FILE_TOO_LARGE,
    FILE_KIND,
    NOT_JSON,
    INVALID,
    REFUSED,
    OURS,
    UNAVAILABLE,
)


class FieldProblem(BaseModel):
    """One value that did not pass: where it stood and what was expected."""

    model_config = ConfigDict(frozen=True)

    at: Annotated[
        str, Field(description="JSON pointer into the body, or ?name for a query parameter")
    ]
    message: str


class Problem(BaseModel):
    """An error as RFC 9457 describes it; it never repeats what the caller sent."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str | None = None
    fields: list[FieldProblem] | None = None


class ProblemError(Exception):
    """A problem of the web on its way to the caller."""

    def __init__(
        self,
        kind: ProblemType,
        *,
        detail: str | None = None,
        fields: list[FieldProblem] | None = None,
    ) -> None:
        super().__init__(kind.slug)
        self.kind = kind
        self.detail = detail
        self.fields = fields


def answer(
    kind: ProblemType, *, detail: str | None = None, fields: list[FieldProblem] | None = None
) -> web.Response:
    """Turn a problem into a response."""
    problem = Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, fields=fields
    )
    response = web.Response(
        body=problem.model_dump_json(exclude_none=True).encode(),
        status=kind.status,
        content_type=MEDIA_TYPE,
    )
    if kind is NO_TOKEN:
        response.headers["WWW-Authenticate"] = 'Bearer realm="aqkol"'
    if kind is UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    return response


def fields_of(error: ValidationError, *, query: bool = False) -> list[FieldProblem]:
    """Say where each mistake stands and what was expected, without repeating the value."""
    found = []
    for mistake in error.errors(include_url=False, include_input=False, include_context=False):
        if query:
            where = "?" + ".".join(str(part) for part in mistake["loc"])
        else:
            where = "".join(f"/{_escaped(str(part))}" for part in mistake["loc"])
        found.append(
            FieldProblem(
                at=_plain(where)[:_POINTER_MAX],
                message=mistake["msg"].removeprefix("Value error, "),
            )
        )
    return found[:FIELDS_MAX]


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _plain(text: str) -> str:
    """Keep control characters and broken surrogates out of answers."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)

"""Routes as data: what a handler takes, what it answers, who may call it.

A handler is an ordinary async method that takes one ``Call`` and returns a model. The decorator
reads the models from its annotations, so that what mypy checks, what the wire enforces and what
/openapi.json says are the same thing. The shell (app/web.py) mounts the routes.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_args, get_origin
from typing import get_type_hints as hints_of

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from metering.io.blob import Blob, Spool

# Nothing this system bills lies outside; the database has no partition there either.
YEAR_FIRST: Final = 2000
YEAR_LAST: Final = 2099

# A page that a person can read and a client can hold.
PAGE_MAX: Final = 500

_RFC3339: Final = re.compile(
    r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)$", re.ASCII
)

_DAY: Final = re.compile(r"^\d{4}-\d\d-\d\d$", re.ASCII)


def _written_out(value: object) -> object:
    """Let through an instant, or text that writes one out; a number is not an instant."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC3339.match(value)):
        raise ValueError("an instant is written like 2026-11-01T00:00:00+05:00")
    return value


def _within_years(value: datetime) -> datetime:
    instant = value.astimezone(UTC) if YEAR_FIRST <= value.year <= YEAR_LAST else None
    if instant is None or not YEAR_FIRST <= instant.year <= YEAR_LAST:
        raise ValueError(f"an instant lies between the years {YEAR_FIRST} and {YEAR_LAST}")
    return instant


def _day_written_out(value: object) -> object:
    """Let through a day, or text that writes one out; a number is not a day."""
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.match(value)):
        raise ValueError("a day is written like 2026-01-01")
    return value


# Text that a person wrote: no control characters, which PostgreSQL and terminals misread.
TEXT_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$"

Instant = Annotated[
    Annotated[AwareDatetime, Field(strict=False)],  # text was checked just before
    BeforeValidator(_written_out),
    AfterValidator(_within_years),
]
Day = Annotated[
    Annotated[
        date,
        Field(
            strict=False,  # text was checked just before
            ge=date(YEAR_FIRST, 1, 1),
            le=date(YEAR_LAST, 12, 31),
            examples=["2026-01-01"],
        ),
    ],
    BeforeValidator(_day_written_out),
]
MeterId = Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,32}$", examples=["AQ-000123"])]
AccountId = Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,32}$", examples=["A-000123"])]
SupplyPointId = Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,32}$", examples=["SP-000123"])]
PageSize = Annotated[int, Field(ge=1, le=PAGE_MAX)]


class Wire(BaseModel):
    """What crosses the wire: strict, frozen, and without fields that nobody declared."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Nothing(Wire):
    """No path parameters, no query parameters or no body."""


class Policy(StrEnum):
    """Who may call a route; every route names exactly one."""

    PUBLIC = "public"  # anybody
    RESIDENT = "resident"  # the resident of the account in the path, nobody else
    ACCOUNT = "account"  # the resident of the account in the path, or an operator
    OPERATOR = "operator"  # an operator
    SIGNED = "signed"  # whoever signed the body with a secret that is ours and his


class Role(StrEnum):
    """What a token may be."""

    RESIDENT = "resident"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The owner of a valid token; a resident's belongs to one account.

    ``label`` says what the token is for, and signs what an operator decides.
    """

    role: Role
    account_id: str | None
    label: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse a resident without an account, or an operator with one."""
        if (self.role is Role.RESIDENT) != (self.account_id is not None):
            raise ValueError("a resident has an account, an operator has none")


P = TypeVar("P", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound="BaseModel | Blob | Letter")
M_co = TypeVar("M_co", bound=BaseModel, covariant=True)
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[P, Q, B]):
    """One validated request: its path, its query, its body, who asks, and when."""

    path: P
    query: Q
    body: B
    caller: Caller | None
    at: datetime

    @property
    def signature(self) -> str:
        """Return the label of the token that signs what the caller decides."""
        assert self.caller is not None, "these routes are operators'"
        return self.caller.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[M_co]):
    """An answer that says whether something new was made, or the same was there before."""

    body: M_co
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer that is not JSON of a model: a document, a page for a browser."""

    content: bytes
    media_type: str
    # For a browser's page only: what it may load. Everything else may load nothing.
    content_policy: str | None = None
    cache_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An answer that is a file, whole before its first byte is sent; the shell closes it."""

    spool: Spool
    media_type: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a route takes instead of JSON: a file, which is spooled and not held in memory.

    ``charsets`` are those that may be said of it; ``seconds_max`` is how long it may take to come.
    So many are held ``at_once``, whether they still come or are worked on; more are sent away.
    """

    media_types: tuple[str, ...]
    bytes_max: int
    seconds_max: float
    charsets: tuple[str, ...] = ("utf-8",)
    at_once: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A body as it came, byte for byte, with the signature that came beside it; "" if none did.

    Nobody has looked into it: whoever takes it checks the signature first.
    """

    content: bytes
    signature: str


class RouteError(TypeError):
    """A route was declared wrongly; the program does not start."""


class NotThereError(Exception):
    """The thing named in the path does not exist, or not for this caller."""


Method = Literal["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API, declared."""

    name: str
    method: Method
    path: str
    policy: Policy
    summary: str
    description: str
    tag: str
    status: int
    repeat_status: int | None
    raises: tuple[type[Exception], ...]
    media_type: str
    shown: bool
    path_model: type[BaseModel]
    query_model: type[BaseModel]
    body_model: type[BaseModel]
    answer_model: type[BaseModel] | None
    files: Files | None = None
    signature: str | None = None

    def __post_init__(self) -> None:
        """Refuse a declaration that does not hold together.

        Raises:
            RouteError: no policy, or path and models disagree.
        """
        if not isinstance(self.policy, Policy):
            raise RouteError(f"{self.name} names no policy")
        named = set(re.findall(r"\{(\w+)\}", self.path))
        if named != set(self.path_model.model_fields):
            raise RouteError(f"{self.name}: the path and {self.path_model.__name__} disagree")
        if self.policy in {Policy.RESIDENT, Policy.ACCOUNT} and "account_id" not in named:
            raise RouteError(f"{self.name} is a resident's, but its path names no account")
        if (self.policy is Policy.SIGNED) != (self.signature is not None):
            raise RouteError(f"{self.name}: a signature and its policy belong together")
        if self.method == "GET" and (self.takes_body or self.files or self.signature):
            raise RouteError(f"{self.name}: a GET has no body")

    @property
    def takes_body(self) -> bool:
        """Say whether a request carries JSON."""
        return self.body_model is not Nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A route together with the method that answers it."""

    route: Route
    handler: Callable[[Call[Any, Any, Any]], Awaitable[Any]]


def route(  # noqa: PLR0913 - a route is a row of a table; these are its columns
    method: Method,
    path: str,
    *,
    policy: Policy,
    summary: str,
    tag: str,
    status: int = 200,
    repeat_status: int | None = None,
    raises: tuple[type[Exception], ...] = (),
    media_type: str = "application/json",
    shown: bool = True,
    files: Files | None = None,
    signature: str | None = None,
) -> Callable[[F], F]:
    """Declare a handler's route; its annotations name the models.

    ``raises`` lists the errors of the domain that a caller may provoke; the shell knows the status
    of each. ``repeat_status`` is the status of an ``Answer`` that is not fresh. ``files`` says
    which files a handler takes whose body is a ``Blob``, ``signature`` which header signs the body
    of one that takes a ``Letter``.

    Raises:
        RouteError: the declaration does not hold together.
    """

    def declare(handler: F) -> F:
        hints = hints_of(handler)
        calls = [hint for hint in hints.values() if get_origin(hint) is Call]
        if len(calls) != 1:
            raise RouteError(f"{handler.__qualname__} takes no Call[path, query, body]")
        models = get_args(calls[0])
        if (models[2] is Blob) != (files is not None):
            raise RouteError(f"{handler.__qualname__}: a Blob and files belong together")
        if (models[2] is Letter) != (signature is not None):
            raise RouteError(f"{handler.__qualname__}: a Letter and a signature belong together")
        declared = Route(
            name=handler.__name__,
            method=method,
            path=path,
            policy=policy,
            summary=summary,
            description=(handler.__doc__ or "").strip(),
            tag=tag,
            status=status,
            repeat_status=repeat_status,
            raises=raises,
            media_type=media_type,
            shown=shown,
            path_model=models[0],
            query_model=models[1],
            body_model=Nothing if models[2] in {Blob, Letter} else models[2],
            answer_model=_answered(handler.__qualname__, hints.get("return"), repeat_status),
            files=files,
            signature=signature,
        )
        handler.__route__ = declared  # type: ignore[attr-defined] # a mark for routes_of
        return handler

    return declare


def _answered(name: str, hint: object, repeat_status: int | None) -> type[BaseModel] | None:
    if hint in {Page, Download}:
        return None
    if (get_origin(hint) is Answer) != (repeat_status is not None):
        raise RouteError(f"{name}: an Answer and a repeat_status belong together")
    model = get_args(hint)[0] if get_origin(hint) is Answer else hint
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise RouteError(f"{name} does not say which model it returns")
    return model


def routes_of(api: object) -> Iterator[Bound]:
    """Find the declared routes of one object, in the order they were written."""
    for name, member in vars(type(api)).items():
        declared = getattr(member, "__route__", None)
        if isinstance(declared, Route):
            yield Bound(route=declared, handler=getattr(api, name))

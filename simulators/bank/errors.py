"""What the bank answers when it says no, in the envelope the contract prescribes."""

from typing import Any, Final

DOCUMENTATION: Final = "https://developer.gocardless.com/api-reference#"


class BankError(Exception):
    """A refusal that the client is told about; whatever the request had changed is undone."""

    def __init__(
        self, *, code: int, kind: str, reason: str, message: str, items: list[dict[str, Any]]
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.reason = reason
        self.message = message
        self.items = items

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the body of the answer; `request_id` ties it to a support call."""
        error: dict[str, Any] = {
            "message": self.message,
            "documentation_url": DOCUMENTATION + self.reason,
            "type": self.kind,
            "request_id": request_id,
            "code": self.code,
        }
        if self.items:
            error["errors"] = self.items
        return {"error": error}


def validation_failed(items: list[dict[str, Any]]) -> BankError:
    """Return the 422 that names every field in error with a pointer into the request."""
    return BankError(
        code=422,
        kind="validation_failed",
        reason="validation_failed",
        message="Validation failed",
        items=items,
    )


def invalid_field(pointer: str, message: str) -> BankError:
    """Return the 422 for one field; `pointer` is a path such as /payments/links/mandate."""
    field = pointer.rsplit("/", 1)[-1]
    return validation_failed([{"field": field, "message": message, "request_pointer": pointer}])


def invalid_state(
    reason: str, message: str, *, code: int = 422, links: dict[str, str] | None = None
) -> BankError:
    """Return the refusal of a request that is well formed but comes at the wrong moment."""
    item: dict[str, Any] = {"reason": reason, "message": message}
    if links:
        item["links"] = links
    return BankError(code=code, kind="invalid_state", reason=reason, message=message, items=[item])


def invalid_usage(code: int, reason: str, message: str, detail: str = "") -> BankError:
    """Return the refusal of a request that does not speak the contract."""
    item = {"reason": reason, "message": detail or message}
    return BankError(
        code=code, kind="invalid_api_usage", reason=reason, message=message, items=[item]
    )


def not_found() -> BankError:
    """Return the 404 for an id nobody has, or an id that was removed."""
    return invalid_usage(404, "resource_not_found", "Resource not found")


def bad_document(detail: str) -> BankError:
    """Return the 400 for a body that is not the JSON document the contract asks for."""
    return invalid_usage(400, "invalid_document_structure", "Invalid document structure", detail)


def unauthorized() -> BankError:
    """Return the 401 for a missing or unknown token."""
    return invalid_usage(401, "unauthorized", "Unauthorized")


def forbidden() -> BankError:
    """Return the 403 for a token without this right."""
    return invalid_usage(403, "insufficient_permissions", "Insufficient permissions")


def rate_limited() -> BankError:
    """Return the 429 that promises that nothing was done."""
    return invalid_usage(429, "rate_limit_exceeded", "Rate limit exceeded")


def internal_error() -> BankError:
    """Return the 500 after which nobody knows whether anything was done."""
    return BankError(
        code=500, kind="gocardless", reason="internal_error", message="Internal error", items=[]
    )


def conflict(resource_id: str) -> BankError:
    """Return the 409 that says which resource the idempotency key already made."""
    return invalid_state(
        "idempotent_creation_conflict",
        "A resource has already been created with this idempotency key",
        code=409,
        links={"conflicting_resource_id": resource_id},
    )


def account_exists(resource_id: str) -> BankError:
    """Return the 409 for a bank account the customer already has."""
    message = "Bank account already exists"
    return BankError(
        code=409,
        kind="validation_failed",
        reason="bank_account_exists",
        message=message,
        items=[
            {
                "reason": "bank_account_exists",
                "message": message,
                "links": {"customer_bank_account": resource_id},
            }
        ],
    )

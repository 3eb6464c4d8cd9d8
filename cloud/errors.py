"""Errors of the cloud, one class per reaction of the caller; one handler turns them into HTTP answers."""

from typing import ClassVar


class CloudError(Exception):
    """Root of everything the cloud raises on purpose; `hint` tells the person what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class NotFoundError(CloudError):
    """There is no such thing, or the asker may not know of it."""

    status = 404
    code = "not_found"


class ConflictError(CloudError):
    """The thing is in a state that does not allow this: show the present state, do not retry."""

    status = 409
    code = "conflict"


class InvalidError(CloudError):
    """The request is well formed but makes no sense: tell the person which part."""

    status = 422
    code = "invalid"


class NotSignedInError(CloudError):
    """No valid session: sign in."""

    status = 401
    code = "not_signed_in"


class ForbiddenError(CloudError):
    """The session's role does not allow this."""

    status = 403
    code = "forbidden"


class TooManyRequestsError(CloudError):
    """Slow down; the answer says for how long."""

    status = 429
    code = "too_many_requests"


class UnavailableError(CloudError):
    """Something this needs is not there just now: try again."""

    status = 503
    code = "unavailable"

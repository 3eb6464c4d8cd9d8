"""Permission as a parameter: a route that names none of these is open, and a test lists the open ones."""

from typing import Annotated, Final, Protocol, cast

from fastapi import Depends, Request

from cloud.errors import ForbiddenError, NotSignedInError
from cloud.people.model import PERMITTED, Principal, Role, Scope

COOKIE: Final = "linli_session"
_BEARER: Final = "bearer "
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Authenticator(Protocol):
    """Who turns a secret into a person."""

    def by_session(self, secret: str) -> Principal | None:
        """Give the person of a live session, and note that it was used."""
        ...

    def by_token(self, secret: str) -> Principal | None:
        """Give the person of a live API token."""
        ...


def authenticator(request: Request) -> Authenticator:
    """Give the process's authenticator, put into `app.state.people` by the composition root."""
    return cast("Authenticator", request.app.state.people)


def current_principal(
    request: Request, people: Annotated[Authenticator, Depends(authenticator)]
) -> Principal:
    """Tell who asks: an `Authorization: Bearer` token comes before the session cookie.

    Raises:
        NotSignedInError: neither is there, or it has ended.
        ForbiddenError: a token for reading was used to change something.
    """
    header = request.headers.get("authorization", "")
    if header.lower().startswith(_BEARER):
        principal = people.by_token(header[len(_BEARER) :].strip())
    else:
        secret = request.cookies.get(COOKIE, "")
        principal = people.by_session(secret) if secret else None
    if principal is None:
        raise NotSignedInError("you are not signed in", "sign in and try again")
    if principal.scope is Scope.READ and request.method not in _READING:
        raise ForbiddenError(
            "this API token may only read", "make a token with the scope 'act' for this"
        )
    return principal


class Requires:
    """A dependency that lets only some roles pass."""

    def __init__(self, *roles: Role) -> None:
        self.allowed = frozenset[Role]().union(*(PERMITTED[role] for role in roles))

    def __call__(self, principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
        """Give the principal.

        Raises:
            ForbiddenError: its role is not among the allowed.
        """
        if principal.role not in self.allowed:
            wanted = ", ".join(sorted(self.allowed))
            raise ForbiddenError(
                f"your role {principal.role.value!r} does not allow this",
                f"ask somebody with one of the roles: {wanted}",
            )
        return principal


AnyRole = Annotated[Principal, Depends(Requires(*Role))]
OnDuty = Annotated[Principal, Depends(Requires(Role.DUTY))]
Supervisor = Annotated[Principal, Depends(Requires(Role.SUPERVISOR))]
Installer = Annotated[Principal, Depends(Requires(Role.INSTALLER))]
Admin = Annotated[Principal, Depends(Requires(Role.ADMIN))]

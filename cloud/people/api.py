"""Routes of people: signing in and out, users, API tokens; and the permissions every route names."""

from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from cloud.kit.web import ERRORS
from cloud.people.accounts import Accounts, UserChange
from cloud.people.audit_store import AuditRow
from cloud.people.model import PASSWORD_MAX, Language, Principal, Role, Scope, User
from cloud.people.permission import COOKIE, Admin, AnyRole
from cloud.people.service import PeopleService, SignedIn
from cloud.people.store import TokenRow

router: Final = APIRouter(prefix="/api", tags=["people"], responses=ERRORS)


def _people(request: Request) -> PeopleService:
    return cast("PeopleService", request.app.state.people)


def _accounts(request: Request) -> Accounts:
    return cast("Accounts", request.app.state.accounts)


People = Annotated[PeopleService, Depends(_people)]
AccountList = Annotated[Accounts, Depends(_accounts)]
Password = Annotated[str, Field(min_length=1, max_length=PASSWORD_MAX)]
PersonName = Annotated[str, Field(min_length=1, max_length=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_Body):
    """Username and password."""

    username: str = Field(min_length=1, max_length=64)
    password: Password


class SessionView(BaseModel):
    """Who is signed in; times are Unix ms."""

    user_id: str
    username: str
    name: str
    role: Role
    language: Language
    must_change_password: bool
    expires_at: int | None


class PasswordChange(_Body):
    """The old and the new password."""

    old: Password
    new: Password


class UserView(BaseModel):
    """A person; times are Unix ms."""

    id: str
    username: str
    name: str
    role: Role
    language: Language
    is_enabled: bool
    must_change_password: bool
    created_at: int
    last_login_at: int | None


class UserList(BaseModel):
    """All people, by username."""

    users: list[UserView]


class UserAdd(_Body):
    """A new person; without a password one is generated and shown once."""

    username: str = Field(
        min_length=1, max_length=64, pattern=r"^[a-z0-9]([a-z0-9._\-]*[a-z0-9])?$"
    )
    name: PersonName
    role: Role
    language: Language = Language.ZH
    password: Password | None = None


class UserAdded(BaseModel):
    """The new person; `password` is there once, when it was generated."""

    user: UserView
    password: str | None


class UserPatch(_Body):
    """What to change; what is left out stays."""

    name: PersonName | None = None
    role: Role | None = None
    language: Language | None = None
    is_enabled: bool | None = None


class PasswordSet(_Body):
    """A new password for somebody; without one it is generated."""

    password: Password | None = None


class PasswordGiven(BaseModel):
    """The generated password, shown once; null when one was given."""

    password: str | None


class TokenAdd(_Body):
    """A new API token of the asker."""

    name: PersonName
    scope: Scope = Scope.READ
    days: int | None = Field(default=365, ge=1, le=3650, description="null: never expires")


class TokenView(BaseModel):
    """An API token without its secret; times are Unix ms."""

    id: str
    name: str
    scope: Scope
    created_at: int
    expires_at: int | None
    used_at: int | None


class TokenAdded(BaseModel):
    """The new token; `secret` is shown once and goes into `Authorization: Bearer`."""

    token: TokenView
    secret: str


class TokenList(BaseModel):
    """The asker's API tokens, newest first."""

    tokens: list[TokenView]


class AuditEntry(BaseModel):
    """One act that matters for security; `at` is Unix ms."""

    id: int
    at: int
    actor: str
    action: str
    subject: str
    address: str
    detail: dict[str, str]


class AuditList(BaseModel):
    """Acts, newest first; `next` is the `before` of the next page, null at the end."""

    entries: list[AuditEntry]
    next: int | None


def client_address(request: Request) -> str:
    """Give the address a request came from."""
    return request.client.host if request.client else ""


def _set_cookie(request: Request, response: Response, signed_in: SignedIn) -> None:
    is_secure = request.url.scheme == "https" or bool(getattr(request.app.state, "is_https", False))
    response.set_cookie(
        COOKIE, signed_in.secret, path="/", httponly=True, samesite="strict", secure=is_secure
    )


def _session_view(principal: Principal) -> SessionView:
    return SessionView(
        user_id=principal.user_id,
        username=principal.username,
        name=principal.name,
        role=principal.role,
        language=principal.language,
        must_change_password=principal.must_change_password,
        expires_at=principal.expires_at,
    )


def _user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        username=user.username,
        name=user.name,
        role=user.role,
        language=user.language,
        is_enabled=user.is_enabled,
        must_change_password=user.must_change_password,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )


def _token_view(token: TokenRow) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scope=token.scope,
        created_at=token.created_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )


def _audit_entry(row: AuditRow) -> AuditEntry:
    detail = {key: str(value) for key, value in row.detail.items()}
    return AuditEntry(
        id=row.id, at=row.at, actor=row.actor, action=row.action, subject=row.subject,
        address=row.address, detail=detail,
    )  # fmt: skip


@router.post("/session", operation_id="signIn")
def sign_in(body: SignIn, request: Request, response: Response, people: People) -> SessionView:
    """Sign in; sets the session cookie. 401 when name or password is wrong, 429 after too many failures."""
    signed_in = people.sign_in(
        body.username,
        body.password,
        address=client_address(request),
        agent=request.headers.get("user-agent", ""),
        replaces=request.cookies.get(COOKIE, ""),
    )
    _set_cookie(request, response, signed_in)
    return _session_view(signed_in.principal)


@router.get("/session", operation_id="getSession")
def session(principal: AnyRole) -> SessionView:
    """Tell who is signed in; 401 when nobody is."""
    return _session_view(principal)


@router.delete("/session", operation_id="signOut", status_code=204)
def sign_out(principal: AnyRole, request: Request, response: Response, people: People) -> None:
    """End this session."""
    people.sign_out(principal, client_address(request))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


@router.post("/session/password", operation_id="changePassword")
def change_password(
    principal: AnyRole, body: PasswordChange, request: Request, response: Response, people: People
) -> SessionView:
    """Set one's own password; ends all one's sessions and begins a new one."""
    signed_in = people.change_password(
        principal,
        old=body.old,
        new=body.new,
        address=client_address(request),
        agent=request.headers.get("user-agent", ""),
    )
    _set_cookie(request, response, signed_in)
    return _session_view(signed_in.principal)


@router.get("/tokens", operation_id="listTokens")
def list_tokens(principal: AnyRole, people: People) -> TokenList:
    """List one's own API tokens."""
    return TokenList(tokens=[_token_view(token) for token in people.tokens(principal)])


@router.post("/tokens", operation_id="createToken", status_code=201)
def create_token(
    principal: AnyRole, body: TokenAdd, request: Request, people: People
) -> TokenAdded:
    """Make an API token with one's own role; its secret is shown once."""
    made = people.make_token(
        principal, name=body.name, scope=body.scope, days=body.days, address=client_address(request)
    )
    return TokenAdded(token=_token_view(made.token), secret=made.secret)


@router.delete("/tokens/{token_id}", operation_id="revokeToken", status_code=204)
def revoke_token(principal: AnyRole, token_id: str, request: Request, people: People) -> None:
    """Revoke one of one's own API tokens."""
    people.revoke_token(principal, token_id[:64], client_address(request))


@router.get("/users", operation_id="listUsers")
def list_users(_admin: Admin, accounts: AccountList) -> UserList:
    """List all people."""
    return UserList(users=[_user_view(user) for user in accounts.everybody()])


@router.post("/users", operation_id="createUser", status_code=201)
def create_user(admin: Admin, body: UserAdd, request: Request, accounts: AccountList) -> UserAdded:
    """Add a person; 409 when the username is taken."""
    added = accounts.add(
        username=body.username,
        name=body.name,
        role=body.role,
        language=body.language,
        password=body.password,
        by=admin.username,
        address=client_address(request),
    )
    return UserAdded(user=_user_view(added.user), password=added.password)


@router.patch("/users/{user_id}", operation_id="changeUser")
def change_user(
    admin: Admin, user_id: str, body: UserPatch, request: Request, accounts: AccountList
) -> UserView:
    """Change or disable a person; a new role and disabling end their sessions."""
    change = UserChange(
        name=body.name, role=body.role, language=body.language, is_enabled=body.is_enabled
    )
    changed = accounts.change(
        user_id[:64], change, by=admin.username, address=client_address(request)
    )
    return _user_view(changed)


@router.post("/users/{user_id}/password", operation_id="setUserPassword")
def set_user_password(
    admin: Admin, user_id: str, body: PasswordSet, request: Request, accounts: AccountList
) -> PasswordGiven:
    """Set somebody's password, or generate one; ends their sessions."""
    password = accounts.set_password(
        user_id[:64], body.password, by=admin.username, address=client_address(request)
    )
    return PasswordGiven(password=password)


@router.get("/audit", operation_id="listAudit")
def list_audit(
    _admin: Admin,
    accounts: AccountList,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditList:
    """List the acts that matter for security, newest first."""
    rows = accounts.audit(before, limit)
    following = rows[-1].id if len(rows) == limit else None
    return AuditList(entries=[_audit_entry(row) for row in rows], next=following)

"""Routes of people: signing in and out, users, API tokens; and the permissions every route names."""

from cloud.people.model import Principal, Role
from cloud.people.permission import (
    COOKIE,
    Admin,
    AnyRole,
    Installer,
    OnDuty,
    Supervisor,
    current_principal,
)

__all__ = [
    "COOKIE",
    "Admin",
    "AnyRole",
    "Installer",
    "OnDuty",
    "Principal",
    "Role",
    "Supervisor",
    "current_principal",
]

"""The topics of FastAPI's tutorial about dependencies and security, as a newcomer to the service types them."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Security
from fastapi.security import (
    APIKeyHeader,
    HTTPBasic,
    HTTPBasicCredentials,
    OAuth2PasswordBearer,
    OAuth2PasswordRequestForm,
    SecurityScopes,
)

from app.core.component import Component
from app.features.tutorial import done

router = APIRouter(prefix="/tutorial", tags=["tutorial"])


# Dependencies
class Pages:
    """A class as a dependency."""

    def __init__(self, skip: int = 0, limit: int = 10) -> None:
        self.skip, self.limit = skip, limit


async def connection() -> AsyncIterator[str]:
    """A resource for a request, closed after it."""
    done.append("opened")
    try:
        yield "connection"
    except KeyError as error:
        raise HTTPException(404, "no such key") from error
    finally:
        done.append("closed")


def session(opened: Annotated[str, Depends(connection)]) -> Iterator[str]:
    """A plain generator that needs the other one."""
    yield f"session on {opened}"


def verify(x_verified: Annotated[str, Header()]) -> None:
    """A dependency without a value."""
    if x_verified != "yes":
        raise HTTPException(400, "X-Verified has to be yes")


@router.get("/depends")
async def depend(pages: Annotated[Pages, Depends()], opened: Annotated[str, Depends(session)]) -> dict[str, Any]:
    """Use dependencies of each kind."""
    return {"limit": pages.limit, "opened": opened}


@router.get("/depends/fails")
async def depend_and_fail(opened: Annotated[str, Depends(session)]) -> None:
    """Fail, and let the dependency translate it."""
    raise KeyError(opened)


@router.get("/verified", dependencies=[Depends(verify)])
async def verified() -> str:
    """Answer those that are verified."""
    return "verified"


# Security
oauth2 = OAuth2PasswordBearer(tokenUrl="tutorial/token", scopes={"read": "Read."})
users = {"ada-token": "ada"}
basic, api_key = HTTPBasic(), APIKeyHeader(name="X-Own-Key")


async def current_user(scopes: SecurityScopes, token: Annotated[str, Depends(oauth2)]) -> str:
    """Return the user of a token."""
    if token not in users:
        raise HTTPException(401, "no such token", {"WWW-Authenticate": f'Bearer scope="{scopes.scope_str}"'})
    return users[token]


@router.post("/token")
async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    """Give a token for a password."""
    if form.password != form.username[::-1]:
        raise HTTPException(400, "wrong name or password")
    return {"access_token": f"{form.username}-token", "token_type": "bearer"}


@router.get("/me")
async def me(user: Annotated[str, Security(current_user, scopes=["read"])]) -> str:
    """Answer a user."""
    return user


@router.get("/basic")
async def read_basic(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> str:
    """Answer a name and a password."""
    return given.username


@router.get("/key")
async def read_key(given: Annotated[str, Depends(api_key)]) -> str:
    """Answer a key."""
    return given


def component() -> Component:
    """Return the feature."""
    return Component(name="tutorial_guards", routers=[router])

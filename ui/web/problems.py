"""Problems: every error as RFC 9457 has it, with the error tree's name, its facts, and a remedy worded for HTTP."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from registry.errors import (
    AlreadyThere,
    ClusterError,
    DiskFull,
    ExtraMissing,
    HomeUnusable,
    HubError,
    KeyNeeded,
    KeyReused,
    LimitReached,
    NotFinished,
    NotResumable,
    ObjectsAway,
    ObjectsError,
    OriginRefused,
    PluginUnusable,
    RegistryAway,
    RegistryBusy,
    RegistryError,
    RequestRefused,
    ScopeMissing,
    TransferZooError,
)

__all__ = ["MEDIA_TYPE", "Absent", "Problem", "problem_of", "response_of"]

MEDIA_TYPE = "application/problem+json"
_STATUS: Mapping[type[TransferZooError], int] = {
    KeyNeeded: 401,
    ScopeMissing: 403,
    OriginRefused: 403,
    LimitReached: 429,
    KeyReused: 422,
    AlreadyThere: 409,
    NotFinished: 409,
    NotResumable: 409,
    RegistryAway: 503,
    RegistryBusy: 503,
    DiskFull: 507,
    ClusterError: 503,
    HomeUnusable: 503,
    HubError: 502,
    ObjectsAway: 503,
    ObjectsError: 502,
    ExtraMissing: 501,
    PluginUnusable: 501,
    RegistryError: 500,
}
"""The first that an error is decides; what is none of them was asked wrongly."""
_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])(?=\W|$)")
_COMMAND = re.compile(r"`(transferzoo [^`]+)`")


class Absent(Exception):
    """What an address names is not there."""

    def __init__(self, cause: TransferZooError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Problem(BaseModel):
    """RFC 9457, section 3, with what is to be done about it."""

    type: str
    title: str
    """The error's name in words."""
    status: int
    detail: str
    instance: str
    """Id of the request."""
    remedy: str = ""
    facts: dict[str, Any] = {}


def problem_of(error: TransferZooError, request: str, status: int | None = None) -> Problem:
    """An error of ours as a problem."""
    name = type(error).__name__
    return Problem(
        type=f"urn:transferzoo:{name}",
        title=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize(),
        status=status or _status(error),
        detail=str(error),
        instance=f"urn:uuid:{request}",
        remedy=_for_http(error.remedy),
        facts={
            key: _plain(value) for key, value in vars(error).items() if key not in {"message", "remedy", "__notes__"}
        },
    )


def response_of(problem: Problem, error: TransferZooError | None = None) -> JSONResponse:
    """The answer that carries a problem, with what its error means for the client."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, LimitReached):
        headers["Retry-After"] = str(max(1, round(error.seconds)))
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)


def _status(error: TransferZooError) -> int:
    if isinstance(error, RequestRefused):
        return error.status
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 422)


def _for_http(remedy: str) -> str:
    """A remedy of the command line in words of this surface: options are fields, commands are for the server."""
    fields = _OPTION.sub(lambda option: f"`{option[1].replace('-', '_')}`", remedy)
    return _COMMAND.sub(r"`\1` (on the server)", fields)


def _plain(value: object) -> object:
    if isinstance(value, str | int | float | bool | None):
        return value
    return [_plain(one) for one in value][:50] if isinstance(value, list | tuple) else str(value)

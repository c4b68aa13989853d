"""Bodies: what may be asked over HTTP, made of the typed requests; where those have a path, a body has an upload's id.

A body is flat: the fields of the sample stand beside those of the request. Nothing in it can name a place on
the server.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from recommender.requests import RecommendRequest, Request, SampleRequest, TuneRequest
from registry.cards import JobRecord, JobState

__all__ = ["JobView", "PredictBody", "RecommendBody", "SampleView", "TuneBody", "request_from", "view_of"]

SampleId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$"), Field(description="Id of an uploaded sample.")]
_PLACES = ("labels", "groups", "test", "source_data")
_HIDDEN = {"path", "sample", "follow_links", "executor", "tracker", "fetch", "disk_budget"}
"""What is the server's own affair."""


def _body(name: str, form: type[Request]) -> type[BaseModel]:
    fields: dict[str, Any] = {"sample": (SampleId, ...)}
    for each in (SampleRequest, form):
        for field, about in each.model_fields.items():
            if field in _PLACES:
                fields[field] = (SampleId | None, None)
            elif field not in _HIDDEN:
                fields[field] = (about.rebuild_annotation(), about.default)
    config = ConfigDict(extra="forbid", frozen=True, title=name)
    body: type[BaseModel] = create_model(name, __config__=config, __doc__=form.__doc__, **fields)
    return body


RecommendBody = _body("RecommendBody", RecommendRequest)
TuneBody = _body("TuneBody", TuneRequest)


class PredictBody(BaseModel):
    """What a run says of an uploaded sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sample: SampleId
    labels: SampleId | None = None


class SampleView(BaseModel):
    """What was uploaded."""

    id: str
    """The beginning of its SHA-256."""
    name: str
    bytes: int
    created: bool
    """Whether it was new; the same bytes are one sample."""


class JobView(BaseModel):
    """How a job stands."""

    id: str
    kind: str
    state: JobState
    created: str
    ahead: int
    """Jobs that come before it."""
    phase: str
    part: str
    fraction: float
    """Of the whole, from 0 to 1; 0 before anything is known."""
    seconds_left: float | None = None
    best: Mapping[str, float] = {}
    """Of every learning curve, its best value so far: of a loss the lowest, else the highest."""
    result: Mapping[str, Any] | None = None
    """What names the result: ``recommendation`` or ``run``."""
    error: str | None = None


def request_from(form: type[Request], body: BaseModel, place_of: Callable[[str], Path]) -> Request:
    """The typed request that a body stands for; ``place_of`` gives where an upload lies.

    Raises:
        UnusableRequest: its fields do not go together.
    """
    fields = {name: value for name, value in body if value is not None}
    fields |= {name: place_of(fields[name]) for name in _PLACES if name in fields}
    place = place_of(fields.pop("sample"))
    reading = {name: fields.pop(name) for name in [*SampleRequest.model_fields] if name in fields}
    return form(sample=SampleRequest(path=place, **reading), **fields)


def view_of(job: JobRecord, ahead: int, seconds_left: float | None = None) -> JobView:
    """A job as it is shown."""
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created=job.created,
        ahead=ahead,
        phase=job.stage,
        part=job.part,
        fraction=_fraction(job),
        seconds_left=seconds_left,
        best={series: _best(series, [value for _, value in curve]) for series, curve in job.curve.items()},
        result=job.result,
        error=job.error,
    )


def _fraction(job: JobRecord) -> float:
    if job.state is JobState.FINISHED:
        return 1.0
    part = job.done / job.of if job.of else 0.0
    return min(1.0, (max(job.step - 1, 0) + part) / job.steps) if job.steps else part


def _best(series: str, values: list[float]) -> float:
    return min(values) if "loss" in series else max(values)

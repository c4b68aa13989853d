"""The service's routes: each parses, asks the registry, its queue or `recommender.service`, and gives JSON."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from threading import Semaphore
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from recommender.checks import check_request, require_advice
from recommender.requests import PredictRequest, RecommendRequest, TuneRequest
from recommender.requests import Request as TypedRequest
from recommender.runs.folder import RunFolder, RunState, find_run, run_folders
from recommender.service import perform
from registry.cards import ApiKey, Checkpoint, Domain, JobRecord, JobState, Outcome, Scope
from registry.errors import KeyReused, LimitReached, ScopeMissing, TransferZooError, UnknownName
from registry.forms import to_json
from registry.zoo import Zoo
from ui import job_queue
from ui.web.bodies import JobView, PredictBody, RecommendBody, SampleView, TuneBody, request_from, view_of
from ui.web.events import follow
from ui.web.gate import Gate, Limits, Meters
from ui.web.problems import MEDIA_TYPE, Absent, Problem, problem_of, response_of
from ui.web.samples import Samples

__all__ = ["create_app"]

_PROBLEMS: Mapping[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code in ("4XX", "5XX")
}
_PAGE = 100
_MOST_READ = 2000
"""Records that are read for a page at most."""
_LOOK_EVERY = 1.0
"""Seconds."""
_PREDICTING = Semaphore(1)
"""A prediction opens a net: one at a time."""
_FIELDS = "See `/docs` for the fields and what each may be."
_REMEDIES: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: "See `/docs` for the addresses.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Use a method that the `Allow` header names.",
    HTTPStatus.BAD_REQUEST: "Send one JSON object in UTF-8.",
}
Body = dict[str, Any]
AfterQuery = Annotated[str, Query(description="The last name of the page before.")]
LimitQuery = Annotated[int, Query(ge=1, le=1000)]
IdempotencyHeader = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


class Page(BaseModel):
    """One page of a list; ``next`` is to be given as ``after``, and is null on the last."""

    items: list[Body]
    next: str | None


class Alive(BaseModel):
    """The service answers."""

    version: str


def create_app(zoo: Zoo, *, keyless: bool, limits: Limits | None = None) -> FastAPI:
    """The service over one registry; ``keyless`` where it is bound to this machine alone."""
    limits, meters = limits or Limits(), Meters()
    app = FastAPI(
        title="transferzoo",
        summary="Which pretrained model to start from, how much of it to freeze, and whether the advice was right.",
        version=version("transferzoo"),
        responses=dict(_PROBLEMS),
    )
    samples = Samples(zoo, most_bytes=limits.upload_bytes, most_bytes_a_key=limits.bytes_a_key)
    samples.clear()
    service = _Service(zoo, samples, limits)
    app.include_router(_state(zoo, meters))
    app.include_router(_samples(service))
    app.include_router(_work(service))
    app.include_router(_jobs(service))
    app.include_router(_knowledge(zoo))
    _word_errors(app, samples)
    app.add_middleware(Gate, zoo=zoo, keyless=keyless, limits=limits, meters=meters)
    return app


class _Service:
    """What the routes share: the registry, the uploads, and what of both a key may see."""

    def __init__(self, zoo: Zoo, samples: Samples, limits: Limits) -> None:
        self.zoo, self.samples, self.limits = zoo, samples, limits
        self._looked = float("-inf")

    def sees(self, key: ApiKey, place: object) -> bool:
        """Whether a key may see what is about the data at a place: its own uploads, an administrator everything."""
        return key.permits(Scope.ADMIN) or self.samples.is_owned(str(place), key.id)

    def job(self, key: ApiKey, name: str) -> JobRecord:
        with _absent(names=False):
            job = self.zoo.jobs.get(name)
            if job.owner != key.id and not key.permits(Scope.ADMIN):
                raise UnknownName("job", name, ())
            return job

    def jobs_after(self, key: ApiKey, name: str, most: int) -> tuple[JobRecord, ...]:
        """The first so many of a key's own jobs, an administrator's of all, whose ids come after one."""
        return self.zoo.jobs.after(name, most, owner=None if key.permits(Scope.ADMIN) else key.id)

    def runs_after(self, name: str, most: int) -> tuple[RunFolder, ...]:
        """The first so many runs whose ids come after one; none of them is read."""
        runs = [run for run in run_folders(self.zoo.home) if run.id > name]
        return tuple(sorted(runs, key=_name_of)[:most])

    def look_after_queue(self) -> None:
        """See that somebody works, once a second however often it is asked."""
        if time.monotonic() - self._looked >= _LOOK_EVERY:
            self._looked = time.monotonic()
            job_queue.ensure_worker(self.zoo)

    def run(self, key: ApiKey, name: str) -> RunFolder:
        with _absent(names=False):
            run = find_run(self.zoo.home, name)
            if not self.sees(key, _origin(run)):
                raise UnknownName("run", name, ())
            return run

    def advice(self, key: ApiKey, name: str) -> Body:
        with _absent(names=False):
            kept = require_advice(self.zoo, name)
            if not self.sees(key, kept["sample"]["origin"]):
                raise UnknownName("recommendation", name, ())
            return dict(kept)

    def view(self, job: JobRecord) -> JobView:
        view = view_of(job, self.zoo.jobs.ahead(job.id) if job.state is JobState.QUEUED else 0)
        return view.model_copy(update={"error": view.error and self.samples.without_places(view.error)})

    def queue(self, key: ApiKey, form: type[TypedRequest], body: BaseModel) -> JobView:
        """Queue what a body asks for."""
        request = request_from(form, body, lambda name: self.samples.place(key.id, name))
        if isinstance(request, TuneRequest) and request.recommendation is not None:
            self.advice(key, request.recommendation)
        check_request(request, self.zoo)
        if self.zoo.jobs.open_count(key.id) >= self.limits.open_jobs:
            raise LimitReached("open jobs", f"{self.limits.open_jobs} a key", 30.0)
        return self.view(job_queue.enqueue(self.zoo, request, owner=key.id))

    def accept(
        self, key: ApiKey, form: type[TypedRequest], body: BaseModel, response: Response, idempotency: str | None
    ) -> JobView:
        """Queue what a body asks for; under the same idempotency key it is the same job."""
        view = self.queue(key, form, body) if idempotency is None else self._once(key, form, body, idempotency)
        response.headers["Location"] = f"/jobs/{view.id}"
        return view

    def _once(self, key: ApiKey, form: type[TypedRequest], body: BaseModel, idempotency: str) -> JobView:
        digest = hashlib.sha256(f"{type(body).__name__}{body.model_dump_json()}".encode()).hexdigest()
        known = self.zoo.access.answer(key.id, idempotency)
        if known is None:
            view = self.queue(key, form, body)
            self.zoo.access.keep_answer(key.id, idempotency, digest, HTTPStatus.ACCEPTED, {"job": view.id})
            return view
        if known[0] != digest:
            raise KeyReused
        return self.view(self.zoo.jobs.get(known[2]["job"]))


# ---------------------------------------------------------------- routes


def _state(zoo: Zoo, meters: Meters) -> APIRouter:
    routes = APIRouter(tags=["state"])

    @routes.get("/health")
    def health() -> Alive:
        """Whether the service answers."""
        return Alive(version=version("transferzoo"))

    @routes.get("/ready")
    def ready() -> Alive:
        """Whether the registry can be read."""
        zoo.domains()
        return Alive(version=version("transferzoo"))

    @routes.get("/metrics", dependencies=[_needs(Scope.READ)], response_class=Response)
    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/audit", dependencies=[_needs(Scope.ADMIN)])
    def audit(limit: LimitQuery = _PAGE) -> list[Body]:
        """The last writes through the service."""
        return [row.to_dict() for row in zoo.access.writes(limit)]

    return routes


def _samples(service: _Service) -> APIRouter:
    routes = APIRouter(tags=["samples"])

    @routes.post(
        "/samples",
        status_code=HTTPStatus.CREATED,
        responses={200: {"model": SampleView}},
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {}}}}},
    )
    async def upload(
        request: Request,
        response: Response,
        key: Annotated[ApiKey, _needs(Scope.ADVISE)],
        name: Annotated[str, Query(min_length=1, max_length=200, description="Name of the file.")] = "sample.zip",
    ) -> SampleView:
        """Upload a zip, CSV, TSV, JSON-lines or Parquet file as the body; the same bytes are one sample."""
        stored = await service.samples.store(key.id, name, request.stream())
        response.status_code = HTTPStatus.CREATED if stored.created else HTTPStatus.OK
        return stored

    @routes.get("/samples")
    def list_samples(key: Annotated[ApiKey, _needs(Scope.READ)]) -> list[SampleView]:
        """The uploads of this key."""
        return service.samples.list(key.id)

    @routes.delete("/samples/{sample}", status_code=HTTPStatus.NO_CONTENT)
    def remove(sample: str, key: Annotated[ApiKey, _needs(Scope.ADVISE)]) -> None:
        """Remove an upload."""
        service.samples.remove(key.id, sample)

    return routes


def _work(service: _Service) -> APIRouter:
    routes = APIRouter(tags=["advice and runs"])

    @routes.post("/recommendations", status_code=HTTPStatus.ACCEPTED)
    def recommend(
        body: RecommendBody,  # type: ignore[valid-type]  # made of the typed request
        response: Response,
        key: Annotated[ApiKey, _needs(Scope.ADVISE)],
        idempotency: IdempotencyHeader = None,
    ) -> JobView:
        """Queue advice on an upload."""
        return service.accept(key, RecommendRequest, body, response, idempotency)

    @routes.get("/recommendations")
    def list_advice(key: Annotated[ApiKey, _needs(Scope.READ)], limit: LimitQuery = _PAGE) -> list[Body]:
        """The newest advice on this key's uploads: id, moment, sample, first choice."""
        rows = [(at, kept) for at, kept in service.zoo.kept(limit) if service.sees(key, kept["sample"]["origin"])]
        return [
            {"id": kept["id"], "created": at, "sample": kept["sample"]["name"], "verdict": kept["verdict"]}
            for at, kept in rows
        ]

    @routes.get("/recommendations/{recommendation}")
    def show_advice(recommendation: str, key: Annotated[ApiKey, _needs(Scope.READ)]) -> Body:
        """Advice, as `--json` prints it."""
        return service.advice(key, recommendation)

    @routes.post("/runs", status_code=HTTPStatus.ACCEPTED)
    def tune(
        body: TuneBody,  # type: ignore[valid-type]  # as above
        response: Response,
        key: Annotated[ApiKey, _needs(Scope.TUNE)],
        idempotency: IdempotencyHeader = None,
    ) -> JobView:
        """Queue a fine-tuning as advised."""
        return service.accept(key, TuneRequest, body, response, idempotency)

    @routes.get("/runs")
    def list_runs(
        key: Annotated[ApiKey, _needs(Scope.READ)], after: AfterQuery = "", limit: LimitQuery = _PAGE
    ) -> Page:
        """The runs on this key's uploads."""
        return _page_of(service.runs_after, lambda run: service.sees(key, _origin(run)), after, limit, _form_of)

    @routes.get("/runs/{run}")
    def show_run(run: str, key: Annotated[ApiKey, _needs(Scope.READ)]) -> Body:
        """A run: what came of it, or how it stands."""
        return _form_of(service.run(key, run))

    @routes.post("/runs/{run}/predict")
    def predict(run: str, body: PredictBody, key: Annotated[ApiKey, _needs(Scope.ADVISE)]) -> Body:
        """What a finished run says of every item of an upload."""
        folder = service.run(key, run)
        labels = None if body.labels is None else service.samples.place(key.id, body.labels)
        request = PredictRequest(run=folder.id, path=service.samples.place(key.id, body.sample), labels=labels)
        check_request(request, service.zoo)
        with _PREDICTING:
            return perform(request, service.zoo).to_dict()

    return routes


def _jobs(service: _Service) -> APIRouter:
    routes = APIRouter(prefix="/jobs", tags=["jobs"])

    @routes.get("")
    def list_jobs(
        key: Annotated[ApiKey, _needs(Scope.READ)], after: AfterQuery = "", limit: LimitQuery = _PAGE
    ) -> Page:
        """The jobs of this key."""
        service.look_after_queue()

        def form(job: JobRecord) -> Body:
            return service.view(job).model_dump(mode="json")

        return _page_of(partial(service.jobs_after, key), lambda _job: True, after, limit, form)

    @routes.get("/{job}")
    def show_job(job: str, key: Annotated[ApiKey, _needs(Scope.READ)]) -> JobView:
        """How a job stands."""
        service.look_after_queue()
        return service.view(service.job(key, job))

    @routes.get("/{job}/events", response_class=StreamingResponse)
    async def events(job: str, key: Annotated[ApiKey, _needs(Scope.READ)]) -> StreamingResponse:
        """A job as server-sent events: phase, fraction, seconds left, best so far; the last is named as its state."""
        record = await run_sync(service.job, key, job)

        async def look() -> JobView:
            return await run_sync(lambda: service.view(service.zoo.jobs.get(record.id)))

        return StreamingResponse(follow(look), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @routes.delete("/{job}")
    def cancel(job: str, key: Annotated[ApiKey, _needs(Scope.ADVISE)]) -> JobView:
        """Cancel a job; one that is under way is gone within five seconds."""
        return service.view(job_queue.stop(service.zoo, service.job(key, job).id))

    return routes


def _knowledge(zoo: Zoo) -> APIRouter:
    routes = APIRouter(tags=["what is known"], dependencies=[_needs(Scope.READ)])

    @routes.get("/checkpoints")
    def checkpoints(
        modality: str | None = None,
        max_parameters: Annotated[int | None, Query(ge=1)] = None,
        after: AfterQuery = "",
        limit: LimitQuery = _PAGE,
    ) -> Page:
        """The checkpoints that are registered."""

        def small(card: Checkpoint) -> bool:
            return max_parameters is None or card.parameters is None or card.parameters <= max_parameters

        return _page_of(partial(zoo.checkpoints_after, modality=modality), small, after, limit)

    @routes.get("/checkpoints/{name}")
    def checkpoint(name: str) -> Body:
        """One checkpoint's card."""
        with _absent():
            return dict(to_json(zoo.checkpoint(name)))

    @routes.get("/domains")
    def domains(modality: str | None = None, after: AfterQuery = "", limit: LimitQuery = _PAGE) -> Page:
        """The source domains that are known."""
        return _page_of(partial(zoo.domains_after, modality=modality), lambda _card: True, after, limit)

    @routes.get("/outcomes", dependencies=[_needs(Scope.ADMIN)])
    def outcomes(checkpoint: str | None = None, after: AfterQuery = "", limit: LimitQuery = _PAGE) -> Page:
        """What became of every fine-tuning."""
        return _page_of(partial(zoo.history_after, checkpoint=checkpoint), lambda _card: True, after, limit)

    return routes


# ---------------------------------------------------------------- what they share


def _needs(scope: Scope) -> Any:  # noqa: ANN401 - what FastAPI calls it
    """The key of a request, which must permit that."""

    def key_of(request: Request) -> ApiKey:
        key: ApiKey = request.state.key
        if not key.permits(scope):
            raise ScopeMissing(key.name, str(key.scope), str(scope))
        return key

    return Depends(key_of)


@contextmanager
def _absent(*, names: bool = True) -> Iterator[None]:
    """What is not known by its name is not at that address; without ``names`` no other is named."""
    try:
        yield
    except UnknownName as cause:
        raise Absent(cause if names else UnknownName(cause.what, cause.name, ())) from cause


def _page_of(
    read: Callable[[str, int], Sequence[Any]],
    fits: Callable[[Any], bool],
    after: str,
    limit: int,
    form: Callable[[Any], Body] = to_json,
) -> Page:
    """The records that come after that name and fit, read no further than the page goes, nor than `_MOST_READ` of them.

    Where few fit, a page holds fewer than its limit and goes on all the same.
    """
    shown: list[Any] = []
    more, seen = True, 0
    while more and len(shown) <= limit and seen < _MOST_READ:
        some = read(after, limit + 1)
        shown += [card for card in some if fits(card)]
        more, seen = len(some) > limit, seen + len(some)
        after = _name_of(some[-1]) if some else after
    rest, shown = shown[limit:], shown[:limit]
    last = _name_of(shown[-1]) if rest else after if more else None
    return Page(items=[form(one) for one in shown], next=last)


def _name_of(record: Checkpoint | Domain | Outcome | JobRecord | RunFolder) -> str:
    return record.name if isinstance(record, Checkpoint | Domain) else record.id


def _origin(run: RunFolder) -> str:
    sample = run.job.get("sample")
    return str(sample.get("origin", "")) if isinstance(sample, dict) else ""


def _form_of(run: RunFolder) -> Body:
    return run.result if run.state is RunState.FINISHED else run.to_dict()


def _word_errors(app: FastAPI, samples: Samples) -> None:
    """Every error is a problem, and names no place on the server."""

    def problem(request: Request, error: TransferZooError, status: int | None = None) -> JSONResponse:
        worded = problem_of(error, request.state.request, status)
        return response_of(Problem.model_validate_json(samples.without_places(worded.model_dump_json())), error)

    @app.exception_handler(TransferZooError)
    async def ours(request: Request, error: TransferZooError) -> JSONResponse:
        return problem(request, error)

    @app.exception_handler(Absent)
    async def absent(request: Request, error: Absent) -> JSONResponse:
        return problem(request, error.cause, HTTPStatus.NOT_FOUND)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return response_of(_plain_problem(request, 422, "Unusable request", f"{where}: {first['msg']}", _FIELDS))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, TransferZooError):
            return problem(request, error.__cause__)
        remedy = _REMEDIES.get(error.status_code, "See `/docs` for what can be asked, and how.")
        answer = response_of(_plain_problem(request, error.status_code, str(error.detail), request.url.path, remedy))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def fault(request: Request, _error: Exception) -> JSONResponse:
        remedy = "Report it with the id of this request, under which the server's log tells more."
        return response_of(_plain_problem(request, 500, "A fault of the service", "It was not foreseen.", remedy))


def _plain_problem(request: Request, status: int, title: str, detail: str, remedy: str) -> Problem:
    instance = f"urn:uuid:{request.state.request}"
    return Problem(type="about:blank", title=title, status=status, detail=detail, instance=instance, remedy=remedy)

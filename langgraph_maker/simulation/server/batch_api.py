"""OpenAI's `/v1/files` and `/v1/batches` over HTTP, on what `batch_jobs` knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from langgraph_maker.simulation.server.batch_jobs import BatchJobs
from langgraph_maker.simulation.server.chat_api import ApiError
from langgraph_maker.simulation.server.http_faults import fail

__all__ = ["add_routes"]


def add_routes(app: web.Application, jobs: BatchJobs, admit: Callable[[web.Request], None]) -> None:
    """Serve files and batches; `admit` refuses a request by its key."""
    routes = _Routes(jobs, admit)
    app.router.add_post("/v1/files", routes.upload)
    app.router.add_get("/v1/files/{id}", routes.file)
    app.router.add_get("/v1/files/{id}/content", routes.content)
    app.router.add_post("/v1/batches", routes.create)
    app.router.add_get("/v1/batches", routes.listing)
    app.router.add_get("/v1/batches/{id}", routes.batch)
    app.router.add_post("/v1/batches/{id}/cancel", routes.cancel)


class _Routes:
    def __init__(self, jobs: BatchJobs, admit: Callable[[web.Request], None]) -> None:
        self.jobs, self.admit = jobs, admit

    async def upload(self, request: web.Request) -> web.Response:
        self.admit(request)
        purpose, content, name = None, None, ""
        async for part in await request.multipart():
            if getattr(part, "name", None) == "purpose":
                purpose = (await part.read(decode=True)).decode()  # type: ignore[union-attr]
            elif getattr(part, "name", None) == "file":
                content, name = bytes(await part.read()), part.filename or ""  # type: ignore[union-attr]
        if purpose != "batch" or content is None:
            raise ApiError(400, "A file is uploaded with 'file', and 'purpose' \"batch\".", param="purpose")
        return web.json_response(self.jobs.add_file(name, content))

    async def file(self, request: web.Request) -> web.Response:
        self.admit(request)
        return web.json_response(self.jobs.file(request.match_info["id"]))

    async def content(self, request: web.Request) -> web.Response:
        self.admit(request)
        return web.Response(body=self.jobs.content(request.match_info["id"]), content_type="application/jsonl")

    async def create(self, request: web.Request) -> web.StreamResponse:
        self.admit(request)
        job = self.jobs.create(await request.read())
        if job.fault == "unanswered":
            return await fail(request, "reset", b"", 0.0)
        return web.json_response(job.body())

    async def listing(self, request: web.Request) -> web.Response:
        self.admit(request)
        limit = request.query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= _LONGEST_PAGE:
            raise ApiError(400, f"Invalid 'limit': 1 to {_LONGEST_PAGE}", param="limit")
        return web.json_response(self.jobs.listed(request.query.get("after"), int(limit)))

    async def batch(self, request: web.Request) -> web.Response:
        self.admit(request)
        return web.json_response(self.jobs.get(request.match_info["id"]).body())

    async def cancel(self, request: web.Request) -> web.Response:
        self.admit(request)
        return web.json_response(self.jobs.cancel(request.match_info["id"]).body())


_LONGEST_PAGE: Final = 100

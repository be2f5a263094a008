"""The application: FastAPI inside the request middleware, with problems in its OpenAPI and a page of docs."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from app.core.component import Component, State, in_serving_order, opened_in_order
from app.core.errors import PROBLEM
from app.core.http import problems
from app.core.http.compression import Compression
from app.core.http.endpoints import OVERRIDES, Router
from app.core.http.lifecycle import Lifecycle
from app.core.http.request_middleware import RequestMiddleware
from app.core.http.security import HttpSettings, policy_for_page, production_warnings, with_cors
from app.core.http.websockets import WebSockets, WebSocketSettings
from app.core.observability.access_log import AccessLog
from app.core.observability.logging import LogSettings
from app.core.settings import ServiceSettings, Settings, project

logger = logging.getLogger(__name__)
DOCS, OPENAPI = "/docs", "/openapi.json"


class Service(FastAPI):
    """The application, put together from components."""

    def __init__(self, components: Sequence[Component], settings: Settings, lifecycle: Lifecycle) -> None:
        service, http = settings.of(ServiceSettings), settings.of(HttpSettings)
        with_docs = http.docs if http.docs is not None else not service.production
        self.settings = settings
        self.lifecycle = lifecycle
        super().__init__(
            title=service.name,
            version=service.version,
            description=project("description"),
            lifespan=opened_in_order([*components, Component(name="production_warnings", lifespan=self._warn)]),
            middleware=[
                Middleware(Compression),
                Middleware(with_cors, http),
                *(middleware for component in components for middleware in component.middleware),
            ],
            redirect_slashes=False,  # the redirect would repeat the Host header
            openapi_url=OPENAPI if with_docs else None,
            docs_url=None,
            redoc_url=None,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self.dependency_overrides = OVERRIDES.dependency_overrides
        problems.install(self)
        for router in in_serving_order(components):
            if isinstance(router, Router):
                self.router.routes.extend(router.routes)  # include_router() matches each route twice: 8 µs a request
            else:
                self.include_router(router)
        if with_docs:
            page = get_swagger_ui_html(openapi_url=OPENAPI, title=self.title)
            page.headers["content-security-policy"] = policy_for_page(bytes(page.body).decode())

            async def docs() -> HTMLResponse:
                return page

            self.add_api_route(DOCS, docs, include_in_schema=False, response_class=HTMLResponse)

    def build_middleware_stack(self) -> ASGIApp:
        """Return the stack of FastAPI inside the request middleware."""
        http, access = self.settings.of(HttpSettings), AccessLog(self.settings.of(LogSettings))
        stack = super().build_middleware_stack()
        sockets = WebSockets(stack, http, self.settings.of(WebSocketSettings), access)
        return RequestMiddleware(stack, sockets, http, access, self.lifecycle)

    def openapi(self) -> dict[str, Any]:
        """Return the schema, in which every operation may answer with a problem."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        schema = super().openapi()
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            components.pop(name, None)
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components |= problem.pop("$defs") | {"Problem": problem}
        content = {"content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        for operations in schema["paths"].values():
            for operation in operations.values():
                answers = operation["responses"]
                if PROBLEM not in answers.get("422", {}).get("content", {PROBLEM: None}):
                    answers["422"] = {"description": "The request has values that are not acceptable."} | content
                answers["default"] = {"description": "Any other error."} | content
        return schema

    @asynccontextmanager
    async def _warn(self, _: State) -> AsyncIterator[State]:
        warned = self.settings.of(ServiceSettings).production
        for warning in production_warnings(self.settings.of(HttpSettings), self.routes) if warned else ():
            logger.warning(warning)
        yield {}

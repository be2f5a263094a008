"""The application: FastAPI inside the request middleware, with problems in its OpenAPI and a page of docs."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.routing import iter_route_contexts
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from app.core.component import Component, State, in_serving_order, opened_in_order
from app.core.errors import PROBLEM, ConfigurationInvalid
from app.core.http import problems
from app.core.http.compression import Compression
from app.core.http.endpoints import OVERRIDES, Router, operation_id
from app.core.http.lifecycle import Lifecycle
from app.core.http.request_middleware import RequestMiddleware
from app.core.http.security import HttpSettings, policy_for_page, production_warnings, with_cors
from app.core.http.websockets import WebSockets, WebSocketSettings
from app.core.observability.access_log import AccessLog
from app.core.observability.logging import LogSettings
from app.core.schema import REQUIRED
from app.core.settings import ServiceSettings, Settings, project

logger = logging.getLogger(__name__)
DOCS, REDOC, OPENAPI = "/docs", "/redoc", "/openapi.json"


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
            generate_unique_id_function=operation_id,
            redirect_slashes=False,  # the redirect would repeat the Host header
            openapi_url=OPENAPI if with_docs else None,
            docs_url=None,
            redoc_url=None,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self.response_headers = {"X-Correlation-ID": "The id of the request in the log."}
        for component in components:
            self.response_headers |= component.response_headers
        self.dependency_overrides = OVERRIDES.dependency_overrides
        problems.install(self)
        for router in in_serving_order(components):
            if isinstance(router, Router):
                self.router.routes.extend(router.routes)  # include_router() matches each route twice: 8 µs a request
            else:
                self.include_router(router)
        self._refuse_ambiguous(http.root_path or "")
        if with_docs:
            self._add_pages()

    def build_middleware_stack(self) -> ASGIApp:
        """Return the stack of FastAPI inside the request middleware."""
        http, access = self.settings.of(HttpSettings), AccessLog(self.settings.of(LogSettings))
        stack = super().build_middleware_stack()
        sockets = WebSockets(stack, http, self.settings.of(WebSocketSettings), access)
        return RequestMiddleware(stack, sockets, http, access, self.lifecycle, self._answers_head)

    @cached_property
    def _routes_with_head(self) -> list[re.Pattern[str]]:
        return [route.path_regex for route in iter_route_contexts(self.routes) if "HEAD" in (route.methods or ())]

    def _answers_head(self, path: str) -> bool:
        """Return whether a route declares HEAD for this path."""
        return any(pattern.match(path) for pattern in self._routes_with_head)

    def _refuse_ambiguous(self, root: str) -> None:
        """Refuse a prefix with which a path of the service begins: it may be there or not, as the proxy has it."""
        for route in iter_route_contexts(self.routes) if root else ():
            if f"{route.path}/".startswith(f"{root}/"):
                raise ConfigurationInvalid(
                    f"HTTP__ROOT_PATH: {root} is how {route.path} of this service begins: take another prefix"
                )

    def _add_pages(self) -> None:
        """Serve the pages of the API from files of this service. Their links are relative: any prefix goes before."""
        files, openapi, icon = DOCS[1:], OPENAPI[1:], f"{DOCS[1:]}/favicon.png"
        swagger = get_swagger_ui_html(
            openapi_url=openapi,
            title=self.title,
            swagger_js_url=f"{files}/swagger-ui-bundle.js",
            swagger_css_url=f"{files}/swagger-ui.css",
            swagger_favicon_url=icon,
        )
        redoc = get_redoc_html(
            openapi_url=openapi,
            title=self.title,
            redoc_js_url=f"{files}/redoc.standalone.js",
            redoc_favicon_url=icon,
            with_google_fonts=False,
        )
        for path, page in ((DOCS, swagger), (REDOC, redoc)):
            page.headers["content-security-policy"] = policy_for_page(bytes(page.body).decode())
            self.add_api_route(path, _showing(page), include_in_schema=False, response_class=HTMLResponse)
        self.mount(DOCS, StaticFiles(packages=[("fastapi_offline", "static")]))

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
        schema["components"]["headers"] = {
            name: {"description": said, "schema": {"type": "string"}} for name, said in self.response_headers.items()
        }
        common = {name: {"$ref": f"#/components/headers/{name}"} for name in self.response_headers}
        for operations in schema["paths"].values():
            for operation in operations.values():
                answers = operation["responses"]
                if PROBLEM not in answers.get("422", {}).get("content", {PROBLEM: None}):
                    answers["422"] = {"description": "The request has values that are not acceptable."} | content
                answers["default"] = {"description": "Any other error."} | content
                for status, answer in answers.items():
                    if status == "default" or status.startswith("2"):
                        answer["headers"] = answer.get("headers", {}) | common
                for parameter in operation.get("parameters", ()):
                    if parameter["schema"].pop(REQUIRED, False):
                        parameter["required"] = True
        return schema

    @asynccontextmanager
    async def _warn(self, _: State) -> AsyncIterator[State]:
        warned = self.settings.of(ServiceSettings).production
        for warning in production_warnings(self.settings.of(HttpSettings), self.routes) if warned else ():
            logger.warning(warning)
        yield {}


def _showing(page: HTMLResponse) -> Callable[[], Awaitable[HTMLResponse]]:
    async def show() -> HTMLResponse:
        return page

    return show

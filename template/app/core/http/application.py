"""The application object: FastAPI inside the outer wrapper, with problems in its OpenAPI and a docs page."""

from collections.abc import Sequence
from copy import copy
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, request_response
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from app.core.component import Component, in_serving_order, opened_in_order
from app.core.errors import PROBLEM
from app.core.http import problems
from app.core.http.lifecycle import Lifecycle
from app.core.http.request_middleware import Outer
from app.core.http.security import HeaderList, HttpSettings, headers, policy_for_page
from app.core.observability.access_log import AccessLog
from app.core.settings import ServiceSettings, project

DOCS, OPENAPI = "/docs", "/openapi.json"


class Service(FastAPI):
    """The application, put together from components."""

    def __init__(
        self,
        components: Sequence[Component],
        *,
        service: ServiceSettings,
        http: HttpSettings,
        access: AccessLog,
        lifecycle: Lifecycle,
    ) -> None:
        with_docs = http.docs if http.docs is not None else not service.production
        self.http = http
        self.access = access
        self.lifecycle = lifecycle
        self.pages: dict[str, HeaderList] = {}
        super().__init__(
            title=service.name,
            version=service.version,
            description=project("description"),
            lifespan=opened_in_order(components),
            middleware=[middleware for component in components for middleware in component.middleware],
            redirect_slashes=False,  # the redirect would repeat the Host header
            openapi_url=OPENAPI if with_docs else None,
            docs_url=None,
            redoc_url=None,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        problems.install(self)
        for router in in_serving_order(components):
            self._take_over(router)
        if with_docs:
            self._add_docs()

    def _take_over(self, router: APIRouter) -> None:
        """Include a router; where it holds nothing but routes, as routes of the application's own.

        FastAPI tries the routes of an included router twice, which takes an eighth of a small request.
        """
        self.include_router(router)
        included: Any = self.router.routes[-1]
        plain = [route for route in router.routes if isinstance(route, APIRoute) and route.max_body_size is None]
        if len(plain) == len(router.routes) and not router.form_limits and not included.effective_low_priority_routes():
            self.router.routes[-1:] = [self._own(route) for route in plain]

    def _own(self, route: APIRoute) -> APIRoute:
        own = copy(route)
        own.dependency_overrides_provider = self
        own.app = request_response(own.get_route_handler())
        return own

    def build_middleware_stack(self) -> ASGIApp:
        """The stack of FastAPI inside the outer wrapper."""
        return Outer(super().build_middleware_stack(), self.http, self.access, self.lifecycle, self.pages)

    def openapi(self) -> dict[str, Any]:
        """The schema, in which every operation may answer a problem, and a refused value is one too."""
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components |= problem.pop("$defs") | {"Problem": problem}
            content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            for operations in schema["paths"].values():
                for operation in operations.values():
                    answers = operation["responses"]
                    if PROBLEM not in answers.get("422", {}).get("content", {PROBLEM: None}):
                        answers["422"] = {
                            "description": "The request has values that are not acceptable.",
                            "content": content,
                        }
                    answers["default"] = {"description": "Any other error.", "content": content}
            self.openapi_schema = schema
        return self.openapi_schema

    def _add_docs(self) -> None:
        page = get_swagger_ui_html(openapi_url=OPENAPI, title=self.title)
        html = bytes(page.body).decode()
        self.pages[DOCS] = headers(self.http, content_security_policy=policy_for_page(html))

        async def docs() -> HTMLResponse:
            return page

        self.add_api_route(DOCS, docs, include_in_schema=False, response_class=HTMLResponse)

"""Manifests as a cluster would read them: rendered by kubectl, and held against schemas."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from tests.delivery.tools import tool

Object = dict[str, Any]
NAME = "app.kubernetes.io/name"
WARNING = "# Warning: 'bases' is deprecated."
"""The warning of newer versions of kubectl about the one field that the oldest cannot do without."""
HOST = r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"


def objects(folder: Path) -> list[Object]:
    """Return the objects that `kubectl kustomize` makes of a folder."""
    done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith(WARNING)]
    assert not said, said
    return list(yaml.safe_load_all(done.stdout))


def _map(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
CUSTOM: dict[str, Any] = {
    # https://gateway-api.sigs.k8s.io/reference/api-spec/main/spec/#httproute
    "gateway.networking.k8s.io/v1 HTTPRoute": _map(
        {
            "parentRefs": _list(_map({"name": TEXT}, namespace=TEXT, sectionName=TEXT)),
            "hostnames": _list({"type": "string", "pattern": f"^{HOST}$"}),
            "rules": _list(
                _map(
                    {"backendRefs": _list(_map({"name": TEXT, "port": {"type": "integer"}}))},
                    matches=_list(_map({"path": _map({"type": {"enum": ["PathPrefix", "Exact"]}, "value": TEXT})})),
                    timeouts=_map({"request": DURATION}),
                )
            ),
        }
    ),
    # https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor
    "monitoring.coreos.com/v1 ServiceMonitor": _map(
        {
            "jobLabel": TEXT,
            "selector": _map({"matchLabels": TEXTS}),
            "endpoints": _list(_map({"port": TEXT, "path": TEXT, "interval": DURATION})),
        }
    ),
    # https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule
    "monitoring.coreos.com/v1 PrometheusRule": _map(
        {
            "groups": _list(
                _map(
                    {
                        "name": TEXT,
                        "rules": _list(
                            {
                                "if": {"required": ["record"]},
                                "then": _map({"record": TEXT, "expr": TEXT, "labels": TEXTS}),
                                "else": _map(
                                    {"alert": TEXT, "expr": TEXT, "labels": TEXTS, "annotations": TEXTS},
                                    **{"for": DURATION},
                                ),
                            }
                        ),
                    }
                )
            )
        }
    ),
}
"""The specs that no bundled schema knows, with the fields that are used here as their documentation has them."""


def invalid(found: list[Object]) -> Iterator[str]:
    """Yield a line for each error that the newest schemas find, unknown fields included."""
    for one in found:
        kind, name = f"{one['apiVersion']} {one['kind']}", one["metadata"]["name"]
        try:
            if kind in CUSTOM:
                jsonschema.validate(one["spec"], CUSTOM[kind])
            else:
                kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"{kind} {name}: {error}"
        except jsonschema.ValidationError as error:
            yield f"{kind} {name}: {error.message}"
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            yield f"{kind} {name}: is no name"


def kinds(found: list[Object], *names: str) -> list[Object]:
    """The objects of these kinds."""
    return [one for one in found if one["kind"] in names]


def only(found: list[Object], kind: str, name: str) -> Object:
    """The one object of this name."""
    (one,) = [one for one in kinds(found, kind) if one["metadata"]["name"] == name]
    return one


def templates(found: list[Object]) -> list[tuple[Object, Object]]:
    """Everything that starts pods, each with the template of its pods."""
    started = [(one, one["spec"]["template"]) for one in kinds(found, "Deployment", "Job")]
    return started + [(one, one["spec"]["jobTemplate"]["spec"]["template"]) for one in kinds(found, "CronJob")]


def containers(template: Object) -> list[Object]:
    """The containers of a pod, those that run first too."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def settings(found: list[Object], container: Object) -> dict[str, str]:
    """The variables that a container starts with."""
    (source,) = container["envFrom"]
    given = dict(only(found, "ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container.get("env", []):
        given[variable["name"]] = variable.get("value", "a-pod").replace("$(POD_NAME)", "a-pod")
    return given

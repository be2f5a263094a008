"""Mistakes in manifests that are valid: each function yields a line for each one that it finds."""

from collections.abc import Callable, Iterator

from tests.delivery.cluster import NAME, Object, containers, kinds, only, settings, templates


def _selected(selector: Object, labels: Object) -> bool:
    return selector.items() <= labels.items()


def selectors(found: list[Object]) -> Iterator[str]:
    """Selectors that select nothing, or not what they are for."""
    pods = [template["metadata"]["labels"] for _, template in templates(found)]
    for one, template in templates(found):
        wanted = one["spec"].get("selector", {}).get("matchLabels", {})
        if not _selected(wanted, template["metadata"]["labels"]):
            yield f"{one['kind']} {one['metadata']['name']} does not select its own pods"
    deployed = [one["spec"]["selector"]["matchLabels"] for one in kinds(found, "Deployment")]
    if any(_selected(wanted, other) for wanted in deployed for other in pods if wanted != other):
        yield "a Deployment selects the pods of another"
    lookups = [(one, one["spec"]["selector"]) for one in kinds(found, "Service")]
    lookups += [(one, one["spec"]["podSelector"]["matchLabels"]) for one in kinds(found, "NetworkPolicy")]
    lookups += [(one, one["spec"]["selector"]["matchLabels"]) for one in kinds(found, "PodDisruptionBudget")]
    for one, wanted in lookups:
        if not any(_selected(wanted, labels) for labels in pods):
            yield f"{one['kind']} {one['metadata']['name']} selects no pod"
    for one in kinds(found, "HorizontalPodAutoscaler"):
        if one["spec"]["scaleTargetRef"]["name"] not in {
            each["metadata"]["name"] for each in kinds(found, "Deployment")
        }:
            yield f"the autoscaler {one['metadata']['name']} scales nothing"
    services = [one["metadata"]["labels"] for one in kinds(found, "Service")]
    for one in kinds(found, "ServiceMonitor"):
        if sum(_selected(one["spec"]["selector"]["matchLabels"], labels) for labels in services) != 1:
            yield f"ServiceMonitor {one['metadata']['name']} does not select one Service"


def ports(found: list[Object]) -> Iterator[str]:
    """Ports without a listener, and ways to one that is not meant for it."""
    for _, template in templates(found):
        for container in containers(template):
            given = settings(found, container)
            listening = {
                "http": int(given.get("SERVER__PORT", "8000")),
                "metrics": int(given.get("PROMETHEUS__PORT", "0")),
            }
            for port in container.get("ports", []):
                if listening[port["name"]] != port["containerPort"]:
                    yield f"{container['name']} listens on {listening[port['name']]}, not {port['containerPort']}"
    opened = {
        port["name"]: port["containerPort"]
        for _, one in templates(found)
        for each in containers(one)
        for port in each.get("ports", [])
    }
    for one in kinds(found, "Service"):
        if len(one["spec"]["ports"]) != 1:
            yield f"Service {one['metadata']['name']} opens more than one port"
        for port in one["spec"]["ports"]:
            if port["targetPort"] not in opened:
                yield f"Service {one['metadata']['name']} leads to no port of a pod"
    reachable = {"gateway": {opened["http"]}, "monitoring": {opened.get("metrics")}}
    for one in kinds(found, "NetworkPolicy"):
        for rule in one["spec"].get("ingress", []):
            (origin,) = [each["namespaceSelector"]["matchLabels"]["purpose"] for each in rule["from"]]
            if {port["port"] for port in rule["ports"]} != reachable[origin]:
                yield f"the {origin} reaches other ports than {reachable[origin]}"
    yield from _routes(found)


def _routes(found: list[Object]) -> Iterator[str]:
    for one in kinds(found, "HTTPRoute"):
        for rule in one["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                port = only(found, "Service", backend["name"])["spec"]["ports"][0]
                if (backend["port"], port["name"]) != (port["port"], "http"):
                    yield "the route leads to no port of the service"
            if [match["path"]["value"] for match in rule["matches"]] != ["/api"]:
                yield "the route leads to more than the API"
    for one in kinds(found, "ServiceMonitor"):
        for endpoint in one["spec"]["endpoints"]:
            if endpoint["port"] not in {
                port["name"] for each in kinds(found, "Service") for port in each["spec"]["ports"]
            }:
                yield "the ServiceMonitor scrapes no port"


def hardening(found: list[Object]) -> Iterator[str]:
    """Pods that may do more than they need, or are not bounded."""
    for one, template in templates(found):
        name, pod = one["metadata"]["name"], template["spec"]
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or {context.get("runAsUser"), context.get("runAsGroup")} != {1000}:
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} may call anything of the kernel"
        if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
            yield f"{name} knows of the cluster"
        for container in containers(template):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name} has capabilities"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{name} can write to its own files"
            if (
                not {"cpu", "memory"} <= set(container["resources"]["requests"])
                or "memory" not in container["resources"]["limits"]
            ):
                yield f"{name} is not bounded"
    policies = [one["spec"] for one in kinds(found, "NetworkPolicy")]
    if not any(
        set(one["policyTypes"]) == {"Ingress", "Egress"}
        and not {"ingress", "egress"} & set(one)
        and set(one["podSelector"]["matchLabels"]) == {NAME}
        for one in policies
    ):
        yield "nothing is denied by default"


def stopping(found: list[Object]) -> Iterator[str]:
    """Pods that are killed before they have stopped by themselves, and rollouts that leave no pod to serve."""
    for one in kinds(found, "Deployment"):
        pod = one["spec"]["template"]["spec"]
        given = settings(found, pod["containers"][0])
        serving = one["metadata"]["labels"]["app.kubernetes.io/component"] == "service"
        longest = int(given["LIFECYCLE__DRAIN"]) + int(given["SERVER__SHUTDOWN_TIMEOUT"])
        longest = longest if serving else int(given["WORKER__SHUTDOWN_TIMEOUT"])
        if pod["terminationGracePeriodSeconds"] < longest + 10:
            yield f"{one['metadata']['name']} is killed while it stops"
        if serving and {"startupProbe", "livenessProbe", "readinessProbe"} - set(pod["containers"][0]):
            yield f"{one['metadata']['name']} is not probed"


def references(found: list[Object]) -> Iterator[str]:
    """Names that lead nowhere, and settings that point to where nothing is kept."""
    claims = {one["metadata"]["name"] for one in kinds(found, "PersistentVolumeClaim")}
    claimed = set()
    for one, template in templates(found):
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        claimed |= {
            each["persistentVolumeClaim"]["claimName"] for each in volumes.values() if "persistentVolumeClaim" in each
        }
        for container in containers(template):
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            if {mount["name"] for mount in mounts.values()} - set(volumes):
                yield f"{one['metadata']['name']} mounts a volume that it has not"
            if not {"/run/secrets", "/tmp"} <= set(mounts) or mounts["/run/secrets"].get("readOnly") is not True:  # noqa: S108
                yield f"{one['metadata']['name']} has no place for secrets, or for temporary files"
            for variable, value in settings(found, container).items():
                if container["command"][0] == "alembic" and variable != "DATABASE__URL":
                    continue  # it opens nothing else
                where = "/" + value.partition(":////")[2] if ":////" in value else value
                if where.startswith("/data") and not any(where.startswith(path) for path in mounts):
                    yield f"{variable} is {where}, where {one['metadata']['name']} keeps nothing"
    if claims != claimed:
        yield f"claims and volumes differ: {claims ^ claimed}"


CHECKS: list[Callable[[list[Object]], Iterator[str]]] = [selectors, ports, hardening, stopping, references]


def wrong(found: list[Object]) -> list[str]:
    """All that is wrong."""
    return [line for check in CHECKS for line in check(found)]

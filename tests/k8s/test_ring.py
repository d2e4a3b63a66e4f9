"""The manifests of the ring: what is rendered is valid and has few rights, and its command lines run: 4, 8, then 4 nodes."""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from netstack.taps.ring import Options
from tests.interop.programs import need, need_library
from tests.processes import ROOT, TWISTD, Running, environment_of

yaml = need_library("yaml")
kubernetes_validate = need_library("kubernetes_validate")

FOLDERS = ("base/ring", "overlays/ring-hashed")
VERSION = "1.30"
NAMESPACE = "netstack"
KEYS = [f"key{number}" for number in range(20)]
SECONDS = 60.0
Resource = dict[str, Any]


def rendered(folder: Path) -> list[Resource]:
    """What `kubectl kustomize` makes of a folder of ours, which has resources and strategic merge patches only."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(told) <= {"apiVersion", "kind", "resources", "patches"}
    found: list[Resource] = []
    for each in told["resources"]:
        path = (folder / each).resolve()
        found += rendered(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for each in told.get("patches", ()):
        for patch in yaml.safe_load_all((folder / each["path"]).read_text()):
            at = next(number for number, one in enumerate(found) if named(one) == named(patch))
            found[at] = merged(found[at], patch)
    return found


def named(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]


def merged(value: Any, patch: Any) -> Any:
    """Objects by their keys, lists by what their items are told apart by; other lists give way."""
    if isinstance(value, dict) and isinstance(patch, dict):
        return value | {key: merged(value.get(key), each) for key, each in patch.items()}
    if not isinstance(value, list) or not isinstance(patch, list):
        return patch
    for key in ("mountPath", "name"):
        if all(isinstance(one, dict) and key in one for one in patch):
            there = {one[key]: one for one in value}
            return [*(there | {one[key]: merged(there.get(one[key]), one) for one in patch}).values()]
    return patch


def unordered(value: Any) -> Any:
    """For a comparison that heeds no order of lists."""
    if isinstance(value, dict):
        return {key: unordered(each) for key, each in value.items()}
    return (
        sorted((unordered(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
        if isinstance(value, list)
        else value
    )


def pods(folder: str) -> dict[str, Resource]:
    """The pods' templates of a folder, by the name of what starts them."""
    found = rendered(ROOT / "k8s" / folder)
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found if "template" in each["spec"]}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_rendered_is_valid(folder: str) -> None:
    found = rendered(ROOT / "k8s" / folder)
    for each in found:
        kubernetes_validate.validate(each, VERSION, strict=True)
    services = {each["metadata"]["name"]: each["spec"] for each in found if each["kind"] == "Service"}
    (ring,) = [each["spec"] for each in found if each["kind"] == "StatefulSet"]
    assert (services["ring"]["clusterIP"], services["ring"]["publishNotReadyAddresses"]) == ("None", True)
    assert (ring["serviceName"], ring["podManagementPolicy"]) == ("ring", "Parallel")
    assert [each["spec"]["maxUnavailable"] for each in found if each["kind"] == "PodDisruptionBudget"] == [1]
    assert {each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            for each in found if each["kind"] == "NetworkPolicy"} == {*pods(folder)}  # fmt: skip
    assert "Secret" not in {each["kind"] for each in found}


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_rendered_as_kubectl_does(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")  # Debian's package and Google's exclude each other: CI installs none
    said = subprocess.run(
        ("kubectl", "kustomize", str(ROOT / "k8s" / folder)), capture_output=True, text=True, check=True, timeout=60
    )
    theirs = {named(each): unordered(each) for each in yaml.safe_load_all(said.stdout)}
    assert theirs == {named(each): unordered(each) for each in rendered(ROOT / "k8s" / folder)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_containers_have_few_rights_and_options_that_exist(folder: str) -> None:
    for spec in pods(folder).values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "health"}
        given = {each.partition("=")[0].removeprefix("--") for each in container["args"]}
        assert given <= {*Options().longOpt} | {each.rstrip("=") for each in Options().longOpt}
        leave = [float(each.partition("=")[2]) for each in container["args"] if each.startswith("--leave=")]
        assert all(each < spec["terminationGracePeriodSeconds"] - 10 for each in leave)


class Cluster:
    """Pods of the overlay as processes: each has an address, and its volumes in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.specs = pods("overlays/ring-hashed")
        self.net = f"127.{20 + os.getpid() % 200}.90"
        self.running: dict[str, Running] = {}
        made = directory / "secrets"
        script = ROOT / "k8s" / "overlays" / "ring-hashed" / "secrets.sh"
        alternative = f"DNS:ring-issuer.{NAMESPACE}.svc.cluster.local,IP:{self.address('ring-issuer')}"
        said = subprocess.run(
            ("sh", str(script), str(made), NAMESPACE, "8", alternative),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        self.volumes: dict[str, dict[str, Path]] = {}
        """Of secrets and config maps, as kubectl makes them by the commands of the script: names of files."""
        for words in (line.split() for line in said.splitlines()):
            assert words[:5] == ["kubectl", "-n", NAMESPACE, "create", words[4]]
            name = words[5] if words[4] == "configmap" else words[6]
            files: dict[str, Path] = {}
            for option, _, value in (word.partition("=") for word in words[6:] if word.startswith("--")):
                path = Path(value)
                if option == "--from-file":
                    files |= {each.name: each for each in ([path] if path.is_file() else path.iterdir())}
                else:
                    files[{"--cert": "tls.crt", "--key": "tls.key"}[option]] = path
            self.volumes[name] = files

    def address(self, pod: str) -> str:
        return f"{self.net}.{100 if pod == 'ring-issuer' else int(pod.rpartition('-')[2]) + 1}"

    def start(self, *names: str) -> None:
        for name in names:
            spec = self.specs["ring" if name != "ring-issuer" else name]
            (container,) = spec["containers"]
            root = self._mounted(name, spec, container)
            words = [self._on_loopback(name, root, each) for each in container["args"]]
            assert container["command"][0] == "twistd"
            self.running[name] = Running([TWISTD, *container["command"][1:], *words], environment_of())

    def _mounted(self, pod: str, spec: Resource, container: Resource) -> Path:
        """The directory that is the root of a pod's volumes."""
        root = self.directory / pod
        volumes = {each["name"]: each for each in spec["volumes"]}
        for mount in container["volumeMounts"]:
            at = root / mount["mountPath"].lstrip("/")
            volume = volumes.get(mount["name"], {})
            source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
            if source is None:
                at.mkdir(parents=True, exist_ok=True)
                continue
            files = self.volumes[source]
            if "subPathExpr" in mount:
                at.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(files[mount["subPathExpr"].replace("$(POD_NAME)", pod)], at)
                continue
            at.mkdir(parents=True, exist_ok=True)
            for name, path in files.items():
                shutil.copy(path, at / name)
        return root

    def _on_loopback(self, pod: str, root: Path, word: str) -> str:
        word = word.replace("$(POD_NAME)", pod).replace("$(POD_NAMESPACE)", NAMESPACE)
        for name in ("ring-issuer", *(f"ring-{number}" for number in range(8))):
            for known in (f"{name}.ring.{NAMESPACE}.svc.cluster.local", f"{name}.{NAMESPACE}.svc.cluster.local"):
                word = word.replace(known, self.address(name))
        if word == "--address=0.0.0.0":
            word = f"--address={self.address(pod)}"
        return word.replace("=/state", f"={root}/state").replace("=/run/", f"={root}/run/")

    def ask(self, pod: str, port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        """Status 0 where nobody is."""
        connection = http.client.HTTPConnection(self.address(pod), port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def wait(self, pods: Iterable[str], is_so: Callable[[str], bool]) -> None:
        end = time.monotonic() + SECONDS
        for each in pods:
            while not is_so(each):
                log = "".join(self.running[each].lines)
                assert self.running[each].process.poll() is None, log
                assert time.monotonic() < end, (self.ask(each, 9160, "/readyz"), log)
                time.sleep(0.1)

    def is_ready(self, pod: str) -> bool:
        return self.ask(pod, 9160, "/readyz")[0] == 200

    def values(self, pod: str) -> Mapping[str, tuple[int, bytes]]:
        return {key: self.ask(pod, 8160, f"/keys/{key}") for key in KEYS}


def test_scaled_from_four_to_eight_to_four(tmp_path: Path) -> None:
    """Each is ready once it serves its arc, and hands over what it keeps at SIGTERM: no key is lost."""
    need("openssl")
    cluster = Cluster(tmp_path)
    nodes = [f"ring-{number}" for number in range(8)]
    try:
        cluster.start("ring-issuer")
        cluster.wait(["ring-issuer"], cluster.is_ready)
        cluster.start("ring-1")
        cluster.wait(["ring-1"], lambda each: cluster.ask(each, 9160, "/livez")[0] == 200)
        assert cluster.ask("ring-1", 9160, "/readyz") == (503, b"not ready: ring-1 has no place on the circle ring.\n")
        cluster.start("ring-0", "ring-2", "ring-3")
        cluster.wait(nodes[:4], cluster.is_ready)
        kept = {key: (200, key.encode()) for key in KEYS}
        for number, key in enumerate(KEYS):
            cluster.wait([nodes[number % 4]], lambda each, key=key: (  # type: ignore[misc]
                cluster.ask(each, 8160, f"/keys/{key}", "PUT", key.encode())[0] == 204
            ))  # fmt: skip
        cluster.start(*nodes[4:])
        cluster.wait(nodes, cluster.is_ready)
        cluster.wait(nodes, lambda each: cluster.values(each) == kept)
        for name in reversed(nodes[4:]):
            cluster.running.pop(name).end(SECONDS)
        cluster.wait(nodes[:4], lambda each: cluster.values(each) == kept)
        assert [line for each in cluster.running.values() for line in each.trouble()] == []
    finally:
        for each in cluster.running.values():
            each.process.kill()

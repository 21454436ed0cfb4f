"""Every flow is deployed, by prefect.yaml as by `hmr-align deploy`, and takes what JSON can say."""

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

import flows
from flows.server.deployments import DEPLOYMENTS, Deployment

ROOT = Path(__file__).parents[4]
ASKED = {"witness": "/models/lite.tflite", "folder": "/photographs", "counts": "/counts.json"}
"""Values of the parameters that have no default."""


def flows_that_there_are() -> set[str]:
    """The module path of every @flow in flows/."""
    found = set()
    for name in (info.name for info in pkgutil.walk_packages(flows.__path__, "flows.")):
        module = importlib.import_module(name)
        found |= {
            f"{name}.{key}"
            for key, value in vars(module).items()
            if isinstance(value, Flow) and value.fn.__module__ == name
        }
    return found


def test_every_flow_is_deployed():
    assert len(flows_that_there_are()) >= 20
    assert {one.entrypoint for one in DEPLOYMENTS} == flows_that_there_are()


def test_prefect_yaml_says_the_same():
    details = yaml.safe_load((ROOT / "deploy" / "prefect.yaml").read_text())["deployments"]
    schedules = [one.get("schedules", [{}])[0] for one in details]
    assert [
        Deployment(
            one["entrypoint"],
            one["name"],
            plan.get("cron"),
            plan.get("slug"),
            one.get("concurrency_limit"),
            one["work_pool"]["name"],
            plan.get("active", True),
        )
        for one, plan in zip(details, schedules)
    ] == [replace(one, trigger=None) for one in DEPLOYMENTS]
    assert all(one["parameters"] == {"settings": {}} for one in details)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: f"{one.entrypoint}/{one.name}")
def test_parameters_are_such_as_json_can_say(deployment):
    flow = deployment.flow()
    schema = parameter_schema(flow).model_dump_for_openapi()
    jsonschema.Draft202012Validator.check_schema(schema)
    asked = {name: ASKED[name] for name in schema["required"] if name != "settings"}
    given = {"settings": {"run": {"name": "x", "out": "/runs"}}, **asked}
    jsonschema.validate(given, schema)
    taken = flow.validate_parameters(given)
    assert taken["settings"].run.folder == Path("/runs/x")
    assert {name: str(taken[name]) for name in asked} == asked
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**given, "settings": {"run": {"nmae": "x"}}}, schema)

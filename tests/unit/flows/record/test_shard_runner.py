"""Which runner the settings choose, and what is said where it cannot be had."""

import sys

import pytest
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from flows.record.shard_runner import RUNNERS, ShardRunner, _workers
from tasks.run.settings import Run, SettingsError, load_settings


def test_every_runner_of_the_settings_is_there():
    names = Run.model_json_schema()["properties"]["runner"]["enum"]
    assert set(RUNNERS) == set(names)


def test_threads_take_one_shard_at_a_time_and_share_it_out():
    run = Run(processes=3)
    assert RUNNERS[run.runner](run) == ThreadPoolTaskRunner(max_workers=1) and run.processes_of_shard == 3


@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_the_others_take_as_many_shards_as_there_are_processes(runner):
    run = Run(processes=3, runner=runner)
    made = RUNNERS[runner](run)
    assert run.processes_of_shard == 1
    if isinstance(made, ProcessPoolTaskRunner):
        assert made == ProcessPoolTaskRunner(max_workers=3)
    else:
        details = made.cluster_kwargs["n_workers"] if runner == "dask" else made.init_kwargs["num_cpus"]
        assert details == 3


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_is_asked_by_its_address(runner):
    assert RUNNERS[runner](Run(runner=runner, cluster="tcp://host:1")).address == "tcp://host:1"


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_runner_whose_package_is_lacking_says_what_to_install(runner, monkeypatch):
    monkeypatch.setitem(sys.modules, f"prefect_{runner}.task_runners", None)
    with pytest.raises(SettingsError, match=rf"pip install 'hmr-align\[{runner}\]'"):
        RUNNERS[runner](Run(runner=runner))


def test_a_cluster_for_a_runner_that_has_none_is_refused():
    with pytest.raises(SettingsError, match="cluster has no effect with runner = 'threads'"):
        load_settings(None, {"run": {"cluster": "tcp://host:1"}})


def test_flows_inside_a_flow_share_the_workers():
    with ShardRunner() as outer:
        workers = _workers.of(Run())
        with outer.duplicate():
            assert _workers.of(Run()) is workers
        assert _workers.of(Run()) is workers
        assert _workers.of(Run(runner="processes", processes=2)) is not workers
    assert _workers.runner is None

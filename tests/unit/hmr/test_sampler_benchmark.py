import pytest

from hmr.sampler_benchmark import measure_sampler


@pytest.mark.slow
def test_the_sampler_is_measured_against_the_plain_network():
    speed, memory = measure_sampler(rounds=1)
    assert speed["metric"] in ("sampler.m20_cpu", "sampler.m20_gpu")
    assert speed["value"] > 0 and speed["ratio"] > 0.5
    assert memory["metric"].startswith("sampler.memory_m200_")

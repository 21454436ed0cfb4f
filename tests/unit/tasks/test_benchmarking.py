"""The benchmark on a few people of the studio, drawn and detected here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tasks.benchmarking
from hmr.body.skeleton import EVAL_14
from hmr.diffusion.latent import Decoding
from hmr.diffusion.sampler import PUBLISHED, WHOLE_SPREAD, SamplerSettings
from hmr.metrics.evaluation import ESTIMATES, METRICS
from storage.records import Group
from tasks.benchmarking import (
    Protocol,
    StudioPeople,
    benchmark_model,
    benchmark_sampler,
    compare,
    draw_people,
    evaluate_people,
    extras,
    framing,
    known,
    person_records,
    table,
    uncertainty,
    wild_errors,
)
from tasks.run.settings import Benchmark, CriticSection, OverlaySection, Sample
from tasks.sampling import body, groups_from, model, sampler_settings

SIZE = 4


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> StudioPeople:
    return StudioPeople("val", 6, tmp_path_factory.mktemp("seen"))


@pytest.fixture(scope="module")
def results(people, tmp_path_factory):
    """Result files of the lab base by protocol."""
    folder = tmp_path_factory.mktemp("results")
    return {protocol: measured(people, folder / f"{protocol}.npz", protocol) for protocol in ("fit", "published")}


def measured(people: StudioPeople, result: Path, protocol: Protocol) -> Path:
    section = Benchmark(hypotheses=SIZE, protocol=protocol)
    return benchmark_model.fn(
        protocol, "lab", None, people, section, Sample(device="cpu"), CriticSection(), OverlaySection(), result
    )


def test_a_result_holds_every_estimate(results):
    found = table(results["fit"])
    assert tuple(found) == ESTIMATES
    assert all(0 < found[e][m] < 1000 for e in ESTIMATES for m in METRICS)
    assert all(found["best_of_g"][m] <= found[e][m] for e in ("zero_noise", "medoid", "selected") for m in METRICS)
    assert extras(results["fit"])["people"] >= 4
    gained = compare(results["fit"], results["fit"], 50)
    assert gained["fused"]["pve_mm"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_people_are_measured_in_parts_as_together(results, people, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.benchmarking, "MEASURED", 2 * SIZE)
    parts = np.load(measured(people, tmp_path / "parts.npz", "published"))
    whole = np.load(results["published"])
    assert whole["index"].tolist() == parts["index"].tolist() and len(whole["index"]) > 2
    for name in whole.files:
        if whole[name].dtype.kind == "f":  # vectors agree within 1e-3 of 50: a product's sums are the machine's
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-3, atol=0.05, err_msg=name)


def test_uncertainty_is_told_for_every_joint_but_the_pelvis(results):
    found = uncertainty(results["fit"])
    assert len(found["joint_spread_mm"]) == 28 and "pelvis" not in found["joint_spread_mm"]
    assert found["joint_spread_mm"]["left_wrist"] > found["joint_spread_mm"]["spine1"] > 0
    assert -1 <= found["error_srcc"] <= 1


def test_the_protocol_stands_in_the_result_and_changes_it(results):
    first, second = (np.load(results[protocol]) for protocol in ("fit", "published"))
    assert (str(first["protocol"]), str(second["protocol"])) == ("fit", "published")
    assert (first["zero_noise/mpjpe_mm"] != second["zero_noise/mpjpe_mm"]).all()


def test_only_the_published_protocol_reads_the_truth(people):
    body_model, data = body(None), known(body(None), people)
    betas = torch.zeros(len(data.seen.index), 10)
    fit, published = (
        framing(data, betas, Decoding("hip_mean"), body_model, protocol) for protocol in ("fit", "published")
    )
    assert fit.root_depth is None and torch.equal(fit.camera, torch.from_numpy(data.seen.camera))
    assert torch.equal(published.camera, data.truth.camera) and fit.decoding.pelvis == "hip_mean"
    true = body_model(*data.truth.bodies).joints
    assert torch.equal(published.root_depth, true[:, 0, 2])
    assert not torch.equal(fit.camera, published.camera)


def test_guidance_reaches_the_samples(people):
    body_model, base = body(None), model("lab")
    plain, guided = (
        draw_people(base, body_model, people, hypotheses=SIZE, sampler=SamplerSettings(guidance=g)) for g in (0.0, 1.0)
    )
    assert torch.equal(plain.seeds, guided.seeds) and not torch.equal(plain.latents, guided.latents)
    marks = plain.known.seen.landmarks[:, [11, 12], :2]
    camera = torch.from_numpy(plain.known.seen.camera)[:, None]

    def gap(drawn):
        joints = drawn.posed.joints[:, 0, [16, 17]]
        places = camera[..., :2] * joints[..., :2] / joints[..., 2:] + camera[..., 2:]
        return (places - torch.from_numpy(marks)).norm(dim=-1).mean()

    assert gap(guided) < gap(plain)


def test_groups_carry_the_bodies_that_were_measured(people):
    """Critics, the oracle among them, judge what the benchmark measures."""
    body_model, base = body(None), model("lab")
    drawn = draw_people(base, body_model, people, hypotheses=SIZE)
    measured = evaluate_people(body_model, drawn, vertices=False)
    records = person_records(people, drawn.known.seen)
    groups: list[Group] = groups_from(
        records, drawn.latents, drawn.posed, drawn.framing.betas, body_model, base.digest(), 1.0, drawn.seeds.numpy()
    )
    true = body_model(*drawn.known.truth.bodies).joints.numpy()
    for group, joints, errors in zip(groups, true, measured.group.mpjpe_mm):
        gaps = (group.joints - group.joints[:, :1]) - (joints - joints[:1])
        np.testing.assert_allclose(1000 * np.linalg.norm(gaps[:, EVAL_14], axis=-1).mean(1), errors, rtol=1e-5)
        assert group.zero_start.tolist() == [True, False, False, False]
    assert np.isnan(wild_errors(body_model)(groups[0])).all()  # it knows the people of `wild` alone


def test_the_benchmark_samples_as_the_model_does_at_its_own_spread():
    base = model("default")
    assert benchmark_sampler(Sample(), base) == base.sampler == replace(WHOLE_SPREAD, guidance=0.2)
    assert benchmark_sampler(Sample(), model("lab")) == PUBLISHED
    chosen = Sample(steps=6, solver="ddim", guidance=0.5, temperature=3.0, temperature_spread=2.0)
    assert benchmark_sampler(chosen, base) == SamplerSettings(6, "ddim", guidance=0.5)
    assert sampler_settings(Sample(eta=1.0), base.sampler).solver == "ddim"  # fresh noise belongs to it
    assert sampler_settings(Sample(temperature=1.0), PUBLISHED) == PUBLISHED
    with pytest.raises(ValueError, match="ddim"):
        Sample(solver="second_order", eta=0.5)

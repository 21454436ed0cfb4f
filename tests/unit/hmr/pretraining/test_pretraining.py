"""Pretraining: exact examples, mirrors, and a run that resumes bit for bit."""

import pytest
import torch
from torch.testing import assert_close

from hmr.body.body import load_body
from hmr.diffusion.latent import Decoding, encode
from hmr.pretraining.labels import undrawn_people
from hmr.pretraining.pretraining import (
    CARRIED,
    PretrainSettings,
    Skeleton,
    TrainingPeople,
    _posed_errors,
    aims,
    examples,
    mirrored,
    pretrain,
)
from hmr.studio.simulated_detection import DetectionNoise, simulate
from hmr.studio.studio import Look, undrawn

HOW = Decoding()
LOOKS = (Look(lab=False, poses="hard"), Look(lab=True, poses="easy"))
SMALL = PretrainSettings(
    steps=4, aimed_steps=2, batch=12, width=24, blocks=1, predictor_width=24, warmup=2, save_every=3
)


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def people(body):
    return undrawn_people(body, 64, LOOKS)


@pytest.fixture(scope="module")
def seen(people):
    return simulate(people, DetectionNoise(), torch.Generator().manual_seed(0))


def test_latents_are_those_of_the_model_s_own_encoding(body, people, seen):
    truth = undrawn(body, range(64), LOOKS)
    rotations, betas, translation, camera = (torch.from_numpy(x) for x in vars(truth).values())
    wanted = encode(rotations, translation, body.rest_joints(betas), camera, seen.crop)
    assert_close(examples(people, seen).latents, wanted, atol=2e-3, rtol=1e-4)


def test_true_latents_pose_the_true_body(body, people, seen):
    """The root's depth is fitted with a guessed focal length, so places fit better than millimetres."""
    unsure = seen._replace(landmarks=seen.landmarks * torch.tensor([1.0, 1.0, 1.0, 0.0]))  # aims at the truth alone
    batch = examples(people, unsure)
    joints, places = _posed_errors(Skeleton.of(body), batch, batch.latents, batch.betas, HOW)
    assert joints.median() < 0.02 and places.median() < 0.01


def test_sure_detections_that_are_near_draw_and_others_do_not():
    true = torch.zeros(1, 33, 2)
    seen = torch.zeros(1, 33, 4)
    seen[0, 0], seen[0, 1], seen[0, 2] = torch.tensor([[0.02, 0, 0, 1], [0.02, 0, 0, 0], [0.5, 0, 0, 1]])
    aimed = aims(true, seen, share=0.6, near=0.08)[0]
    # 0.6 of 0.02, times exp(-(0.02 / 0.08)^2) = 0.9394; an unsure one is not followed, a far one hardly.
    assert_close(aimed[0], torch.tensor([0.6 * 0.9394 * 0.02, 0.0]), atol=1e-5, rtol=0)
    assert aimed[1].norm() == 0 and aimed[2].norm() < 1e-6


def test_a_skeleton_is_the_body_s_rest_pose(body):
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    assert_close(Skeleton.of(body).rest(betas), body.rest_joints(betas), atol=1e-5, rtol=1e-5)


def test_a_mirror_is_undone_by_a_mirror_and_keeps_errors(body, people, seen):
    batch, everyone = examples(people, seen), torch.ones(64, dtype=torch.bool)
    image = mirrored(batch, everyone)
    again = mirrored(image, everyone)
    for a, b in zip((again.observation.landmarks, again.latents, again.joints, again.crop),
                    (batch.observation.landmarks, batch.latents, batch.joints, batch.crop)):  # fmt: skip
        assert_close(a, b, atol=1e-4, rtol=1e-5)
    skeleton = Skeleton.of(body)
    for straight, turned in zip(
        _posed_errors(skeleton, batch, batch.latents, batch.betas, HOW),
        _posed_errors(skeleton, image, image.latents, image.betas, HOW),
    ):
        assert_close(turned.mean(1), straight.mean(1), atol=0.01, rtol=0.1)  # the body itself is not quite symmetric


def test_joints_move_with_their_landmarks_and_keep_their_depth(people, seen):
    assert_close(CARRIED.sum(1), torch.ones(29))
    answers = (examples(people, seen, aimed=flag).latents for flag in (False, True))
    plain, aimed = (latents[:, :87].unflatten(1, (29, 3)) / 50 for latents in answers)
    assert aimed[..., 2].equal(plain[..., 2])
    shift = examples(people, seen).places - examples(people, seen._replace(landmarks=_unsure(seen))).places
    assert_close((aimed - plain)[:, 20, :2], shift[:, 15], atol=1e-4, rtol=0)  # the left wrist


def _unsure(seen):
    return seen.landmarks * torch.tensor([1.0, 1.0, 1.0, 0.0])


def test_nobody_is_mirrored_without_being_chosen(people, seen):
    batch = examples(people, seen)
    assert mirrored(batch, torch.zeros(64, dtype=torch.bool)).latents.equal(batch.latents)


def test_an_interrupted_run_goes_on_to_the_same_weights(body, people, seen, tmp_path):
    everyone = TrainingPeople(people, people, seen)
    whole = pretrain(everyone, body, SMALL, tmp_path / "whole.state", lambda row: None)

    class Interrupted(Exception):
        pass

    def stop(row):
        raise Interrupted

    with pytest.raises(Interrupted):
        pretrain(everyone, body, SMALL, tmp_path / "parts.state", stop)
    resumed = pretrain(everyone, body, SMALL, tmp_path / "parts.state", lambda row: None)
    assert resumed.digest() == whole.digest()


def test_training_lowers_its_losses(body, people, seen, tmp_path):
    rows: list[dict] = []
    settings = SMALL.model_copy(update={"steps": 60, "aimed_steps": 0, "save_every": 20, "batch": 48})
    pretrain(TrainingPeople(people, people, seen), body, settings, tmp_path / "s", rows.append)
    assert rows[-1]["all"] < 0.8 * rows[0]["all"] and rows[-1]["held_out_mpjpe_mm"] < rows[0]["held_out_mpjpe_mm"]


@pytest.mark.parametrize("reads", ["everything", "places"])
def test_what_a_base_reads_is_all_it_depends_on(body, people, seen, tmp_path, reads):
    settings = SMALL.model_copy(update={"reads": reads})
    base = pretrain(TrainingPeople(people, people, seen), body, settings, tmp_path / "s", lambda row: None)
    observation = examples(people, seen).observation
    other = observation._replace(world=observation.world + 1)
    same = base.observe(observation).context["mean"].equal(base.observe(other).context["mean"])
    assert same == (reads == "places")

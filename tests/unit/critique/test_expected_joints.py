from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from critique.expected_joints import (
    DEPTH_COLUMNS,
    LANDMARK_COLUMNS,
    JointRegression,
    expect,
    expected_error,
    features,
    inputs,
    seen_by_the_crop,
)
from tests.factories import make_person

RANDOM = np.random.default_rng(3)
FIT = JointRegression(
    mean=RANDOM.normal(0, 1, 231),
    scale=RANDOM.uniform(0.5, 1, 231),
    directions=RANDOM.normal(0, 0.1, (231, 7)),
    phases=RANDOM.uniform(0, 6, 7),
    joints=RANDOM.normal(0, 0.1, (239, 87)),
    spreads=RANDOM.normal(0, 0.01, (239, 29)),
)


def test_inputs_are_crop_coordinates_visibility_and_metres():
    landmarks, world = np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32)
    landmarks[4] = 150, 250, 20, 0.7  # the crop's middle is (100, 200), its side 200 px
    landmarks[5] = 100, np.nan, 0, 0.5
    landmarks[6] = 9e5, 200, 0, 0.1
    world[4] = 0.1, -0.2, 0.3
    person = make_person(
        np.random.default_rng(0), crop=np.float32([100, 200, 200]), landmarks=landmarks, world_landmarks=world
    )
    details = inputs(person, landmarks, world).reshape(33, 7)
    np.testing.assert_allclose(details[4], [0.5, 0.5, 0.2, 0.7, 0.1, -0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(details[5], [0, np.nan, 0, 0.5, 0, 0, 0])
    assert details[6, 0] == 4 and np.isnan(details[7]).all()  # visibility 0: unknown


def test_hand_worked_features():
    fit = FIT._replace(mean=np.zeros(231), scale=np.full(231, 2.0), directions=np.zeros((231, 7)), phases=np.zeros(7))
    details = np.zeros((1, 231))
    details[0, :2] = 1.0, 100.0  # 0.5 standard deviations, and 50, which is cut off at 5
    found = features(fit, details)
    np.testing.assert_allclose(found[0, :3], [0.15, 1.5, 0])
    np.testing.assert_allclose(found[0, 231:], 1)  # cos 0, and the constant


def test_every_input_belongs_to_one_kind():
    assert sorted([*LANDMARK_COLUMNS, *DEPTH_COLUMNS]) == list(range(231))


@pytest.mark.parametrize("hidden", [LANDMARK_COLUMNS, DEPTH_COLUMNS])
def test_what_is_hidden_has_no_influence(hidden):
    first, second = np.random.default_rng(0).normal(0, 1, (2, 1, 231))
    second[:, np.setdiff1d(np.arange(231), hidden)] = first[:, np.setdiff1d(np.arange(231), hidden)]
    np.testing.assert_array_equal(features(FIT, first, hidden), features(FIT, second, hidden))
    assert not np.array_equal(features(FIT, first), features(FIT, second))


def test_the_pelvis_is_the_origin_and_spreads_are_positive():
    joints, spread = expect(FIT, make_person(np.random.default_rng(1)))
    np.testing.assert_array_equal(joints[0], 0)
    assert joints.shape == (29, 3) and spread.shape == (29,) and (spread > 0).all()


def test_expected_error_by_hand():
    joints = np.zeros((2, 29, 3))
    joints[1, :, 2] = 0.03
    found = expected_error(joints, np.zeros((29, 3)), np.full(29, 0.04))
    np.testing.assert_allclose(found, [0.04, 0.05])  # 3-4-5
    joints[1, 22] = 9  # a hand is not among the 14 joints
    np.testing.assert_allclose(expected_error(joints, np.zeros((29, 3)), np.full(29, 0.04))[1], 0.05)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_crop_sees_lengths_as_they_are_and_its_own_ray_as_depth(seed):
    random = np.random.default_rng(seed)
    person = make_person(random, crop=np.float32([*random.uniform(0, 1200, 2), 300]))
    joints = random.normal(0, 1, (4, 29, 3))
    seen = seen_by_the_crop(joints, person)
    about = joints - joints[:, :1]
    np.testing.assert_allclose(np.linalg.norm(seen, axis=-1), np.linalg.norm(about, axis=-1), atol=1e-9)
    ray = np.array([*((person.crop[:2] - person.camera[2:]) / person.camera[:2]), 1.0])
    along = np.stack([np.zeros(3), *np.tile(ray / np.linalg.norm(ray), (28, 1))])[None]
    np.testing.assert_allclose(seen_by_the_crop(along, person)[0, 1:], np.tile([0, 0, 1], (28, 1)), atol=1e-5)


@settings(max_examples=10)
@given(shift=st.tuples(st.integers(0, 2000), st.integers(0, 2000)))
def test_the_place_in_a_greater_photograph_is_free(shift):
    person = make_person(np.random.default_rng(5))
    moved = replace(
        person,
        landmarks=np.float32(np.add(person.landmarks, (*shift, 0, 0))),
        crop=np.float32(np.add(person.crop, (*shift, 0))),
    )
    first, second = (inputs(p, p.landmarks, p.world_landmarks) for p in (person, moved))
    np.testing.assert_allclose(second, first, atol=1e-4)

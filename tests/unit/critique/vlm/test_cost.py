"""The plan: requests, tokens, money and hours before anything is sent."""

import pytest

from critique.endpoint.cache import Spent
from critique.vlm.cost import alternatives, estimate, picture_tokens
from critique.vlm.vlm_settings import VlmSettings


def test_by_hand():
    settings = VlmSettings(prompt_price=2.0, completion_price=10.0, max_in_flight=4)
    found = estimate(settings, {20: 100}, size=512)
    assert picture_tokens(settings, 512) == 19 * 19
    assert (found.requests, found.pictures) == (100, 2100)
    assert found.prompt_tokens == 2100 * (361 + 6) + 100 * 330
    assert found.completion_tokens == 2000 * 35
    assert found.money == pytest.approx((found.prompt_tokens * 2 + 70_000 * 10) / 1e6)
    assert found.hours == pytest.approx(100 * 15 / 4 / 3600) and not found.measured


def test_groups_of_several_sizes_and_prototypes():
    found = estimate(VlmSettings(), {20: 2, 5: 3}, size=512, prototypes=3)
    assert (found.requests, found.pictures) == (5, 2 * 24 + 3 * 9)


def test_side_views_are_twice_as_wide_and_large_pictures_are_shrunk():
    assert picture_tokens(VlmSettings(views="front+side"), 512) == 37 * 19
    assert picture_tokens(VlmSettings(long_side=280), 512) == 10 * 10


def test_a_contact_sheet_is_one_picture():
    """20 overlays of 512 px within 1024 px: rows of 5, tiles of 202 px, a sheet of 1022 x 818 px."""
    found = estimate(VlmSettings(layout="sheet"), {20: 2}, size=512)
    assert (found.requests, found.pictures) == (2, 4)
    assert found.prompt_tokens == 2 * (361 + 6 + 37 * 30 + 6 + 330) and found.completion_tokens == 40 * 35


def test_what_was_measured_counts():
    known = Spent("c", answers=4, prompt_tokens=4000, cached_tokens=0, completion_tokens=800, money=0.1, seconds=8.0)
    found = estimate(VlmSettings(max_in_flight=1), {20: 10}, 512, known=known)
    assert (found.prompt_tokens, found.completion_tokens, found.measured) == (10_000, 2000, True)
    assert found.hours == pytest.approx(20 / 3600)


def test_a_batch_costs_its_share():
    settings = VlmSettings(prompt_price=1.0)
    batch = settings.model_copy(update={"batch": True})
    assert estimate(batch, {20: 9}, 512).money == pytest.approx(estimate(settings, {20: 9}, 512).money / 2)


def test_every_mode_has_its_cost():
    requests = {name: estimate(s, {20: 1}, 512).requests for name, s in alternatives(VlmSettings()).items()}
    assert list(requests.values()) == [1, 3, 5, 10, 40]


def test_nothing_to_judge_costs_nothing():
    assert estimate(VlmSettings(prompt_price=1.0), {}, 512)[:6] == (0, 0, 0, 0, 0.0, 0.0)

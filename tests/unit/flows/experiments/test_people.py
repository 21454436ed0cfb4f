"""The studies of photographs, spread and detector, on a handful of drawn people and annotated pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from flows.experiments.coverage import spread_coverage
from flows.experiments.detector import detector
from flows.experiments.photographs import photographs
from hmr.detection.people import PersonFinder
from hmr.detection.photograph import PhotographError
from hmr.studio.studio import photographs as drawn
from tasks.benchmarks.detector_quality import AnnotationError, photograph_quality
from tasks.groups.sampled_groups import body
from tasks.run.settings import load_settings

COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, pixels in enumerate(drawn(body(None), "easy_val", range(2))):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def settings(tmp_path, **studio):
    return load_settings(None, {"run": {"out": tmp_path}, "studio": studio, "sample": {"hypotheses": 4}})


def values(rows):
    return {row["metric"]: row["value"] for row in rows}


def test_bodies_land_on_drawn_people(folder, tmp_path):
    found = values(photographs.fn(settings(tmp_path), folder))
    assert found["photographs.people"] == 2 and 0 < found["photographs.keypoints_px"] < 8
    assert found["photographs.within_8px"] == 1 and found["photographs.mask_iou_all"] > 0.7
    assert found["photographs.second_px"] < 10 and found["photographs.sample_px"] > 0


def test_a_folder_without_people_is_refused(tmp_path):
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(PhotographError, match="nobody was found"):
        photographs.fn(settings(tmp_path), tmp_path)


def annotate(folder, path, shift):
    """COCO annotations that lie `shift` px to the right of what the detector sees."""
    images, people = [], []
    for file in sorted(folder.glob("*.png")):
        found = PersonFinder().find(np.asarray(Image.open(file).convert("RGB")))[0]
        points = found.landmarks[COCO, :2].astype(float) + np.array([shift, 0.0])
        images.append({"id": file.stem, "file_name": file.name})
        people.append({"image_id": file.stem, "keypoints": np.column_stack([points, np.full(17, 2)]).ravel().tolist()})
    path.write_text(json.dumps({"images": images, "annotations": people}))
    return found.crop[2]


def test_error_at_annotated_keypoints_worked_by_hand(folder, tmp_path):
    annotate(folder, tmp_path / "coco.json", 0.0)
    assert photograph_quality(tmp_path / "coco.json", folder)["error_p90"] < 1e-3
    annotate(folder, tmp_path / "coco.json", 4.0)
    found = photograph_quality(tmp_path / "coco.json", folder)
    # Four px of crops about 300 px wide are some 3.4 px of 256.
    assert found["people"] == 2 and found["found"] == 1 and 2 < found["error_median"] < 5 and found["gross"] == 0


def test_a_file_that_is_not_of_coco_is_named(folder, tmp_path):
    (tmp_path / "odd.json").write_text('{"people": []}')
    with pytest.raises(AnnotationError, match=r"odd\.json: not a COCO keypoint file"):
        photograph_quality(tmp_path / "odd.json", folder)


@pytest.mark.slow
def test_detector_and_coverage_on_a_few_people(tmp_path):
    few = settings(tmp_path, lab=6, broad=6, val=6, test=6)
    found = values(detector.fn(few))
    assert found["detector.lab.real.error_median"] < 8 and 0 < found["detector.val.simulated.error_median"] < 12
    covered = values(spread_coverage.fn(few))
    assert 0 < covered["coverage.50"] <= covered["coverage.80"] <= covered["coverage.95"] <= 100

"""The page: everything is shown, links lead somewhere, and names from outside do no harm."""

import re

from tasks.recovery.page import page_text


def record(photo: str, people: int = 1, **given) -> dict:
    person = {
        "rank": 2, "score": 71.2, "comment": "left <b>wrist</b> off", "distance_m": 3.2, "keypoints_px": 4.56,
        "keypoints_px_before": 9.0, "mask_iou": 0.7, "spread_mm": 55.5, "least_sure": [["left wrist", 120.0]],
        "formats": ["npz", "glb"],
    }  # fmt: skip
    return {
        "photo": f"/photos/{photo}", "settings_sha256": "a", "width": 640, "height": 480, "focal_px": 800.0,
        "focal_from": "from EXIF", "model": "default", "body": "some", "pick": "zero", "refined": False,
        "hypotheses": 20, "temperature": 1.0, "notes": [], "people": [person] * people, **given,
    }  # fmt: skip


def test_people_files_and_numbers_are_there():
    page = page_text("mine", {"a": record("a.jpg", 2), "b": record("b.jpg")}, "a", [])
    assert "3 people in 2 photographs" in page and "4.6 px" in page and "rank 2 in the group, score 71" in page
    links = set(re.findall(r'(?:href|src)="([^"#]+)"', page))
    assert {"a/person0.npz", "a/person1.glb", "a/person1_group.jpg", "a/overlay.jpg", "results.parquet"} <= links
    assert not [link for link in links if ":" in link or link.startswith("/")]  # nothing but its own folder
    assert "Made by an earlier call" not in page and "before the fit" not in page


def test_names_and_comments_are_escaped():
    page = page_text("<i>", {"x": record('"><script>alert(1)</script>.jpg')}, "a", [("<u>.txt", "not <a> picture")])
    assert "<script" not in page and "<b>wrist" not in page and "<u>" not in page and "&lt;u&gt;.txt" in page


def test_what_differs_is_said():
    one = record("a.jpg", refined=True, notes=["a.json: 1 of its people were not found in a.jpg"])
    one["people"][0].update(rank=None, score=None, mask_iou=None)
    page = page_text("mine", {"a": one}, "another", [])
    assert "Made by an earlier call" in page and "before the fit 9.0" in page and "nothing to judge by" in page
    assert "1 of its people were not found" in page and "– IoU" in page

"""What two sets share: names, contents, pictures that look alike; and what nobody can tell."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from storage.group_store import GroupStore
from storage.memory_store import MemoryStore
from storage.sources import SourceError
from storage.sources.adapter import Choice
from tasks.data.audit import as_json, audit, kept_verdict, read_set
from tasks.data.importing import import_people
from tasks.data.picture_hash import difference_hash, near_pairs, plain
from tests.factories import make_person
from tests.people_files import humandata
from tests.people_scene import people_scene


def photograph(seed: int, size=(320, 240)) -> Image.Image:
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).ellipse((*rng.integers(0, 100, 2).tolist(), 200, 200), outline="white")
    return picture


def test_a_hash_survives_scaling_and_jpeg_but_not_another_picture(tmp_path):
    kept = [photograph(seed) for seed in range(12)]
    kept[0].save(tmp_path / "a.jpg", quality=40)
    again = [kept[1].resize((97, 73)), Image.open(tmp_path / "a.jpg"), photograph(99)]
    first, second = (np.stack([difference_hash(one) for one in many]) for many in (kept, again))
    assert sorted(map(tuple, near_pairs(first, second).tolist())) == [(0, 1), (1, 0)]


def test_plain_pictures_are_nobody_s_duplicates():
    """A ramp from dark to bright has no step down, a flat picture none at all: 0 bits of 256."""
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (100, 1)))
    hashes = np.stack([difference_hash(one) for one in (ramp, Image.new("L", (64, 64), 90))])
    assert (np.bitwise_count(hashes).sum(1) == 0).all() and plain(hashes).all()
    assert len(near_pairs(hashes, hashes)) == 0


@pytest.fixture
def imported(tmp_path):
    def records(name: str, rows: slice, dataset: str = "humandata"):
        folder = tmp_path / f"of_{name}"
        folder.mkdir()
        path = humandata(people_scene(6, 1).take(rows), folder)
        return import_people("humandata", path, tmp_path / f"{name}.parquet", Choice(), dataset=dataset).file

    return records


def test_records_share_sequences_and_paths(imported):
    """Both files name their pictures clip/00000.jpg on: three of the first are the second's three."""
    first, second = imported("a", slice(0, 6)), imported("b", slice(0, 3))
    found = audit([read_set(f"test={first}"), read_set(f"train={second}")])
    assert not found.clean and found.shared[0].counts == {"sequences": 1, "picture paths": 3}
    assert found.verdict.startswith("LEAK: test a.parquet and train b.parquet share 1 sequences, 3 picture paths.")
    assert "its subjects" in found.verdict and "give --photos" in found.verdict
    kept = json.loads(as_json(found))
    assert kept["clean"] is False and kept["sets"][0]["counts"]["picture paths"] == 6
    same_role = audit([read_set(f"train={first}"), read_set(f"train={second}")])
    assert same_role.clean and "NOTHING TO JUDGE" in same_role.verdict
    assert not audit([read_set(str(first)), read_set(str(second))]).clean  # without roles anything shared counts


def test_the_same_picture_under_another_name(imported, tmp_path):
    test, photos, train = imported("a", slice(0, 2)), tmp_path / "photos", tmp_path / "train"
    (photos / "clip").mkdir(parents=True)
    train.mkdir()
    for k in range(2):
        photograph(k).save(photos / "clip" / f"{k:05d}.jpg")
    (train / "x.jpg").write_bytes((photos / "clip" / "00000.jpg").read_bytes())
    photograph(1).resize((200, 150)).save(train / "y.jpg", quality=60)
    photograph(7).save(train / "z.jpg")
    found = audit([read_set(f"test={test}", photos), read_set(f"train={train}")])
    assert found.shared[0].counts == {"pictures byte by byte": 1, "near-duplicates": 2}
    assert set(found.shared[0].examples["near-duplicates"]) == {"clip/00000.jpg ~ x.jpg", "clip/00001.jpg ~ y.jpg"}


def test_what_tells_nothing_is_never_clean_silently(imported, tmp_path):
    test = imported("a", slice(0, 2))
    (tmp_path / "base.pt").write_bytes(b"weights")
    found = audit([read_set(f"test={test}"), read_set(f"pretraining={tmp_path / 'base.pt'}")])
    assert "NOT COMPARED: test a.parquet and pretraining base.pt" in found.verdict
    assert "a checkpoint does not say what it was trained on" in found.verdict
    for wrong, said in (("tset=x", "'tset' is no role"), (str(tmp_path / "nowhere"), "no such file")):
        with pytest.raises(SourceError, match=said):
            read_set(wrong)


def test_a_verdict_is_kept(tmp_path):
    path = tmp_path / "audit.json"
    assert kept_verdict(path) is None
    path.write_text(as_json(audit([])))
    assert kept_verdict(path) == "NOTHING TO JUDGE: no two sets of which one is test or val."
    path.write_text("{}")
    with pytest.raises(SourceError, match="no audit could be read"):
        kept_verdict(path)


def test_a_memory_that_saw_the_test_photographs(tmp_path):
    """A prototype names the overlay it is; its photograph is one that the run measures. The run has an oracle."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.json").write_text(json.dumps({"settings": {"critic": {"name": "oracle"}}}))
    people = [make_person(np.random.default_rng(k), name) for k, name in enumerate(("street", "park"))]
    GroupStore(run / "store").write_people("shard-0", people)
    seen = {"id": "p1", "rationale": "", "score": 50.0, "tags": [], "embedding": [1.0], "embedder": "", "picture": None,
            "overlay": f"{people[0].group_id}#3", "created": ""}  # fmt: skip
    MemoryStore(tmp_path / "memory").write(
        {"prototypes": [seen, {**seen, "id": "p2", "overlay": "other-12345678-p0#1"}]}, None
    )
    found = audit([read_set(f"test={run}"), read_set(f"memory={tmp_path / 'memory'}")])
    assert found.shared[0].counts == {"photographs of runs": 1}
    assert "Rewards of test run: GROUND TRUTH (oracle), declared." in found.verdict
    assert "photographs from which rules were learned" in found.verdict

"""People of a drawn scene as records of 3DPW; bodies and a regressor as a user has them; predictions of them."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from storage.predictions.arrays_npz import write
from storage.predictions.predicted import Predicted
from storage.sources.adapter import Choice
from storage.sources.record import rows_of
from tasks.data.importing import import_people, rest_pelvis_of
from tasks.protocols.bodies import Bodies
from tests.people_files import pw3d
from tests.people_scene import free_body, people_scene


class Prepared(NamedTuple):
    """Files of a user: records of 12 frames of 3DPW (9 valid), bodies, regressor."""

    records: Path
    bodies: Path
    regressor: Path

    def read(self) -> Bodies:
        return Bodies(self.bodies, self.regressor)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Prepared:
    folder = tmp_path_factory.mktemp("protocols")
    (folder / "bodies").mkdir()
    shipped = (resources.files("hmr") / "assets" / "body_light.npz").read_bytes()
    for gender in ("MALE", "NEUTRAL"):
        (folder / "bodies" / f"SMPL_{gender}.npz").write_bytes(shipped)
    (folder / "source").mkdir()
    choice = Choice(pelvis=rest_pelvis_of(folder / "bodies"))
    source = pw3d(people_scene(12, 1), folder / "source")
    done = import_people("3dpw", source, folder / "pw3d.parquet", choice, checked=False)
    shares = np.random.default_rng(0).random((17, free_body().vertex_count)) ** 60  # few vertices each
    np.save(folder / "J_regressor_h36m.npy", shares / shares.sum(1, keepdims=True))
    return Prepared(done.file, folder / "bodies", folder / "J_regressor_h36m.npy")


@pytest.fixture(scope="session")
def truth(prepared) -> dict[str, np.ndarray]:
    """Parameters of the records, and the paths of their pictures."""
    table = pq.read_table(prepared.records)
    names = ("global_orient", "body_pose", "betas", "transl")
    return {**{name: rows_of(table, name) for name in names}, "image": np.array(table["image_path"].to_pylist())}


def write_predictions(folder: Path, truth: dict, turn: np.ndarray, shift=0.0, rows=range(12), scores=None) -> Path:
    """Predictions of each row whose roots are turned by (G, 3) axis-angles and which are moved by `shift` metres."""
    folder.mkdir(exist_ok=True)
    for k in rows:

        def many(name: str, k: int = k) -> np.ndarray:
            return np.repeat(truth[name][k : k + 1], len(turn), 0)

        one = Predicted(
            "turned", "-", truth["image"][k], "0", "smpl", many("global_orient") + turn, many("body_pose"),
            many("betas")[:, :10], many("transl") + shift, scores=scores,
        )  # fmt: skip
        write(one, folder)
    return folder

"""The files of recovered people: `person0.npz` with everything, `.obj` and `.glb` for other programs, a table of all.

`FIELDS` names and explains each array of the npz; `README.txt` in the results and the page show the same list. Free
of prefect and torch.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hmr.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from storage.finished_file import finished_file

if TYPE_CHECKING:
    from tasks.recovery.recovery import Recovered

FIELDS = {
    "pose": ("24 x 3", "rad", "turn of each joint (axis times angle), pelvis first, in the camera's axes"),
    "betas": ("10", "", "shape of the body, shared by all hypotheses"),
    "translation": ("3", "m", "place of the body; the pelvis lies at translation + the shaped body's pelvis"),
    "camera": ("4", "px", "fx, fy, cx, cy of the photograph"),
    "joints": ("29 x 3", "m", "joints in front of the camera, as `joint_names` orders them"),
    "keypoints": ("23 x 3", "m", "keypoints in front of the camera, as `keypoint_names` orders them"),
    "keypoints_2d": ("23 x 2", "px", "the same in the photograph"),
    "joint_names": ("29", "", "SMPL's 24, then head top, middle fingers and big toes"),
    "keypoint_names": ("23", "", "COCO-17, then big toe, small toe and heel of each foot"),
    "spread_mm": ("29", "mm", "how unsure the group is of each joint: mean distance to its mean, pelvis removed"),
    "keypoints_px": ("", "px", "mean distance of keypoints to the detector's landmarks, in a crop of 256 px"),
    "keypoints_px_before": ("", "px", "the same before refinement"),
    "mask_iou": ("", "", "overlap of the mesh with the detector's mask, 0 to 1, within the photograph"),
    "pick": ("", "", "how the mesh was picked: zero, medoid, critic or mean"),
    "picked": ("", "", "which of the alternatives it is"),
    "refined": ("", "", "whether it was then fitted to the landmarks"),
    "scores": ("G", "", "of the alternatives, 0 to 100, by the critic; NaN = it saw nothing to judge by"),
    "comments": ("G", "", "what the critic says of each"),
    "critic": ("", "", "who scored"),
    "zero_noise": ("G", "", "which alternative started from zero noise"),
    "synthetic": ("G", "", "which one is no draw but the mean of all"),
    "alternative_pose": ("G x 24 x 3", "rad", "of all hypotheses, unrefined, the picked one among them"),
    "alternative_translation": ("G x 3", "m", "likewise"),
    "alternative_joints": ("G x 29 x 3", "m", "likewise"),
    "box": ("4", "px", "x0, y0, x1, y1 about the person"),
    "crop": ("3", "px", "centre x, centre y, side of the square that the model saw"),
    "detection": ("", "", "the detector's confidence, 0 to 1"),
    "landmarks": ("33 x 4", "px", "BlazePose: x, y, z and visibility"),
    "world_landmarks": ("33 x 3", "m", "the detector's own guess in space, about the hips"),
    "mask": ("64 x 64", "", "the detector's mask over the crop, 0 to 255"),
    "size": ("2", "px", "width and height of the photograph, upright"),
    "photo": ("", "", "file name of the photograph"),
    "photo_sha256": ("", "", "digest of that file"),
    "body": ("", "", "which body pose and betas are of; only SMPL's are SMPL parameters"),
    "model_digest": ("", "", "of the weights that drew the group"),
    "temperature": ("", "", "of the draw; 1 = the model's own spread"),
    "vertices": ("V x 3", "m", "the mesh in front of the camera, if asked for"),
    "faces": ("F x 3", "", "its triangles, likewise"),
}
"""Arrays of a `person<k>.npz`: shape (empty = one value; G = alternatives), unit, meaning."""

Colour = tuple[float, float, float]

COLOURS: tuple[Colour, ...] = (
    (0.86, 0.88, 0.91), (0.68, 0.90, 0.66), (0.97, 0.91, 0.58), (0.80, 0.72, 0.98), (0.98, 0.70, 0.80),
    (0.60, 0.90, 0.88),
)  # fmt: skip
"""RGB, 0 to 1, of persons 0, 1, ... in pictures, meshes and page; then again from the first."""

AXES = (
    "Camera frame: x right, y down, z forward, metres, the camera at the origin. In .obj and .glb y is up and z points "
    "to the camera, as those formats have it."
)


def colour_of(person: int) -> Colour:
    """RGB, 0..1, of the mesh of person number `person` of a photograph; the colours repeat when they run out."""
    return COLOURS[person % len(COLOURS)]


def person_arrays(one: "Recovered", body_name: str, settings: Mapping[str, Any], faces: NDArray) -> dict[str, Any]:
    """The arrays of FIELDS, with the shapes and units given there.

    settings: pick, refine and vertices of [recover], and `critic`, the critic's name.
    """
    group, person = one.group, one.person
    arrays = {
        "pose": one.pose,
        "betas": group.betas,
        "translation": one.translation,
        "camera": person.camera,
        "joints": one.joints,
        "keypoints": one.keypoints,
        "keypoints_2d": one.keypoints_2d.astype(np.float32),
        "joint_names": np.array(JOINT_NAMES),
        "keypoint_names": np.array(KEYPOINT_NAMES),
        "spread_mm": one.spread_mm.astype(np.float32),
        "keypoints_px": one.keypoints_px,
        "keypoints_px_before": one.keypoints_px_before,
        "mask_iou": one.mask_iou,
        "pick": settings["pick"],
        "picked": one.picked,
        "refined": settings["refine"],
        "scores": one.scores.astype(np.float32),
        "comments": np.array(one.comments),
        "critic": settings["critic"],
        "zero_noise": group.zero_start,
        "synthetic": group.synthetic,
        "alternative_pose": group.pose,
        "alternative_translation": group.translation,
        "alternative_joints": group.joints,
        "box": person.box,
        "crop": person.crop,
        "detection": person.detection,
        "landmarks": person.landmarks,
        "world_landmarks": person.world_landmarks,
        "mask": person.mask,
        "size": np.array([person.width, person.height]),
        "photo": Path(person.photo).name,
        "photo_sha256": person.photo_sha256,
        "body": body_name,
        "model_digest": group.model_digest,
        "temperature": group.temperature,
    }
    if settings["vertices"]:
        arrays |= {"vertices": one.vertices, "faces": np.asarray(faces, np.int32)}
    return arrays


def write_mesh(path: Path, vertices: NDArray, faces: NDArray, colour: Colour) -> None:
    """Write a mesh as .obj or .glb, by the file's ending. vertices (V, 3), metres, camera frame; colour RGB, 0 to 1."""
    import trimesh  # a third of a second: only where a mesh is asked for
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    turned = np.asarray(vertices, np.float64) * (1, -1, -1)
    mesh = trimesh.Trimesh(turned, np.asarray(faces), process=False)
    if path.suffix == ".glb":
        material = PBRMaterial(name="skin", baseColorFactor=[*colour, 1.0], metallicFactor=0.0, roughnessFactor=0.8)
        mesh.visual = TextureVisuals(material=material)
    content = mesh.export(file_type=path.suffix[1:])
    path.write_bytes(content if isinstance(content, bytes) else str(content).encode())


COLUMNS = {
    "folder": "string", "photo": "string", "person": "int32", "body": "string", "pick": "string", "picked": "int32",
    "score": "float32", "detection": "float32", "keypoints_px": "float32", "mask_iou": "float32",
    "box": 4, "camera": 4, "translation": 3, "pose": 72, "betas": 10, "joints": 87, "keypoints_2d": 46, "spread_mm": 29,
    "refined": "bool", "model_digest": "string", "photo_sha256": "string",
}  # fmt: skip
"""Columns of `results.parquet`: a type, or how many float32 a list holds; matrices are stored row by row."""


def table_row(folder: str, person: int, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A person's row of the table."""
    row: dict[str, Any] = {"folder": folder, "person": person, "score": float(arrays["scores"][int(arrays["picked"])])}
    for name, kind in COLUMNS.items():
        if name not in row:
            value = np.asarray(arrays[name])
            row[name] = value.ravel().astype(np.float32) if isinstance(kind, int) else value.item()
    return row


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all people as Parquet, replacing the file in one step. `np.stack(table.pose).reshape(-1, 24, 3)` gives the
    poses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"string": pa.string(), "int32": pa.int32(), "float32": pa.float32(), "bool": pa.bool_()}
    types = [kinds[kind] if isinstance(kind, str) else pa.list_(pa.float32(), kind) for kind in COLUMNS.values()]
    schema = pa.schema(list(zip(COLUMNS, types)))
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    with finished_file(path) as unfinished:
        pq.write_table(pa.table(columns, schema=schema), unfinished)


def read_arrays(path: Path) -> dict[str, NDArray]:
    """The arrays of a person's file; shapes and units are in FIELDS."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def arrays_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The arrays as an npz; plain arrays, no pickles."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    return buffer.getvalue()


def readme() -> str:
    """The text of README.txt: a description of all result files."""
    rows = [
        f"  {name:<24} {shape or 'one value':<12} {unit:<4} {what}".rstrip()
        for name, (shape, unit, what) in FIELDS.items()
    ]
    return "\n".join(
        [
            "People recovered from photographs by hmr-align recover. Open index.html.",
            "",
            "results.parquet      one row a person: pandas.read_parquet; matrices row by row",
            "<photograph>/        one folder a photograph:",
            "  photograph.jpg     the photograph, smaller; overlay.jpg: with everybody's mesh",
            "  person0.jpg        the picked mesh over the person; person0_group.jpg: the alternatives by rank",
            "  person0_fit.jpg    before and after the fit to the landmarks (--refine)",
            "  person0.npz        everything as arrays: numpy.load; the fields stand below",
            "  person0.obj, .glb  the mesh for other programs, if asked for with --format",
            "",
            AXES,
            "",
            *rows,
            "",
        ]
    )

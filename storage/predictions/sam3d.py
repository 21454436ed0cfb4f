"""SAM 3D Body: an `.npz` for each person with MHR's mesh, 70 key points in space and in the picture.

`pred_cam_t` is added to vertices and key points, which lie about the person, in the camera's axes. Some files lack
`focal_length`: the camera then follows from the key points. Several files of one picture are several people, named
after the file.

Source: facebookresearch/sam-3d-body; outputs shipped with facebookresearch/MHR.
"""

from pathlib import Path

import numpy as np

from storage.predictions.predicted import ANOTHER, Predicted, camera_of_points, files_of
from storage.sources import adapter
from storage.sources.npz_file import NpzFile

NEEDED = ("pred_vertices", "pred_cam_t", "pred_keypoints_3d", "pred_keypoints_2d")
KNOWN = (
    "bbox", "focal_length", "pred_pose_raw", "global_rot", "body_pose_params", "hand_pose_params", "scale_params",
    "shape_params", "expr_params", "pred_joint_coords", "pred_global_rots", "mhr_model_params", "lhand_bbox",
    "rhand_bbox", "mask", "image", "faces",
)  # fmt: skip
NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_big_toe",
    "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
    *[""] * 20, "right_wrist", *[""] * 20, "left_wrist", *[""] * 6, "neck",
)  # fmt: skip
"""Its key points by our names; the rest are of hands and elbows."""
MOST_OFF = 1.0
"""Pixels that a camera fitted to the key points may leave."""


def read(path: Path) -> list[Predicted]:
    """One file, or a folder of them.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [_read(file) for file in files_of(path, ".npz")]


def _read(file: Path) -> Predicted:
    held = NpzFile(file)
    adapter.check_keys(file, held.names, NEEDED, KNOWN, instead=ANOTHER)
    shift = adapter.shaped(file, "pred_cam_t", held.whole("pred_cam_t"), (3,), kind=np.float64)
    vertices = adapter.shaped(file, "pred_vertices", held.whole("pred_vertices"), (18439, 3), kind=np.float64) + shift
    joints = (
        adapter.shaped(file, "pred_keypoints_3d", held.whole("pred_keypoints_3d"), (None, 3), kind=np.float64) + shift
    )
    pixels = adapter.shaped(
        file, "pred_keypoints_2d", held.whole("pred_keypoints_2d"), (len(joints), 2), kind=np.float64
    )
    fitted = camera_of_points(joints, pixels)
    if fitted.off_px > MOST_OFF or fitted.camera[0] <= 0:
        raise adapter.unexpected(
            file, "pred_keypoints_3d", f"points that no camera takes to pred_keypoints_2d ({fitted.off_px:.3g} px off)",
            "metres about the person, camera axes, y down", "Give the arrays as SAM 3D Body returns them.",
        )  # fmt: skip
    box = adapter.shaped(file, "bbox", held.whole("bbox"), (4,)) if "bbox" in held else None
    return Predicted(
        "sam3d", str(file), file.stem, "0", "mhr", vertices=vertices[None], joints=joints[None], pixels=pixels[None],
        camera=fitted.camera, box=box, names=NAMES if len(joints) == 70 else None,
    )  # fmt: skip

"""Whether labels can be right: units, axes, rotations and orders of points, compared with each other.

A file does not state its units, and a wrong guess spoils a model without any error. So labels are compared: points in
space with their points in the picture through the camera, a posed skeleton with either, all with the size of people.
If there is only one kind of label, it is compared with what people usually do: they stand with the head up, and knees
bend backwards. Errors that neither can show (all people twice as far and twice as large, for example) pass.

Each check takes columns of `record.SCHEMA` and returns a `Doubt`, or None. Rows without the labels are ignored.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.sources.adapter import unexpected
from storage.sources.joint_sets import SMPL_24, plain_name
from storage.sources.record import Batch, Columns

Reals = NDArray[np.float64]

# fmt: off
REST = np.array([
    [0, 0, 0], [.11, -.01, -.01], [-.11, -.01, -.01], [0, .08, -.04], [.14, -.40, -.01], [-.14, -.40, -.01],
    [0, .15, -.02], [.17, -.83, -.03], [-.17, -.83, -.03], [0, .23, -.03], [.20, -.88, .11], [-.20, -.88, .11],
    [0, .54, 0], [.02, .47, .01], [-.02, .47, .01], [0, .64, .03], [.18, .44, .01], [-.18, .44, .01],
    [.43, .44, 0], [-.43, .44, 0], [.67, .44, .02], [-.67, .44, .02], [.77, .44, .02], [-.77, .44, .02],
])
"""Joints of the project's free body in T-pose, metres, y up, facing +z, to a centimetre: roughly right for anyone."""
PARENTS = (0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# fmt: on
REST_PELVIS = {"smpl": (0.0, -0.22, 0.03), "smplx": (0.0, -0.35, 0.01)}
"""Rough place of the pelvis in the rest body of each model, metres; `transl` is measured from there."""
MAIN = (
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "neck"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
"""Points that every dataset puts at nearly the same places."""
BONES = (
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_hip", "right_hip"),
    ("left_shoulder", "right_shoulder"),
)  # fmt: skip
LEAST_POINTS = 6
VOTERS = 4
"""With fewer people than this, most may lie, or stand on their hands."""
SAMPLE = 256


class Doubt(NamedTuple):
    """A label that cannot be right: its column, what was found and expected, and a fix."""

    column: str
    found: str
    expected: str
    fix: str


class People(NamedTuple):
    """The input of the checks: m sampled rows; NaN where a row has no such label. Metres, radians, px."""

    kp2d: Reals | None  # (m, 24, 2) px, of the joints that SMPL_24 names
    kp3d: Reals | None  # (m, 24, 3) metres
    posed: Reals | None  # (m, 24, 3) rough joints of the parameters, camera axes, about the pelvis
    pose: Reals | None  # (m, joints, 3) without the pelvis
    orient: Reals | None  # (m, 3)
    pelvis: Reals | None  # (m, 3) of the parameters, camera frame
    camera: Reals | None  # (m, 4) fx, fy, cx, cy
    matrix: Reals | None  # (m, 9) row by row
    box: Reals | None  # (m, 4) xywh
    size: Reals | None  # (m, 2) of the picture
    world: Reals | None  # (m, 4, 4)
    rooted: bool  # kp3d is about a root


def doubts(columns: Columns) -> Iterator[Doubt]:
    """All doubts about some rows, the clearest first."""
    people = sampled(columns)
    for check in CHECKS:
        found = check(people)
        if found is not None:
            yield found


def refuse_implausible(batch: Batch) -> None:
    """Raise SourceError for the first doubt, with the file's own key."""
    doubt = next(doubts(batch.columns), None)
    if doubt is not None:
        key = batch.keys.get(doubt.column, doubt.column)
        fix = f"{doubt.fix} If it is right as it is, add --unchecked."
        raise unexpected(batch.file, key, doubt.found, doubt.expected, fix)


def sampled(columns: Columns) -> People:
    """Up to SAMPLE rows, spread evenly, as input of the checks."""
    rows = len(columns["source_row"])
    some = np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE)).astype(int)) if rows else np.zeros(0, int)

    def taken(name: str) -> Reals | None:
        value = columns.get(name)
        if value is None or not isinstance(value, np.ndarray):
            return None
        value = value[some].astype(np.float64)
        return None if not value.size or np.isnan(value).all() else value

    kp2d = _named(taken("kp2d"), taken("kp2d_conf"), columns.get("kp2d_names"))
    kp3d = _named(taken("kp3d"), taken("kp3d_valid"), columns.get("kp3d_names"))
    orient, pose, transl, matrix = (taken(name) for name in ("global_orient", "body_pose", "transl", "K"))
    pose = None if pose is None else pose.reshape(len(pose), -1, 3)
    pelvis = None
    if transl is not None:
        models = columns.get("model_type", "smpl")
        model = models if isinstance(models, str) else str(next((one for one in models if one), "smpl"))
        pelvis = transl + np.array(REST_PELVIS.get(model, (0, 0, 0)))
    return People(
        kp2d=kp2d,
        kp3d=kp3d,
        posed=None if orient is None or pose is None else rough_joints(orient, pose),
        pose=pose,
        orient=orient,
        pelvis=pelvis,
        camera=None if matrix is None else matrix.reshape(-1, 9)[:, [0, 4, 2, 5]],
        matrix=None if matrix is None else matrix.reshape(-1, 9),
        box=taken("bbox_xywh"),
        size=taken("image_wh"),
        world=taken("T_cam_world"),
        rooted=bool(columns.get("kp3d_root")),
    )


def _named(points: Reals | None, given: Reals | None, names: Any) -> Reals | None:
    """The points at SMPL's joints of the same names; NaN where the set has none or a row has no label."""
    if points is None or names is None:
        return None
    points = points.reshape(*points.shape[:2], -1)
    given = np.ones(points.shape[:2]) if given is None else given
    out = np.full((len(points), 24, points.shape[2]), np.nan)
    for place, name in enumerate(str(names).split(",")):
        joint = _JOINT.get(plain_name(name))
        if joint is not None:  # of two points of one name (annotated, detected) the last that is given counts
            known = given[:, place] > 0
            out[known, joint] = points[known, place]
    return None if np.isnan(out).all() else out


_JOINT = {name: place for place, name in enumerate(SMPL_24)}
_MAIN = [SMPL_24.index(name) for name in MAIN]
_BONES = [(SMPL_24.index(a), SMPL_24.index(b)) for a, b in BONES]


def rotations(vectors: Reals) -> Reals:
    """Rotation matrices (..., 3, 3) of axis-angles (..., 3), radians: Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def rough_joints(orient: Reals, pose: Reals) -> Reals:
    """(m, 24, 3) joints of a body of about human size, metres, the pelvis at the origin.

    orient (m, 3) and pose (m, joints, 3): axis-angles, radians.
    """
    turns = np.zeros((len(orient), 24, 3))
    turns[:, 0] = orient
    turns[:, 1 : 1 + pose.shape[1]] = pose[:, :23]
    local = rotations(np.nan_to_num(turns))
    places, spun = np.zeros((len(orient), 24, 3)), local.copy()
    for joint in range(1, 24):
        parent = PARENTS[joint]
        spun[:, joint] = spun[:, parent] @ local[:, joint]
        places[:, joint] = places[:, parent] + spun[:, parent] @ (REST[joint] - REST[parent])
    places[np.isnan(orient).any(-1) | np.isnan(pose).any((1, 2))] = np.nan
    return places


# --- how far two sets of points are from each other ---------------------------------------------------------


def _median(values: Reals) -> float:
    kept = values[np.isfinite(values)]
    return float(np.median(kept)) if len(kept) else float("nan")


def _both(first: Reals, second: Reals) -> NDArray[np.bool_]:
    """(m, points) main points that both have, in rows with enough of them."""
    shared = np.isfinite(first[:, _MAIN]).all(-1) & np.isfinite(second[:, _MAIN]).all(-1)
    return shared & (shared.sum(1, keepdims=True) >= LEAST_POINTS)


def _centred(points: Reals, shared: NDArray[np.bool_]) -> tuple[Reals, Reals, Reals]:
    """Main points about their mean, zero where not shared; the mean; the root mean square distance from it."""
    held = np.where(shared[..., None], points[:, _MAIN], 0.0)
    count = np.maximum(shared.sum(1), 1)[:, None]
    centre = held.sum(1) / count
    about = np.where(shared[..., None], held - centre[:, None], 0.0)
    return about, centre, np.sqrt(np.square(about).sum((1, 2)) / count[:, 0])


class _Fit(NamedTuple):
    misfit: float  # of the shapes, after the best shift and positive scale; 0 = equal, 1 = unrelated
    off: float  # distance of the centres, in sizes
    ratio: float  # size of the first over that of the second


def _fit(first: Reals, second: Reals) -> _Fit | None:
    """Medians over the rows; None where no row has enough points in both."""
    shared = _both(first, second)
    rows = shared.any(1)
    if not rows.any():
        return None
    a, centre_a, size_a = _centred(first[rows], shared[rows])
    b, centre_b, size_b = _centred(second[rows], shared[rows])
    likeness = np.clip((a * b).sum((1, 2)), 0, None) / np.maximum(
        np.sqrt(np.square(a).sum((1, 2)) * np.square(b).sum((1, 2))), 1e-12
    )
    return _Fit(
        _median(np.sqrt(np.clip(1 - likeness**2, 0, None))),
        _median(np.linalg.norm(centre_a - centre_b, axis=1) / np.maximum(size_b, 1e-12)),
        _median(size_a / np.maximum(size_b, 1e-12)),
    )


def _project(points: Reals, camera: Reals) -> Reals:
    """(m, points, 2) px; NaN for points behind the camera."""
    depth = np.where(points[..., 2:] > 1e-6, points[..., 2:], np.nan)
    return points[..., :2] / depth * camera[:, None, :2] + camera[:, None, 2:]


def _boxed(points: Reals) -> Reals:
    """(m, 4) xywh about the points, NaN in rows with too few."""
    enough = np.isfinite(points).all(-1).sum(1) >= LEAST_POINTS
    out = np.full((len(points), 4), np.nan)
    if enough.any():
        low, high = np.nanmin(points[enough], 1), np.nanmax(points[enough], 1)
        out[enough] = np.hstack([low, high - low])
    return out


# --- the checks ---------------------------------------------------------------------------------------------


def not_radians(people: People) -> Doubt | None:
    """Doubt if axis-angles exceed a full turn (degrees, or no axis-angles), or are too small for a bent body."""
    for column, turns in (("body_pose", people.pose), ("global_orient", people.orient)):
        if turns is None:
            continue
        angle = np.linalg.norm(turns, axis=-1)
        if np.nanmean(angle > 2 * np.pi + 0.1) > 0.02:
            return Doubt(
                column,
                f"axis-angles of up to {np.nanmax(angle):.4g}",
                "radians, at most 2 pi",
                "Divide degrees by 57.3, or turn matrices into axis-angle, or look whether it was scaled.",
            )
        least = _median(angle.max(-1)) if column == "body_pose" else 1.0
        if 0 < least < 0.02:
            return Doubt(
                column,
                f"bends of {least:.2g} at most in most rows",
                "radians: someone's joint bends by more than 0.02",
                "Undo the scale that was put on it (1e-3?).",
            )
    return None


def not_human_size(people: People) -> Doubt | None:
    """Doubt unless the points of a person span between a third of a metre and three metres."""
    if people.kp3d is None:
        return None
    box = _boxed(people.kp3d) if people.kp3d.shape[2] == 2 else None
    points = people.kp3d[:, _MAIN]
    enough = np.isfinite(points).all(-1).sum(1) >= LEAST_POINTS
    if box is not None or not enough.any():
        return None
    span = _median(np.linalg.norm(np.nanmax(points[enough], 1) - np.nanmin(points[enough], 1), axis=1))
    if 0.35 <= span <= 3.2:
        return None
    unit = (
        "millimetres" if span > 300 else "centimetres" if span > 30 else "scaled down" if span < 0.35 else "scaled up"
    )
    return Doubt(
        "kp3d", f"people who span {span:.4g} (median)", "metres: 0.35 to 3.2",
        f"They look {unit}: give the file in the unit of its format.",
    )  # fmt: skip


def not_in_front(people: People) -> Doubt | None:
    """Doubt unless people are in front of the camera, between 0.2 m and 300 m."""
    places = [("transl", people.pelvis)]
    if people.kp3d is not None and not people.rooted:
        places.append(("kp3d", np.nanmean(np.where(np.isfinite(people.kp3d), people.kp3d, np.nan), 1)))
    for column, place in places:
        if place is None:
            continue
        depth = _median(place[:, 2])
        if not np.isnan(depth) and not 0.2 < depth < 300:
            return Doubt(
                column, f"depths of {depth:.4g} (median)", "metres before the camera, z forward: 0.2 to 300",
                "Give camera coordinates of OpenCV (x right, y down, z forward) in metres, not the world's, not "
                "OpenGL's and not millimetres.",
            )  # fmt: skip
    return None


def not_a_camera(people: People) -> Doubt | None:
    """Doubt unless focal lengths are 0.2-100 times the picture's longer side, and world to camera is rigid."""
    camera, world = people.camera, people.world
    if camera is not None:
        rows = np.isfinite(camera).all(1)
        side = np.full(len(camera), 1000.0) if people.size is None else people.size.max(1)
        ratio = _median(camera[rows, 0] / side[rows])
        skew = _median(camera[rows, 0] / camera[rows, 1])
        centred = people.size is None or _median(np.abs(camera[:, 2:] / people.size - 0.5).max(1)) < 1.0
        last = people.matrix[:, [3, 6, 7, 8]] if people.matrix is not None else np.zeros((1, 4))
        ends = _median(np.abs(last - [0, 0, 0, 1]).max(1)) < 1e-3
        if rows.any() and not (0.2 < ratio < 100 and 0.5 < skew < 2 and centred and ends):
            return Doubt(
                "K", f"fx, fy, cx, cy = {', '.join(f'{v:.4g}' for v in camera[rows][0])}",
                "pixels of the picture, the centre within it",
                "Give the camera matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], row by row.",
            )  # fmt: skip
    if world is not None:
        world = world.reshape(-1, 4, 4)
        turn = world[:, :3, :3]
        rigid = np.abs(turn @ np.swapaxes(turn, 1, 2) - np.eye(3)).max((1, 2)) < 1e-2
        right = np.linalg.det(turn) > 0
        if (~(rigid & right)).mean() > 0.02:
            return Doubt(
                "T_cam_world", "a matrix that is no rotation" if (~rigid).any() else "a mirror",
                "world to camera, [R | T] with R a rotation", "Give R orthonormal with determinant 1, T in metres.",
            )  # fmt: skip
        far = np.linalg.norm(world[:, :3, 3], axis=1)
        if _median(far) > 300:
            return Doubt(
                "T_cam_world", f"a camera {_median(far):.4g} from the origin", "metres, below 300",
                "Divide millimetres by 1000.",
            )  # fmt: skip
    return None


def not_its_projection(people: People) -> Doubt | None:
    """Doubt unless points in space project to those in the picture; without a camera, unless they look alike."""
    if people.kp2d is None or people.kp3d is None:
        return None
    if people.camera is not None and not people.rooted:
        fit = _fit(_project(people.kp3d, people.camera), people.kp2d)
        if fit is None:
            return None
        if fit.misfit < 0.35 and fit.off < 0.35 and 0.7 < fit.ratio < 1.4:
            return None
        found = (
            f"points that project {fit.off:.2g} sizes off and {fit.ratio:.2g} times as large, "
            f"shapes {100 * fit.misfit:.0f} % apart"
        )
        return Doubt("kp3d", found, "to project onto the 2-D points of the file", _LOOK)
    fit = _fit(people.kp3d[..., :2], people.kp2d)
    if fit is None or fit.misfit < 0.45:
        return None
    return Doubt(
        "kp3d", f"points whose x and y are {100 * fit.misfit:.0f} % unlike the 2-D ones", "to look like them", _LOOK
    )


_LOOK = (
    "Look for another unit, y up instead of down, axes in another order, world instead of camera coordinates, a camera "
    "of another picture size, or points in another order."
)


def not_the_points(people: People) -> Doubt | None:
    """Doubt unless the posed body has its joints near the points."""
    if people.posed is None:
        return None
    if people.kp3d is not None:
        fit = _fit(people.posed, people.kp3d)
        if fit is not None and fit.misfit > 0.45:
            return Doubt(
                "global_orient", f"a posed body {100 * fit.misfit:.0f} % unlike the 3-D points", "to have its joints "
                "about there", _TURNS,
            )  # fmt: skip
        if fit is not None and people.pelvis is not None and not people.rooted:
            fit = _fit(people.posed + people.pelvis[:, None], people.kp3d)
            if fit is not None and fit.off > 1.2:
                return Doubt("transl", f"a body {fit.off:.2g} sizes from its 3-D points", "to be about there", _PLACE)
    if people.kp2d is None:
        return None
    placed = people.camera is not None and people.pelvis is not None
    drawn = people.posed[..., :2]
    if placed and people.camera is not None and people.pelvis is not None:
        drawn = _project(people.posed + people.pelvis[:, None], people.camera)
    fit = _fit(drawn, people.kp2d)
    if fit is None:
        return None
    if fit.misfit > 0.5:
        return Doubt(
            "global_orient", f"a posed body {100 * fit.misfit:.0f} % unlike the 2-D points", "to look like them", _TURNS
        )
    if placed and (fit.off > 1.2 or not 0.4 < fit.ratio < 2.5):
        found = f"a body that projects {fit.off:.2g} sizes off its points and {fit.ratio:.2g} times as large"
        return Doubt("transl", found, "to lie on them", _PLACE)
    return None


_TURNS = (
    "Look for rotations stored column by column, about other axes or in the world's frame, y up instead of down, or "
    "points in another order."
)
_PLACE = "Look for another unit, another frame or a camera of another picture size."


def not_in_the_box(people: People) -> Doubt | None:
    """Doubt unless most points, and the body, lie in the person's box."""
    if people.box is None:
        return None
    if people.kp2d is not None:
        low, high = people.box[:, None, :2], people.box[:, None, :2] + people.box[:, None, 2:]
        room = 0.25 * people.box[:, None, 2:].max(-1, keepdims=True)
        known = np.isfinite(people.kp2d).all(-1)
        inside = ((people.kp2d >= low - room) & (people.kp2d <= high + room)).all(-1)
        rows = known.sum(1) >= 2
        if rows.any() and _median((inside & known).sum(1)[rows] / known.sum(1)[rows]) < 0.5:
            return Doubt(
                "bbox_xywh", "boxes that most points lie outside of", "left, top, width, height about the person",
                "Look for corners (x0, y0, x1, y1), a centre, x and y swapped, or a scale in other units.",
            )  # fmt: skip
        height = _boxed(people.kp2d)[:, 2:].max(1)
        ratio = _median(people.box[:, 2:].max(1) / np.maximum(height, 1e-9))
        if ratio > 8:
            return Doubt(
                "bbox_xywh", f"boxes {ratio:.3g} times as large as the points' own", "the person's box in pixels",
                "Look for a scale in other units (sides / 200?).",
            )  # fmt: skip
        return None
    if people.camera is None:
        return None
    body = people.kp3d if people.kp3d is not None and not people.rooted else None
    if body is None and people.posed is not None and people.pelvis is not None:
        body = people.posed + people.pelvis[:, None]
    if body is None:
        return None
    drawn = _boxed(_project(body, people.camera))
    if _median(_overlap(drawn, people.box)) < 0.15:
        column = "kp3d" if people.kp3d is not None and not people.rooted else "transl"
        return Doubt(column, "bodies that project off their boxes", "to lie in them", _PLACE)
    return None


def _overlap(first: Reals, second: Reals) -> Reals:
    """Intersection over union of boxes xywh, NaN where either is."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / np.maximum(first[:, 2:].prod(1) + second[:, 2:].prod(1) - shared, 1e-9)


def not_in_the_picture(people: People) -> Doubt | None:
    """Doubt unless most points lie in the picture."""
    if people.kp2d is None:
        return None
    known = np.isfinite(people.kp2d).all(-1)
    if people.size is not None:
        room = 0.1 * people.size[:, None]
        inside: Any = ((people.kp2d >= -room) & (people.kp2d <= people.size[:, None] + room)).all(-1)
        if known.any() and inside[known].mean() < 0.5:
            return Doubt(
                "kp2d", f"points of which {100 * (1 - inside[known].mean()):.0f} % lie outside of the picture",
                "pixels of the picture as stored, x first", "Look for x and y swapped, or another picture size.",
            )  # fmt: skip
    span = _median(_boxed(people.kp2d)[:, 2:].max(1))
    if 0 <= span < 6 or span > 30000:
        return Doubt(
            "kp2d", f"people who span {span:.4g} (median)", "pixels: 6 to 30000",
            "Multiply shares of the picture by its size, and undo any other scale.",
        )  # fmt: skip
    return None


def not_joined(people: People) -> Doubt | None:
    """Doubt if bones are long compared with the spread of the points: the order of joints is then wrong."""
    for column, points in (("kp3d", people.kp3d), ("kp2d", people.kp2d)):
        if points is None:
            continue
        lengths = np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in _BONES], 1)
        known = np.isfinite(lengths).sum(1) >= LEAST_POINTS
        if not known.any():
            continue
        main = points[known][:, _MAIN]
        size = np.sqrt(np.nanmean(np.square(main - np.nanmean(main, 1, keepdims=True)).sum(-1), 1))
        stretch = _median(np.nanmean(lengths[known], 1) / np.maximum(size, 1e-12))
        if stretch > 0.95:
            return Doubt(
                column, f"bones {stretch:.2g} times as long as the points are spread", "neighbours: at most 0.95",
                "Give the points in the order of the format.",
            )  # fmt: skip
        if column == "kp3d" and points.shape[2] == 3:
            left = np.nansum(lengths[:, [0, 1, 4, 5]], 1)
            right = np.nansum(lengths[:, [2, 3, 6, 7]], 1)
            whole = np.isfinite(lengths).all(1)
            uneven = _median(np.abs(left - right)[whole] / np.maximum(left + right, 1e-12)[whole])
            parts = lengths[whole][:, [0, 1, 4, 5]] / np.maximum(left[whole], 1e-12)[:, None]
            shares = np.array([_median(part) for part in parts.T]) if whole.any() else np.full(4, 0.25)
            if uneven > 0.15 or (shares < 0.08).any() or shares[0] < shares[3] * 0.8:
                return Doubt(
                    column, f"left and right limbs {200 * uneven:.0f} % apart, thigh, shin, upper arm and forearm "
                    f"{', '.join(f'{100 * s:.0f}' for s in shares)} % of them", "the limbs of people",
                    "Give the points in the order of the format, with all axes in one unit.",
                )  # fmt: skip
    return None


def not_upright(people: People) -> Doubt | None:
    """Doubt unless heads are above hips and hips above feet in most of several people, with y pointing down."""
    votes = (
        ("kp2d", people.kp2d), ("kp3d", None if people.kp2d is not None else people.kp3d),
        ("global_orient", None if people.kp2d is not None or people.kp3d is not None else people.posed),
    )  # fmt: skip
    top = [SMPL_24.index(name) for name in ("left_shoulder", "right_shoulder", "neck", "head")]
    low = [SMPL_24.index(name) for name in ("left_knee", "right_knee", "left_ankle", "right_ankle")]
    for column, points in votes:
        if points is None:
            continue
        known = np.isfinite(points[:, [*top, *low], 0])
        known = known[:, : len(top)].any(1) & known[:, len(top) :].any(1)
        if known.sum() < VOTERS:
            continue
        axis = np.nanmean(points[known][:, low], 1) - np.nanmean(points[known][:, top], 1)
        along = np.abs(axis).argmax(1)
        if (axis[:, 1] > 0).mean() < 0.3 or (along == 1).mean() < 0.3:
            word = "upside down" if (axis[:, 1] > 0).mean() < 0.3 else "lying along another axis"
            share = max((axis[:, 1] <= 0).mean(), (along != 1).mean())
            return Doubt(
                column, f"{100 * share:.0f} % of people {word}", "heads above feet, y down, in most of them",
                "Turn y (and z) round if y points up, and look for axes in another order.",
            )  # fmt: skip
    return None


def not_a_face_forward(people: People) -> Doubt | None:
    """Doubt unless knees bend backwards and elbows forwards, in most bends of several people."""
    if people.pose is None or people.pose.shape[1] < 19:
        return None
    # flexion of knees is about +x, of the left elbow about -y, of the right about +y
    for name, joints, axis, signs in (("knees", (3, 4), 0, (1, 1)), ("elbows", (17, 18), 1, (-1, 1))):
        turns = people.pose[:, list(joints)]
        angle = np.linalg.norm(turns, axis=-1)
        bent = angle > 0.35
        if bent.any(1).sum() < VOTERS:
            continue
        right = float((turns[..., axis] * np.array(signs) > 0.4 * angle)[bent].mean())
        if right < 0.35:
            return Doubt(
                "body_pose", f"{100 * (1 - right):.0f} % of bent {name} that bend the wrong way",
                "knees back, elbows forward", _TURNS,
            )  # fmt: skip
    return None


class _Other(NamedTuple):
    """Another way to read the rotations."""

    column: str
    what: str
    root: Callable[[Reals], Reals]
    pose: Callable[[Reals], Reals]


def _same(vectors: Reals) -> Reals:
    return vectors


_OTHERS = (
    _Other("global_orient", "root rotations stored column by column (transposed)", np.negative, _same),
    _Other("body_pose", "rotations stored column by column (transposed)", _same, np.negative),
    _Other("body_pose", "all rotations stored column by column (transposed)", np.negative, np.negative),
    *(
        _Other("body_pose", f"rotations about axes in the order {''.join('xyz'[k] for k in order)}", _same,
               lambda vectors, order=order: vectors[..., order])
        for order in ([0, 2, 1], [1, 0, 2], [2, 1, 0])
    ),
)  # fmt: skip


def better_otherwise(people: People) -> Doubt | None:
    """Doubt if the rotations, read in another way, would put the body much nearer to its points."""
    if people.posed is None or people.orient is None or people.pose is None:
        return None
    if people.kp3d is None and people.kp2d is None:
        return None

    def misfit(posed: Reals) -> float | None:
        if people.kp3d is not None:
            found = _fit(posed, people.kp3d)
        else:
            placed = people.camera is not None and people.pelvis is not None
            drawn = posed[..., :2]
            if placed and people.camera is not None and people.pelvis is not None:
                drawn = _project(posed + people.pelvis[:, None], people.camera)
            found = None if people.kp2d is None else _fit(drawn, people.kp2d)
        return None if found is None else found.misfit

    given = misfit(people.posed)
    if given is None or given < 0.08:
        return None
    for other in _OTHERS:
        changed = misfit(rough_joints(other.root(people.orient), other.pose(people.pose)))
        if changed is not None and changed < 0.8 * given and given - changed > 0.03:
            return Doubt(
                other.column, f"bodies {100 * given:.0f} % unlike their points, {100 * changed:.0f} % if read as "
                f"{other.what}", "rotations row by row, as axis-angle about x, y, z", _TURNS,
            )  # fmt: skip
    return None


def mirrored(people: People) -> Doubt | None:
    """Doubt if bodies are mirrored: left and right exchanged, as shown by the way that knees bend."""
    points = people.kp3d
    if points is None or points.shape[2] != 3:
        return None
    ids = {name: SMPL_24.index(name) for name in ("left_knee", "right_knee", "left_ankle", "right_ankle")}
    hips, up = points[:, 1] - points[:, 2], points[:, 12] - (points[:, 1] + points[:, 2]) / 2
    ahead = np.cross(hips, up)  # the way the body faces: left x up
    votes = []
    for side, hip in (("left", 1), ("right", 2)):
        knee, ankle = points[:, ids[f"{side}_knee"]], points[:, ids[f"{side}_ankle"]]
        bow = knee - (points[:, hip] + ankle) / 2  # bent knees point forwards
        bend = np.linalg.norm(bow, axis=1) / np.maximum(np.linalg.norm(points[:, hip] - ankle, axis=1), 1e-9)
        cosine = (bow * ahead).sum(1) / np.maximum(np.linalg.norm(bow, axis=1) * np.linalg.norm(ahead, axis=1), 1e-12)
        votes.append(cosine[(bend > 0.1) & np.isfinite(cosine)])
    details = np.concatenate(votes)
    if len(details) < VOTERS or (details > 0).mean() > 0.3:
        return None
    return Doubt(
        "kp3d", f"{100 * (details <= 0).mean():.0f} % of bent knees stand backwards", "knees before hips and ankles",
        "Look for one axis turned round (x left, z backward), or left and right exchanged.",
    )  # fmt: skip


CHECKS: tuple[Callable[[People], Doubt | None], ...] = (
    not_radians,
    not_human_size,
    not_in_front,
    not_a_camera,
    not_in_the_picture,
    not_joined,
    not_its_projection,
    not_the_points,
    better_otherwise,
    not_in_the_box,
    not_upright,
    not_a_face_forward,
    mirrored,
)

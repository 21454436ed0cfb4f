"""Predictions against records by a protocol: errors of every hypothesis, person by person, in bounded memory.

The arithmetic of one person is `person_errors`; everything else reads and sorts. Millimetres, percent, pixels.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hmr.metrics import mesh_contact
from hmr.metrics.pose_metrics import auc, keypoint_error_px, medoid, mpjpe, pa_mpjpe, pck, pck_2d
from storage.predictions import read_predictions
from storage.predictions.predicted import Predicted, project
from storage.sources import SourceError
from storage.sources.joint_sets import H36M
from storage.sources.record import rows_of
from tasks.data.importing import open_records
from tasks.protocols.bodies import Bodies, turns_of
from tasks.protocols.people import Answer, Chosen, Matched
from tasks.protocols.protocol import JOINTS, REGRESSED, Protocol
from tasks.run.settings import SettingsError

Reals = NDArray[Any]
PEOPLE = 128
"""People whose true bodies are made at once."""
FILES = 256
"""Files of predictions that are kept open."""
SURE = 0.5
"""Confidence above which a point of the picture counts."""


class Body(NamedTuple):
    """Points of g bodies as a protocol measures them; metres, camera frame, nothing subtracted."""

    measured: Reals  # (g, J, 3)
    root: Reals  # (g, 3) to be subtracted from joints
    whole: Reals | None = None  # (g, K, 3) all joints of the regressor, which PA may be aligned by
    vertices: Reals | None = None  # (g, V, 3)
    vertex_root: Reals | None = None  # (g, 3)
    given: NDArray[np.bool_] | None = None  # (J,) which have labels


class Measured(NamedTuple):
    """One person: errors of every hypothesis, and what tables and plots need beside them."""

    sample_id: str
    sequence: str
    track: tuple[str, str, str]  # sequence, camera, person: frames of one track make a motion
    frame: int | None
    models: tuple[str, ...]  # of each hypothesis
    errors: dict[str, NDArray[np.float64]]  # metric -> (g,)
    mean_body: dict[str, float]  # metric -> of the mean of all hypotheses' points
    medoid: int
    scores: NDArray[np.float64] | None  # (g,)
    joint_error: NDArray[np.float64]  # (J,) mm of the first hypothesis
    hidden: float  # share of the person's points that the picture does not show; NaN = not told
    turned: float  # degrees between where the person faces and the camera; NaN = not told
    motion: tuple[NDArray[np.float64], NDArray[np.float64]]  # (J, 3) first hypothesis and truth about the root, metres


# --- one person ----------------------------------------------------------------------------------------------


def person_errors(rules: Protocol, predicted: Body, true: Body) -> dict[str, NDArray[np.float64]]:
    """Errors of g hypotheses of one person, of those metrics that need nothing but the two bodies.

    `true` holds one body. A metric that cannot be measured (no mesh, no root) is NaN.
    """
    count = len(predicted.measured)
    seen, want = predicted.measured - predicted.root[:, None], true.measured - true.root[:, None]
    want = np.broadcast_to(want, seen.shape)
    given = None if true.given is None else np.broadcast_to(true.given, seen.shape[:2])
    found = {"mpjpe_mm": mpjpe(seen, want, given), "pa_mpjpe_mm": _aligned(rules, predicted, true, given)}
    found["pve_mm"] = np.full(count, np.nan)
    if predicted.vertices is not None and true.vertices is not None and _alike(predicted.vertices, true.vertices):
        goal = true.vertices - true.vertex_root[:, None]  # type: ignore[index]
        mesh = predicted.vertices - predicted.vertex_root[:, None]  # type: ignore[index]
        found["pve_mm"] = mpjpe(mesh, np.broadcast_to(goal, mesh.shape))
    some = slice(0, rules.pck_joints)
    for name, share in (("pck_150_percent", lambda *a: pck(*a)), ("pck_50_percent", lambda *a: pck(*a, within_mm=50.0)),
                        ("auc_percent", lambda *a: auc(*a))):  # fmt: skip
        if name in rules.metrics:
            flags = [None] * count if given is None else [one[some] for one in given]
            pairs = zip(seen[:, some], want[:, some], flags)
            found[name] = np.array([np.nan if not np.isfinite(a).all() else 100 * share(a, b, c) for a, b, c in pairs])
    return found


def _alike(first: Reals, second: Reals) -> bool:
    """Whether two meshes have the same vertices."""
    return first.shape[1:] == second.shape[1:]


def _aligned(rules: Protocol, predicted: Body, true: Body, given: NDArray | None) -> NDArray[np.float64]:
    if rules.procrustes == "chosen" or predicted.whole is None or true.whole is None:
        want = np.broadcast_to(true.measured, predicted.measured.shape)
        return pa_mpjpe(predicted.measured, want, given)
    places = list(JOINTS[rules.joints].places)
    measured = np.zeros(predicted.whole.shape[:2], bool)
    measured[:, places] = True if given is None else given
    return pa_mpjpe(predicted.whole, np.broadcast_to(true.whole, predicted.whole.shape), measured, align_all=True)


def in_world(body: Body, world_to_camera: Reals) -> Body:
    """The same bodies turned into the world: x_world = R^T x_cam; translations are subtracted anyway."""
    turn = np.asarray(world_to_camera, np.float64)
    parts = {name: None if value is None or name == "given" else value @ turn for name, value in body._asdict().items()}
    return Body(**{**parts, "given": body.given})


def mean_of(body: Body) -> Body:
    """One body: the mean of the hypotheses' points about their roots."""

    def mean(points: Reals | None, root: Reals | None) -> Reals | None:
        return None if points is None or root is None else (points - root[:, None]).mean(0, keepdims=True)

    zero = np.zeros((1, 3))
    measured = mean(body.measured, body.root)
    assert measured is not None
    return Body(measured, zero, mean(body.whole, body.root), mean(body.vertices, body.vertex_root), zero, body.given)


def facing(orient: Reals) -> float:
    """Degrees between the direction that a body faces and the one to the camera, from its root's axis-angle."""
    from scipy.spatial.transform import Rotation

    if not np.isfinite(orient).all():
        return float("nan")
    ahead = Rotation.from_rotvec(orient).as_matrix()[:, 2]  # SMPL faces +z at rest; the camera is at -z
    return float(np.degrees(np.arccos(np.clip(-ahead[2], -1, 1))))


# --- many people ---------------------------------------------------------------------------------------------


def evaluate(
    chosen: Chosen, matched: Matched, rules: Protocol, bodies: Bodies, kind: str = "npz"
) -> Iterator[Measured]:
    """Errors of all people who have a prediction, in the order of the file.

    Raises SettingsError, SourceError or BodyFileError, naming what is missing, if a person cannot be measured.
    """

    @lru_cache(FILES)
    def held(file: Path) -> list[Predicted]:
        return read_predictions(kind, [file])

    for numbers, table in _chunks(chosen):
        wanted = [k for k, number in enumerate(numbers) if number in matched.groups]
        if not wanted:
            continue
        truths = true_bodies(table, rules, bodies, chosen.file)
        columns = {name: _column(table, name) for name in ("K", "T_cam_world", "kp2d", "kp2d_conf", "global_orient")}
        done: list[tuple[int, Measured, Body, Body]] = []
        for k in wanted:
            parts = [(held(one.file)[one.place], one) for one in matched.groups[numbers[k]]]
            predicted = joined([body_of(part, rules, bodies) for part, _ in parts])
            one = _measure(rules, table, k, columns, parts, predicted, truths[k])
            done.append((k, one, predicted, truths[k]))
        if {"pair_pa_mpjpe_mm", "contact_f1_percent", "inside_percent", "inside_mm"} & set(rules.metrics):
            _add_pairs(rules, table, done, bodies)
        for _, one, _, _ in done:
            missing = {name: np.full(len(one.models), np.nan) for name in rules.metrics if name not in one.errors}
            yield one._replace(errors={name: {**one.errors, **missing}[name] for name in rules.metrics})


def check_truth(chosen: Chosen, rules: Protocol, bodies: Bodies) -> None:
    """Raise what `evaluate` would raise for the first person's truth or for our bodies, before anything is drawn."""
    _, table = next(_chunks(chosen))
    true_bodies(table.slice(0, 1), rules, bodies, chosen.file)
    body = bodies.body("smpl", "neutral")
    count = body.faces.max() + 1
    if rules.regressor != "body" and bodies.regressor.shape[1] != count:
        raise SettingsError(
            f"--regressor makes joints of {bodies.regressor.shape[1]:,} vertices, and the bodies have {count:,}: "
            "give the one of this body"
        )


def _chunks(chosen: Chosen) -> Iterator[tuple[list[int], pa.Table]]:
    """Rows with their numbers in `chosen`, some at a time; people of one picture stay together."""
    paths = chosen.table["image_path"].to_pylist()
    with open_records(chosen.file) as file:
        ends = np.cumsum([file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)])
        known: tuple[int, pa.Table] | None = None
        start = 0
        while start < len(paths):
            end = min(start + PEOPLE, len(paths))
            while end < len(paths) and paths[end] == paths[end - 1]:
                end += 1
            parts = []
            for group in np.unique(np.searchsorted(ends, chosen.rows[start:end], side="right")):
                if known is None or known[0] != group:
                    known = (int(group), file.read_row_group(int(group)))
                first = int(ends[group - 1]) if group else 0
                inside = chosen.rows[start:end] - first
                parts.append(known[1].take(inside[(inside >= 0) & (inside < len(known[1]))]))
            yield list(range(start, end)), pa.concat_tables(parts).unify_dictionaries()
            start = end


def _column(table: pa.Table, name: str) -> Reals | None:
    if table[name].null_count == len(table):
        return None
    try:
        return rows_of(table, name).astype(np.float64)
    except ValueError:  # rows of several lengths: of several files in one
        raise SettingsError(f"column '{name}' has rows of several lengths. Give one dataset at a time.") from None


def true_bodies(table: pa.Table, rules: Protocol, bodies: Bodies, file: Path) -> list[Body]:
    """The truth of each record as the protocol wants it: labels or joints of the posed body; meshes if possible."""
    joints, vertices = _true_meshes(table, rules, bodies)
    if rules.truth == "joints":
        found = [_of_labels(record, rules, file) for record in
                 table.select(["sample_id", "kp3d", "kp3d_names", "kp3d_valid", "kp3d_root"]).to_pylist()]  # fmt: skip
    elif any(one is None for one in joints):
        lacking = table["sample_id"][next(k for k, one in enumerate(joints) if one is None)].as_py()
        raise SettingsError(
            f"{file}: {lacking}: its true body gives no joints for {rules.regressor} (no parameters, or a mesh of "
            "another topology). Give --bodies with the right files, and --smplx-map for SMPL-X."
        )
    else:
        found = [_placed(one[None], None, rules) for one in joints if one is not None]
    made = []
    for one, mesh, of_mesh in zip(found, vertices, joints):
        if mesh is not None and of_mesh is not None:
            one = one._replace(vertices=mesh[None], vertex_root=_root(of_mesh[None], _names(rules), rules.vertex_root))
        made.append(one)
    return made


def _names(rules: Protocol) -> tuple[str, ...]:
    return REGRESSED[rules.regressor]


def _true_meshes(table: pa.Table, rules: Protocol, bodies: Bodies) -> tuple[list, list]:
    """Joints by the regressor and vertices of each record's body; None where it has none or no file makes it."""
    count = len(table)
    joints: list[Reals | None] = [None] * count
    vertices: list[Reals | None] = [None] * count
    models, genders = table["model_type"].to_pylist(), table["gender"].to_pylist()
    needed = rules.truth == "body" or {"pve_mm", "w_pve_mm"} & set(rules.metrics)
    if (bodies.folder is None and rules.truth == "joints") or not needed:
        return joints, vertices
    names = ("global_orient", "body_pose", "betas", "transl", "jaw", "left_eye", "right_eye", "left_hand", "right_hand",
             "expression")  # fmt: skip
    kinds = [
        (model, "neutral" if rules.gender == "neutral" else gender or "neutral") if model else None
        for model, gender in zip(models, genders)
    ]
    for kind in dict.fromkeys(kind for kind in kinds if kind):
        rows = np.array([k for k, one in enumerate(kinds) if one == kind])
        columns = {name: part for name in names if (part := _column(table.take(rows), name)) is not None}
        if not {"global_orient", "body_pose", "betas"} <= columns.keys():
            continue
        every = np.arange(len(rows))
        transl = columns.get("transl", np.zeros((len(rows), 3)))
        transl = np.where(np.isnan(transl), 0.0, transl)  # errors are about the root
        face = columns.get("expression")
        mesh, own = bodies.pose(
            *kind, turns_of(columns, every, kind[0]), columns["betas"][:, :10], transl,
            None if face is None else np.nan_to_num(face),
        )  # fmt: skip
        points = bodies.points(mesh, own, kind[0], rules.regressor)
        for k, row in enumerate(rows.tolist()):
            joints[row] = None if points.joints is None else points.joints[k]
            vertices[row] = None if points.vertices is None else points.vertices[k]
    return joints, vertices


def _of_labels(record: dict[str, Any], rules: Protocol, file: Path) -> Body:
    """Annotated joints by name; those that are missing in all are one error.

    Where a file has those of `J_regressor_h36m` beside others of the same names, they count.
    """
    names = str(record["kp3d_names"] or "").split(",")
    regressed = [name.removesuffix(H36M) if name.endswith(H36M) else "" for name in names]
    both = set(JOINTS[rules.joints].names) <= set(regressed)
    root_told = record["kp3d_root"] == rules.root and not both
    names = regressed if both else names
    wanted = JOINTS[rules.joints].names
    lacking = [name for name in wanted if name not in names]
    if record["kp3d"] is None or lacking:
        raise SettingsError(
            f"{file}: {record['sample_id']}: has no label for {', '.join(lacking or wanted)}, which the protocol "
            "measures. Import a file with these joints."
        )
    points = np.reshape(record["kp3d"], (-1, 3)).astype(np.float64)
    valid = np.ones(len(names), bool) if record["kp3d_valid"] is None else np.asarray(record["kp3d_valid"], bool)
    places = [names.index(name) for name in wanted]
    root = np.zeros((1, 3)) if root_told else _root(points[None], tuple(names), rules.root)
    everything = _names(rules)
    whole = points[[names.index(name) for name in everything]][None] if set(everything) <= set(names) else None
    return Body(points[places][None], root, whole, given=valid[places])


def body_of(one: Predicted, rules: Protocol, bodies: Bodies) -> Body:
    """A model's hypotheses as the protocol measures them.

    A mesh's joints come from the regressor. Joints of a model without a mesh are taken in the protocol's order if they
    are as many as it measures, else in the regressor's.
    """
    points = bodies.of_prediction(one, rules.regressor, "neutral")
    everything, measured = _names(rules), JOINTS[rules.joints]
    if points.joints is None:
        raise SourceError(
            f"{one.file}: no joints of this {one.topology or 'body'} can be measured by {rules.regressor}. Its mesh "
            "needs a map (--smplx-map, --mhr-maps), or give joints."
        )
    count = points.joints.shape[1]
    if points.vertices is None and count == len(measured.names):
        return Body(points.joints, _root(points.joints, measured.names, rules.root))
    if count != len(everything):
        raise SourceError(
            f"{one.file}: {count} joints; expected {len(everything)} of {rules.regressor} or the "
            f"{len(measured.names)} of the protocol: {', '.join(measured.names)}."
        )
    return _placed(points.joints, points.vertices, rules)


def _placed(joints: Reals, vertices: Reals | None, rules: Protocol) -> Body:
    """All joints of a regressor -> those that are measured, and the roots."""
    root = _root(joints, _names(rules), rules.root)
    return Body(
        joints[:, list(JOINTS[rules.joints].places)], root, joints, vertices,
        _root(joints, _names(rules), rules.vertex_root),
    )  # fmt: skip


def _root(joints: Reals, names: Sequence[str], how: str) -> Reals:
    """(g, 3) what is subtracted; NaN where the joints do not tell."""
    if how == "none":
        return np.zeros((len(joints), 3))
    wanted = ("pelvis",) if how == "pelvis" else ("left_hip", "right_hip")
    if not set(wanted) <= set(names):
        return np.full((len(joints), 3), np.nan)
    return joints[:, [list(names).index(name) for name in wanted]].mean(1)


def joined(parts: Sequence[Body]) -> Body:
    """Hypotheses of several models as one group; a mesh counts if all have one of the same topology."""
    if len(parts) == 1:
        return parts[0]

    def together(name: str) -> Reals | None:
        values = [getattr(part, name) for part in parts]
        alike = all(value is not None and value.shape[1:] == values[0].shape[1:] for value in values)
        return np.concatenate(values) if alike else None

    measured, root = together("measured"), together("root")
    assert measured is not None and root is not None
    return Body(measured, root, together("whole"), together("vertices"), together("vertex_root"))


def _measure(
    rules: Protocol, table: pa.Table, k: int, columns: dict[str, Reals | None],
    parts: Sequence[tuple[Predicted, Answer]], predicted: Body, true: Body,
) -> Measured:  # fmt: skip
    """One person's errors, and what else is told of it."""
    errors, mean = person_errors(rules, predicted, true), mean_of(predicted)
    of_mean = person_errors(rules, mean, true)
    world, turns = columns["T_cam_world"], [one.cam_rotation for one, _ in parts]
    if (
        {"w_mpjpe_mm", "w_pve_mm"} & set(rules.metrics)
        and world is not None
        and all(turn is not None for turn in turns)
    ):
        there = in_world(true, world[k, :3, :3])
        turned = joined([
            in_world(_rows(predicted, start, len(one)), one.cam_rotation)  # type: ignore[arg-type]
            for start, one in zip(np.cumsum([0, *(len(one) for one, _ in parts)]), (one for one, _ in parts))
        ])  # fmt: skip
        for where, body in ((errors, turned), (of_mean, mean_of(turned))):
            found = person_errors(rules, body, there)
            where |= {"w_mpjpe_mm": found["mpjpe_mm"], "w_pve_mm": found["pve_mm"]}
    errors |= _flat_errors(rules, table, k, columns, parts, predicted)
    scores = [one.scores for one, _ in parts]
    about = predicted.measured - predicted.root[:, None]
    truth = (true.measured - true.root[:, None])[0]
    usable = about if np.isfinite(about).all() else predicted.measured - predicted.measured.mean(1, keepdims=True)

    def word(name: str) -> str:
        return str(table[name][k].as_py() or "")

    hidden = _hidden(table, k)
    orient = columns["global_orient"]
    return Measured(
        word("sample_id"), word("sequence"), (word("sequence"), word("camera_id"), word("person_id")),
        table["frame_index"][k].as_py(), tuple(one.model for one, _ in parts for _ in range(len(one))),
        errors, {name: float(values[0]) for name, values in of_mean.items()}, int(medoid(usable[None])[0]),
        np.concatenate(scores).astype(np.float64) if all(one is not None for one in scores) else None,  # type: ignore[arg-type]
        1000 * np.linalg.norm(about[0] - truth, axis=-1), hidden,
        float("nan") if orient is None else facing(orient[k]), (about[0], truth),
    )  # fmt: skip


def _rows(body: Body, start: int, count: int) -> Body:
    part = slice(start, start + count)
    return Body(*(None if x is None else x[part] for x in body[:5]), given=body.given)  # type: ignore[arg-type]


def _hidden(table: pa.Table, k: int) -> float:
    """Share of the points that are hidden or missing."""
    seen, sure = table["kp2d_vis"][k].as_py(), table["kp2d_conf"][k].as_py()
    if seen is not None and any(flag >= 0 for flag in seen):
        known = [flag for flag in seen if flag >= 0]
        return sum(flag < 2 for flag in known) / len(known)
    if sure:
        return sum(value <= 0 for value in sure) / len(sure)
    return float("nan")


def _flat_errors(
    rules: Protocol, table: pa.Table, k: int, columns: dict[str, Reals | None],
    parts: Sequence[tuple[Predicted, Answer]], predicted: Body,
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """Errors in the picture, over joints that both name, through the model's camera or the record's."""
    wanted = {"error_2d_px", "pck_2d_05_percent", "pck_2d_10_percent"} & set(rules.metrics)
    flat, sure, matrix = columns["kp2d"], columns["kp2d_conf"], columns["K"]
    if not wanted or flat is None:
        return {}
    names = str(table["kp2d_names"][k].as_py() or "").split(",")
    shared = [name for name in JOINTS[rules.joints].names if name in names]
    mine, theirs = ([of.index(name) for name in shared] for of in (JOINTS[rules.joints].names, names))
    box = table["bbox_xywh"][k].as_py()
    cameras: list[Reals] = []
    for one, _ in parts:
        known = None if matrix is None else matrix[k].reshape(3, 3)[[0, 1, 0, 1], [0, 1, 2, 2]]
        camera = one.camera if one.camera is not None else known
        if camera is None or not shared or box is None:
            return {}
        cameras += [camera] * len(one)
    seen = np.stack([project(points[mine], camera) for points, camera in zip(predicted.measured, cameras)])
    want = np.broadcast_to(flat[k].reshape(-1, 2)[theirs], seen.shape)
    shown = np.ones(len(shared), bool) if sure is None else sure[k][theirs] > SURE
    flags, side = np.broadcast_to(shown, seen.shape[:2]), max(box[2:])
    found = {"error_2d_px": keypoint_error_px(seen, want, flags)}
    for name, within in (("pck_2d_05_percent", 0.05), ("pck_2d_10_percent", 0.1)):
        found[name] = np.array([
            100 * pck_2d(a[None], b[None], np.array([side]), c[None], within=within)
            for a, b, c in zip(seen, want, flags)
        ])  # fmt: skip
    return {name: values for name, values in found.items() if name in wanted}


def _add_pairs(rules: Protocol, table: pa.Table, done: list, bodies: Bodies) -> None:
    """Errors of two people of one picture together, of their first hypotheses: a similarity for both, and contact."""
    pictures: dict[str, list[int]] = {}
    for place, (k, *_) in enumerate(done):
        pictures.setdefault(table["image_path"][k].as_py(), []).append(place)
    for places in pictures.values():
        if len(places) != 2:
            continue
        both = [done[place] for place in places]
        seen, want = (np.concatenate([pair[side].measured[:1] for pair in both], 1) for side in (2, 3))
        together = float(pa_mpjpe(seen, want)[0])
        for place, other in (places, places[::-1]):
            k, one, mine, _ = done[place]
            theirs = done[other][2]
            first = {"pair_pa_mpjpe_mm": together}
            if mine.vertices is not None and theirs.vertices is not None:
                first |= _contact(table, k, mine.vertices[0], theirs.vertices[0], bodies)
            count = len(one.models)
            for name, value in first.items():
                one.errors[name] = np.array([value, *[np.nan] * (count - 1)])


def _contact(table: pa.Table, k: int, mine: Reals, theirs: Reals, bodies: Bodies) -> dict[str, float]:
    found: dict[str, float] = {}
    held = table["contact"][k].as_py()
    if held is not None and (not held or max(held) < len(mine)):
        labelled = np.zeros(len(mine), bool)
        labelled[held] = True
        found["contact_f1_percent"] = 100 * mesh_contact.contact_score(mesh_contact.touching(mine, theirs), labelled).f1
    faces = bodies.faces(len(theirs))
    if faces is not None:
        inside = mesh_contact.penetration(mine, theirs, faces)
        found |= {"inside_percent": 100 * inside.share, "inside_mm": inside.depth_mm}
    return found

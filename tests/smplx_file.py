"""A body file in SMPL-X's layout whose mesh is the shipped free body: no licensed file is needed to test with one.

The free body's vertices are dealt to places among 10475, so that its nose, toes and finger tips lie where SMPL-X has
its own; the places that are left over repeat the first vertex. Its 24 joints go to SMPL-X's, its hands to the middle
fingers. So the folded body must be the free body, vertex by vertex, in another order.
"""

from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from smplx.vertex_ids import vertex_ids

from hmr.body.smplx_fold import KNUCKLES, SHARED, SMPLX_JOINTS, SMPLX_PARENTS

COUNT = 10475
TARGETS = [*range(SHARED), *KNUCKLES]
"""SMPL-X's joint for each of the free body's 24."""


def light_places() -> NDArray[np.int64]:
    """(6888,) the place of each vertex of the free body among SMPL-X's."""
    with np.load(resources.files("hmr") / "assets" / "body_light.npz") as light:
        known = dict(zip(map(str, light["vertex_ids_names"]), light["vertex_ids"].tolist()))
        count = len(light["v_template"])
    places = np.full(count, -1)
    for name, target in vertex_ids["smplx"].items():
        places[known[name]] = target
    free = np.setdiff1d(np.arange(COUNT), places)
    lacking = np.flatnonzero(places < 0)
    places[lacking] = free[: len(lacking)]
    return places


def write_smplx(path: Path) -> Path:
    places = light_places()
    source = np.zeros(COUNT, np.int64)  # the free body's vertex at each place
    source[places] = np.arange(len(places))
    with np.load(resources.files("hmr") / "assets" / "body_light.npz") as light:
        arrays = {name: light[name] for name in light.files}
    weights = np.zeros((COUNT, SMPLX_JOINTS), np.float32)
    weights[:, TARGETS] = arrays["weights"][source]
    regressor = np.zeros((SMPLX_JOINTS, COUNT), np.float32)
    regressor[np.ix_(TARGETS, places)] = arrays["J_regressor"]
    shapes = np.zeros((COUNT, 3, 20), np.float32)
    shapes[:, :, :10] = arrays["shapedirs"][source]
    tree = np.array([SMPLX_PARENTS, range(SMPLX_JOINTS)], np.int64).astype(np.uint32)
    tree[0, 0] = 2**32 - 1
    np.savez_compressed(
        path,
        v_template=arrays["v_template"][source],
        shapedirs=shapes,
        posedirs=np.zeros((COUNT, 3, 486), np.float32),
        J_regressor=regressor,
        weights=weights,
        kintree_table=tree,
        f=places[arrays["f"].astype(np.int64)].astype(np.uint32),
        joint2num=np.array({"Pelvis": 0}, dtype=object),  # the official files hold objects too
    )
    return path

"""Orders in which datasets list their points, by one set of names.

`left_hip` of two sets is the same place only roughly: a regressor, a marker set and an annotator put it centimetres
apart. So a record keeps the names of its points and their source, and nothing here converts one set into another.

Source: the datasets' own pages, and the tables of MMHuman3D, SPIN and HybrIK, which agree on these.
"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SMPL_24 = _names(
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hand right_hand"
)
SMPL_29 = (*SMPL_24, *_names("head_top left_middle_finger right_middle_finger left_big_toe right_big_toe"))
"""HybrIK's: SMPL's and five leaves."""
SMPLX_22 = SMPL_24[:22]
H36M_17 = _names(
    "pelvis left_hip left_knee left_ankle right_hip right_knee right_ankle torso neck nose head_top left_shoulder "
    "left_elbow left_wrist right_shoulder right_elbow right_wrist"
)
"""Of `J_regressor_h36m`: the left hip first."""
H36M_17_OFFICIAL = _names(
    "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle torso neck nose head_top left_shoulder "
    "left_elbow left_wrist right_shoulder right_elbow right_wrist"
)
"""VideoPose3D's and mmpose's: the right hip first."""
LSP_14 = _names(
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top"
)
SPIN_24 = (*LSP_14, *_names("pelvis thorax torso jaw head nose left_eye right_eye left_ear right_ear"))
COCO_17 = _names(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
MPII_16 = _names(
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax neck head_top right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist"
)
OPENPOSE_25 = _names(
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist pelvis right_hip "
    "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_big_toe "
    "left_small_toe left_heel right_big_toe right_small_toe right_heel"
)
PROHMR_19 = (*LSP_14, *_names("pelvis thorax torso jaw head"))
HMR2_44 = (*(f"{name}_openpose" for name in OPENPOSE_25), *PROHMR_19)
"""4D-Humans': OpenPose's, then LSP's and five of SPIN's extra points."""
PW3D_18 = _names(
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
)
MPI_INF_3DHP_28 = _names(
    "spine3 spine4 spine2 torso pelvis neck head head_top left_collar left_shoulder left_elbow left_wrist left_hand "
    "right_collar right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot left_toe "
    "right_hip right_knee right_ankle right_foot right_toe"
)
MPI_INF_3DHP_17 = _names(
    "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle pelvis torso head"
)
INSTAVARIETY_25 = _names(
    "right_heel right_knee right_hip left_hip left_knee left_heel right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top nose left_eye right_eye left_ear right_ear left_big_toe "
    "right_big_toe left_small_toe right_small_toe left_ankle right_ankle"
)
_GTA = {
    0: "head_top", 1: "head", 2: "neck", 3: "right_collar", 4: "right_shoulder", 5: "right_elbow", 6: "right_wrist",
    7: "left_collar", 8: "left_shoulder", 9: "left_elbow", 10: "left_wrist", 14: "pelvis", 16: "right_hip",
    17: "right_knee", 18: "right_ankle", 19: "left_hip", 20: "left_knee", 21: "left_ankle", 24: "left_foot",
    49: "right_foot", 54: "left_eye", 60: "right_eye", 99: "nose",
}  # fmt: skip
GTA_100 = tuple(_GTA.get(k, f"gta_{k:02d}") for k in range(100))
"""Bones of the game's skeleton; those without a name in other sets go by number."""

_FINGERS = [
    f"{side}_{finger}_{k}"
    for side in ("left", "right")
    for finger in ("index", "middle", "pinky", "ring", "thumb")
    for k in (1, 2, 3)
]
_FACE = [f"face_{k:02d}" for k in range(68)]
HUMANDATA_190 = (
    *SMPL_24[:22],
    *_names("jaw left_eyeball right_eyeball"),
    *_FINGERS,
    *_names("nose right_eye left_eye right_ear left_ear left_big_toe left_small_toe left_heel"),
    *_names("right_big_toe right_small_toe right_heel"),
    *(f"{side}_{finger}" for side in ("left", "right") for finger in ("thumb", "index", "middle", "ring", "pinky")),
    *_FACE,
    *_names("right_hip_extra left_hip_extra neck_extra head_top pelvis_extra thorax torso jaw_extra head_extra"),
    *HMR2_44[:25],
    *_names("spine4 left_clavicle_3dhp right_clavicle_3dhp left_hand_3dhp right_hand_3dhp left_toe right_toe"),
    *_names("head_h36m head_top_h36m head_bottom left_hand right_hand"),
)
"""Slots of MMHuman3D's HumanData."""
HUMANDATA_144 = HUMANDATA_190[:144]
"""Its SMPL-X joints: body, face, hands, surface points."""

H36M = "_h36m"
"""Ending of the names of joints of `J_regressor_h36m` beside others of the same name."""
_SUFFIXES = ("_openpose", "_extra")


def plain_name(name: str) -> str:
    """The name of a point without the part that names its regressor."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name

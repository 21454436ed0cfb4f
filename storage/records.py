"""The records that the stages pass to each other: people, groups of hypotheses, verdicts. Numpy only, no I/O.

One group's path: a photograph holds people (`Person`); the sampler draws a `Group` of hypotheses for each; the
renderer adds pictures (`DrawnGroup`); a critic returns a `Verdict`; training turns verdicts into advantages.

Units: metres in the OpenCV camera frame (x right, y down, z forward) unless a name ends in `_px`; pixels
have their origin at the upper left corner of the photograph, pixel centres at + 0.5.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

STATUSES = (
    "ok",
    "abstained",  # the critic saw no evidence on which to judge
    "refused",
    "filtered",
    "truncated",
    "bad_json",
    "schema",
    "timeout",
    "rate_limited",
    "server_error",
    "missing_item",
)
"""Status of one judgement. Every status except `ok` goes with a NaN score (NULL in the store), never with 0."""

PASSING = frozenset({"timeout", "rate_limited", "server_error", "truncated"})
"""Temporary faults: such a hypothesis is pending, and is judged again. They are not a judgement."""

UNREADABLE = frozenset({"refused", "filtered", "bad_json", "schema", "missing_item"})
"""Faults of an answer's content: final after all tries, until a user re-opens them."""


@dataclass(frozen=True, eq=False)
class Person:
    """One person found in one photograph: everything that later stages may know about them."""

    group_id: str  # unique in a store: "<short name of the photograph>-<digest of its contents>-p<index>"
    photo: str  # absolute path of the photograph
    photo_sha256: str
    width: int  # of the photograph after its EXIF rotation, px
    height: int
    box: Floats  # (4,) x0, y0, x1, y1, px
    detection: float  # detector's confidence that this is a person, 0..1
    crop: Floats  # (3,) centre x, centre y, side of the square model crop, px of the photograph
    camera: Floats  # (4,) fx, fy, cx, cy, px of the photograph
    landmarks: Floats  # (33, 4) BlazePose x, y, z (px of the photograph; z about the hips), visibility 0..1
    world_landmarks: Floats  # (33, 3) metres about the hips, camera-aligned axes
    mask: Bytes  # (64, 64) person probability x 255 over the model crop
    picture: Bytes  # (128, 128, 3) RGB of the model crop
    # (33, 7) what a second, larger network saw of the same person, which no base model reads: x, y, z (px of the
    # photograph), visibility 0..1, then the world landmark in metres; None = it was not run
    second_look: Floats | None = None
    # (33, 3) a dataset's own 2-D keypoints by BlazePose's numbers: x, y (px of the photograph), confidence (0 = none),
    # which critics believe and no base model reads; None = the person comes without
    labels: Floats | None = None


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of a hypothesis that has no pose of the body in use."""

    vertices: Floats  # (V, 3) metres, camera frame
    faces: NDArray[np.int32]  # (F, 3)
    topology: str  # mhr, smpl, smplx, ...


@dataclass(frozen=True, eq=False)
class Group:
    """The hypotheses for one person, drawn by one model or brought by several; G below is their number."""

    person: Person
    model_digest: str  # first 16 hex digits of the sha256 of the weights that drew it
    temperature: float  # exploration temperature tau of the draw; 1 = the model's own distribution
    betas: Floats  # (10,) shape, shared by the group
    seeds: NDArray[np.int64]  # (G,) seed of each start noise
    zero_start: NDArray[np.bool_]  # (G,) True where the draw started from zero noise
    synthetic: NDArray[np.bool_]  # (G,) True for a mean or fusion that was not drawn
    latents: Floats  # (G, 133) the diffused vector x0: 29 joints x 3, then 23 twists x 2, data scale 50
    pose: Floats  # (G, 24, 3) axis-angle of every joint, root first, radians, camera frame
    translation: Floats  # (G, 3) metres
    joints: Floats  # (G, 29, 3) posed joints, metres, camera frame (translation included)
    keypoints: Floats  # (G, 23, 3) posed COCO-17 + feet, metres, camera frame (translation included)
    made_by: tuple[str, ...] = ()  # (G,) the model of each, where other models' answers are among them; () = all ours
    shapes: Floats | None = None  # (G, 10) shape of each, where they differ; None = `betas`
    # (G,) where some are meshes: these have NaN for pose, latents, and joints that their model does not tell
    meshes: tuple[Mesh | None, ...] = ()

    @property
    def each_shape(self) -> Floats:
        """(G, 10) shapes, or (1, 10) if all have the same."""
        return self.betas[None] if self.shapes is None else self.shapes

    @property
    def posed(self) -> NDArray[np.bool_]:
        """(G,) whether a hypothesis has a pose of the body in use, instead of a mesh."""
        return np.array([mesh is None for mesh in self.meshes or (None,) * len(self)], bool)

    def __len__(self) -> int:
        return len(self.seeds)


@dataclass(frozen=True, eq=False)
class DrawnGroup:
    """A group with its meshes drawn, as a critic judges it."""

    group: Group
    silhouettes: Bytes  # (G, 64, 64) drawn mesh over the model crop, 0 or 255; (0, 64, 64) when the critic needs none
    penetration: Floats  # (G,) deepest self-penetration of body parts, metres, 0 if none; (0,) like silhouettes
    photograph: Bytes | None = None  # (h, w, 3) the picture under the overlays
    overlays: tuple[Bytes, ...] = ()  # G pictures (h, w, 3); empty when the critic needs none
    sides: tuple[Bytes, ...] = ()  # G side views (h, s, 3); empty when the critic needs none
    # what a critic's `Needs.pack` made of the pictures above, in their place: photograph and G overlays as files
    packed: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Reply:
    """One raw answer of a remote critic, kept as it came."""

    text: str
    status: str
    finish_reason: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    tries: int
    order: tuple[int, ...] = ()  # hypotheses in the order shown: the k-th as image_{k + 2}; () = not known


@dataclass(frozen=True, eq=False)
class Verdict:
    """One critic's verdict on one group: score 0-100 or NaN, status and comment per hypothesis.

    Raises ValueError if lengths differ, a status is unknown, a score is outside 0-100 or does not go with its status,
    or an uncertainty does not go with its score.
    """

    group_id: str
    critic: str  # name and version, for example "evidence@4"
    scores: NDArray[np.float64]  # (G,) 0-100; NaN = abstained
    statuses: tuple[str, ...]  # (G,) of STATUSES
    comments: tuple[str, ...]  # (G,)
    seconds: float = 0.0
    cost: float = 0.0  # money, in the currency of the configured price; 0 if none is configured
    replies: tuple[Reply, ...] = field(default=())
    # (G,) standard error of each score in points, from repeated or overlapping judgements; NaN where there is no
    # score; None = each hypothesis was judged once, so it is not known
    uncertainty: NDArray[np.float64] | None = None
    rules: tuple[str, ...] = ()  # ids of the memory's rules that the critic was shown

    @property
    def pending(self) -> bool:
        """Whether a temporary fault kept a hypothesis from being judged: the group is judged again."""
        return not PASSING.isdisjoint(self.statuses)

    def __post_init__(self) -> None:
        size = len(self.scores)
        if not len(self.statuses) == len(self.comments) == size:
            raise ValueError(
                f"verdict on {self.group_id}: {size} scores, {len(self.statuses)} statuses and "
                f"{len(self.comments)} comments; give one of each per hypothesis"
            )
        for index, (score, status) in enumerate(zip(self.scores, self.statuses)):
            if status not in STATUSES:
                raise ValueError(f"verdict on {self.group_id}: unknown status '{status}'; one of {', '.join(STATUSES)}")
            if (status == "ok") == bool(np.isnan(score)):
                raise ValueError(
                    f"verdict on {self.group_id}: hypothesis {index} has status '{status}' and score {score}; "
                    "a score goes with 'ok' alone, an abstention has NaN and says why"
                )
            if status == "ok" and not 0 <= score <= 100:
                raise ValueError(f"verdict on {self.group_id}: score {score} of hypothesis {index} is outside 0-100")
        if self.uncertainty is not None:
            judged = ~np.isnan(self.scores)
            known = np.isfinite(self.uncertainty) & (self.uncertainty >= 0)
            fits = len(self.uncertainty) == size and judged.any()
            if not fits or not np.array_equal(known, judged) or not np.isnan(self.uncertainty[~judged]).all():
                raise ValueError(
                    f"verdict on {self.group_id}: uncertainty {self.uncertainty} beside scores {self.scores}; give a "
                    "standard error of at least 0 with each score and NaN without, or None where none is known"
                )

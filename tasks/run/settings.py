"""The settings of a run: one TOML file, one section per stage, read and checked once.

Every default is here; `deploy/settings/default.toml` shows them all. An unknown key is an error that names the
nearest known one: a misspelt key that was silently ignored would invalidate an experiment.

To add a setting: a field with its unit in the comment, and a line in default.toml (a test compares the two).
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from critique.memory.memory_settings import ReflectionSettings
from storage.remote_path import RemotePath, place_of
from storage.schema import StoreError

Values = Mapping[str, Mapping[str, Any]]
"""Settings as read: section -> key -> value."""

FullPath = Annotated[Path, Strict(False), AfterValidator(lambda path: path.expanduser().absolute())]
"""The user's path made absolute, because a deployed run starts in another folder."""

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Processes = Annotated[int, Field(ge=1, le=1024)]
Hypotheses = Annotated[int, Field(ge=2, le=10_000)]
Positive = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(gt=0, le=1000)]
Spread = Annotated[float, Field(ge=1, le=100)]
Focal = Annotated[float, Field(ge=1, le=10_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Checkpoint = Annotated[Literal["lab", "default"] | FullPath, Field(union_mode="left_to_right")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bf16"]


class SettingsError(ValueError):
    """A settings file or flag that cannot be used; the message says where, what is wrong and how to fix it."""


class Section(BaseModel):
    """Base of all sections: frozen, strict (no "300" for 300), finite, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


class Run(Section):
    """Which run this is, and how it is cut into shards."""

    name: Name = "default"
    out: FullPath = Field(default_factory=lambda: Path(os.environ.get("HMR_ALIGN_RUNS", "runs")))
    seed: Seed = 0
    shard_size: Annotated[int, Field(ge=1, le=100_000)] = 64  # images in one shard
    processes: Processes = 1  # working on shards, or (runner threads) on one shard's photographs; same results
    runner: Literal["threads", "processes", "dask", "ray"] = "threads"  # where the shards of a stage are worked on
    cluster: str | None = None  # address of a Dask scheduler or a Ray cluster; none = `processes` workers here

    @model_validator(mode="after")
    def _cluster_of_a_runner(self) -> "Run":
        if self.cluster is not None and self.runner not in ("dask", "ray"):
            raise ValueError(f"cluster has no effect with runner = '{self.runner}': set runner to 'dask' or 'ray'")
        return self

    @property
    def processes_of_shard(self) -> int:
        """Processes that share the work on one shard."""
        return self.processes if self.runner == "threads" else 1

    @property
    def folder(self) -> Path:
        """Where everything of this run lies."""
        return self.out / self.name


class StoreSection(Section):
    """Where people, groups and verdicts lie."""

    uri: str | None = None  # s3://bucket/prefix, gs://, az://; none = in the run's folder

    @field_validator("uri")
    @classmethod
    def _a_place(cls, uri: str | None) -> str | None:
        if uri is not None:
            try:
                place = place_of(uri)
            except StoreError as error:
                raise ValueError(str(error)) from None
            return str(place) if isinstance(place, RemotePath) else str(place.expanduser().absolute())
        return uri


class Photographs(Section):
    """The user's pictures; without a folder the embedded default is used."""

    folder: FullPath | None = None
    nested: bool = False  # also search its subfolders
    focal_px: Focal | None = None  # of every picture, px; else from EXIF, else the diagonal
    crop_margin: Annotated[float, Field(ge=1, le=10)] = 1.25  # side of the model crop / side of the landmarks' box
    only_described: bool = False  # where keypoints lie beside a picture: leave out people whom they do not describe
    search: Literal["thorough", "quick"] = "thorough"  # "quick" for pictures that are cut to one person each

    @property
    def thorough(self) -> bool:
        """Whether several people, at several scales, are looked for."""
        return self.search == "thorough"


class Records(Section):
    """Labelled people of a dataset, and their pictures."""

    records: FullPath  # a file that `hmr-align data import` wrote, or a folder of such files
    photos: FullPath  # the folder that the records' picture paths start from
    split: str | None = None  # only records of this split; none = all
    stride: Count = 1  # one record in so many, from the first on


class WeightedRecords(Records):
    """One dataset of a mixture."""

    weight: Positive = 1.0  # its people are weight / sum of all weights of the mixture


class Data(Section):
    """People of datasets in place of photographs (`train`) and of the embedded studio (`val`, `test`)."""

    train: Annotated[tuple[WeightedRecords, ...], Strict(False)] = ()  # labels in space are never read for training
    val: Annotated[tuple[Records, ...], Strict(False)] = ()  # with labels in space: joints, or bodies
    test: Annotated[tuple[Records, ...], Strict(False)] = ()  # the same
    people: Count | None = None  # of `train` together; none = as many as the weights allow with nobody taken twice


class Base(Section):
    """The body and the model that alignment starts from."""

    body: FullPath | None = None  # SMPL_NEUTRAL.pkl or .npz; none = the embedded body
    # none = "lab" on the embedded studio, "default" on the user's photographs
    checkpoint: Checkpoint | None = None


class Sample(Section):
    """How each group of hypotheses is drawn."""

    hypotheses: Hypotheses = 20  # in one group
    steps: Annotated[int, Field(ge=2, le=1000)] | None = None  # network calls of the sampler; None = the model's own
    temperature: Temperature = 2.0  # scales the noise after the first call; 1 = the model's own spread
    temperature_spread: Spread = 1.0  # each hypothesis: temperature / this to temperature * this; 1 = all alike
    device: Device = "auto"  # where networks run; auto = a GPU if there is one
    precision: Precision = "float32"  # of the networks; seeds and samples stay float32
    compile: bool = False  # the noise predictor by torch.compile, on a GPU as CUDA graphs
    solver: Literal["ddim", "second_order"] | None = None  # DDIM, or DPM-Solver++(2M); None = the model's own
    eta: Share = 0.0  # fresh noise in each step of ddim: 0 = none, 1 = ancestral sampling
    guidance: Share | None = None  # weight with which detected keypoints pull each predicted x0; None = the model's own

    @model_validator(mode="after")
    def _fits_together(self) -> "Sample":
        if self.eta and self.solver == "second_order":
            raise ValueError(f"eta = {self.eta} belongs to solver = 'ddim': leave one of them out")
        return self

    @property
    def at_own_spread(self) -> "Sample":
        """The same at temperature 1 for all hypotheses: the model's own spread."""
        return self.model_copy(update={"temperature": 1.0, "temperature_spread": 1.0})


class OverlaySection(Section):
    """How meshes are drawn over the photograph."""

    backend: Literal["auto", "numba", "pyrender", "gpu"] = "auto"
    size: Annotated[int, Field(ge=64, le=4096)] = 512  # side of an overlay, px
    opacity: Annotated[float, Field(ge=0, le=1)] = 0.6  # of the mesh; 0 = its contour alone
    contour: Annotated[float, Field(ge=0, le=16)] = 1.5  # width of the line around it, px of 512; 0 = none
    outline: Annotated[float, Field(ge=0, le=1)] = 0.55  # how dark the edge of a limb in front of the body is
    limbs: bool = True  # left limbs blue, right ones orange, so that a swap shows; false = one colour
    antialias: Annotated[int, Field(ge=1, le=4)] = 2  # samples of a pixel, each way
    ground: bool = True  # floor and contact shadow in views without the photograph
    encoding: Literal["webp", "png", "jpeg"] = "webp"  # of files that `hmr-align render` writes
    turntable: bool = False  # it also writes an animation of each group's first mesh, a GIF
    turntable_mp4: bool = False  # and as an MP4 beside it: pip install 'hmr-align[video]'
    groups_shown: Annotated[int, Field(ge=0, le=10_000)] = 12  # in the report


class ScoreNetSettings(Section):
    """The published network ScoreNet, as critic `scorenet`."""

    checkpoint: FullPath | None = None  # needed: an official ScoreNet file, or what `hmr-align convert` made of one
    device: Device = "auto"
    precision: Precision = "float32"


class PanelSettings(Section):
    """Several critics as one, as critic `panel`."""

    members: dict[str, Positive] = {}  # weight of each critic, by its name; each reads its own sub-table
    combine: Literal["z", "rank", "mean"] = "z"  # of scores in a group: standardised, by rank, or as they are


def _has_an_order(name: str) -> str:
    if name in ("shuffled", "noisy", "cascade"):
        raise ValueError(f"Input should be another critic than '{name}'")
    return name


class ShuffledSettings(Section):
    """The control, as critic `shuffled`: scores of another critic in a random order."""

    of: Annotated[str, AfterValidator(_has_an_order)] = "evidence"  # the critic of the run that it is a control for


class NoisySettings(Section):
    """Another critic with random errors, as critic `noisy`: for studies."""

    of: Annotated[str, AfterValidator(_has_an_order)] = "oracle"
    noise: Annotated[float, Field(ge=0, le=100)] = 1.0  # standard deviation of the error of a score's log odds
    seed: Seed = 0


class DistilledSettings(Section):
    """A small judge that learned from another critic, as critic `distilled`."""

    judge: FullPath | None = None  # needed: a file that `hmr-align distill` wrote


def _can_teach(name: str) -> str:
    if name in ("cascade", "shuffled"):
        raise ValueError(f"Input should be another critic than '{name}'")
    return name


class CascadeSettings(Section):
    """A small judge and a teacher that is asked where the judge is unsure, as critic `cascade`."""

    teacher: Annotated[str, AfterValidator(_can_teach)] = "vlm"  # a critic by its name, with its own sub-table
    budget: Count = 180  # groups that the teacher judges in the whole run
    judge: FullPath | None = None  # from which it learns on, of `hmr-align distill`; none = from nothing


class CriticSection(Section):
    """The critic. The sub-tables are read by the critic of that name."""

    name: str = "evidence"
    evidence: dict[str, Any] = {}
    scorer: dict[str, Any] = {}
    vlm: dict[str, Any] = {}
    scorenet: ScoreNetSettings = ScoreNetSettings()
    panel: PanelSettings = PanelSettings()
    shuffled: ShuffledSettings = ShuffledSettings()
    noisy: NoisySettings = NoisySettings()
    distilled: DistilledSettings = DistilledSettings()
    cascade: CascadeSettings = CascadeSettings()
    monitor: str | None = None  # a second critic that judges too and is never trained on

    @model_validator(mode="after")
    def _watched_by_another(self) -> "CriticSection":
        if self.monitor == self.name and self.monitor is not None:
            raise ValueError(f"monitor = '{self.monitor}' is the critic itself: name another one, or none")
        return self

    @property
    def judges(self) -> tuple[str, ...]:
        """The critics that judge: the members of a panel, the one that is shuffled or made noisy, the teacher of a
        cascade, or the one that is named.
        """
        if self.name == "shuffled":
            return self.named(self.shuffled.of).judges
        if self.name == "noisy":
            return self.named(self.noisy.of).judges
        if self.name == "cascade":
            return self.named(self.cascade.teacher).judges
        return tuple(self.panel.members) if self.name == "panel" else (self.name,)

    @property
    def needs_truth(self) -> bool:
        """Whether the critic reads ground truth."""
        return "oracle" in self.judges

    @property
    def asks_server(self) -> bool:
        """Whether pictures are sent to a remote model."""
        return "vlm" in self.judges

    def named(self, name: str) -> "CriticSection":
        """The section with another critic in its place, and without a monitor."""
        return self.model_copy(update={"name": name, "monitor": None})


class Align(Section):
    """The loop of sampling, judging and training."""

    rounds: Annotated[int, Field(ge=0, le=10_000)] = 3
    # of each round's groups, the last one for all later rounds; empty = [sample] temperature
    temperatures: Annotated[tuple[Temperature, ...], Strict(False)] = ()
    max_age: Annotated[int, Field(ge=0)] = 0  # rounds back whose groups are trained on too
    reference: Literal["last round", "base"] = "last round"  # which model is the reference
    later: dict[str, Any] = {}  # changes to [train] from the second round on


class Train(Section):
    """One round of fine-tuning; what is unset comes from the preset."""

    preset: Literal["studio", "keep_spread", "stable", "paper_eq6", "released_dgpo", "adhmr_dpo", "sft_best_of_g"] = (
        "keep_spread"
    )
    steps: Count | None = None
    groups_per_step: Count | None = None
    learning_rate: Positive | None = None
    evaluate_every: Count | None = None  # steps between two looks at `val`
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    warmup: Annotated[int, Field(ge=0)] | None = None  # steps
    grad_clip: Positive | None = None  # norm of the gradient
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate, after the warm-up
    overrides: dict[str, Any] = {}  # any other value of the preset, by its name
    guard: dict[str, Any] = {}  # thresholds of the stability guard, by name
    keep: Literal["best on val", "last"] = "best on val"  # which step's policy a round ends with
    second_critic: str | None = None  # compares groups of `val` with the start's, for the guard; training never sees it

    train_encoder: bool = False
    encoder_learning_rate: Positive | None = None  # none = 0.4 x learning_rate
    encoder_precision: Precision = "float32"  # of a trained encoder; the noise predictor is always float32
    checkpoint_activations: bool = False  # less memory, more time, for a trained HRNet
    lora_rank: Annotated[int, Field(ge=0, le=4096)] = 0  # 0 = all weights of the noise predictor; else adapters (peft)
    lora_alpha: Count = 16  # adapters are scaled by lora_alpha / lora_rank

    processes: Processes = 1  # one for each GPU; more than one on CPUs is for tests
    micro_groups: Count | None = None  # groups at once in a process; none = all of its part of a step
    micro_hypotheses: Count | None = None  # hypotheses of a group at once; for the linear objective alone
    halve_on_oom: bool = False  # out of GPU memory: take the step again with half of micro_groups
    shards_in_memory: Count = 16  # of the store
    unjudged: Literal["refuse", "skip"] = "refuse"  # shards that the critic has not judged
    off_policy: bool = False  # whether groups of another model than the one that is trained may be used
    save_every: Count = 100  # steps between two saved states; each look at `val` saves one too
    watch_every: Count = 10  # steps between two looks at the reference, where the objective does not need it
    wandb: str | None = None  # project on Weights & Biases; none = nothing is sent

    @model_validator(mode="after")
    def _fits_together(self) -> "Train":
        if self.encoder_learning_rate is not None and not self.train_encoder:
            raise ValueError("encoder_learning_rate has no effect: set train_encoder = true, or leave it out")
        if self.lora_alpha != 16 and not self.lora_rank:
            raise ValueError("lora_alpha has no effect: set lora_rank above 0, or leave it out")
        if self.steps is not None and self.warmup is not None and self.warmup > self.steps:
            raise ValueError(f"warmup = {self.warmup} is longer than steps = {self.steps}: the rate is never reached")
        return self


class Benchmark(Section):
    """How a model is measured: with the solver of [sample], at temperature 1."""

    hypotheses: Hypotheses = 20
    bootstrap: Annotated[int, Field(ge=0, le=1_000_000)] = 1000  # resamples over images for the intervals; 0 = none
    # fit = no ground truth; published = true camera and true root depth, as the published evaluations take them
    protocol: Literal["fit", "published"] = "fit"
    # which critic chooses hypotheses; none = the run's own, within its budget, but no vlm on the studio's people
    critic: str | None = None


class Studio(Section):
    """How many people each split of the embedded benchmark holds."""

    lab: Count = 5000  # for pretraining: plain light, clothes and background, easy poses
    broad: Count = 9000  # for pretraining: everything
    wild: Count = 600
    val: Count = 300
    test: Count = 400


class Instances(Section):
    """People of a dataset with true bodies, for the critic benchmark: a HumanData file and its photographs."""

    file: FullPath | None = None  # HumanData .npz with SMPL-X parameters; none = the embedded studio
    photos: FullPath | None = None  # the folder that the file's picture paths start from
    dataset: Literal["gta_human2", "dna_rendering"] | None = None  # for the rows' name; gta_human2 brings its camera
    stride: Count = 100  # one row in so many is taken, from the first on, as the published protocol does
    count: Count | None = None  # instead of a stride: so many rows at random
    seed: Seed = 0  # of the random rows
    gender: Literal["male", "female", "neutral"] | None = None  # only rows of this body model
    focal_px: Focal | None = None  # where the file gives no camera
    principal_point: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None  # px; none = the middle
    hypotheses: Hypotheses = 15  # in a group, as published
    # level of the noise added to the truth: 1 = as published; mixed = 1 to 16 within a group, as on the studio
    level: Annotated[float, Field(gt=0, le=100)] | Literal["mixed"] = 1.0

    @model_validator(mode="after")
    def _one_choice(self) -> "Instances":
        if self.count is not None and self.stride != 100:
            raise ValueError("count is instead of stride: leave one of them out")
        return self


class Recover(Section):
    """`hmr-align recover`: the people of photographs, without a run."""

    out: FullPath = Field(default_factory=lambda: Path("results"))  # results go to <out>/<name>
    name: Name | None = None  # none = after the first argument
    pick: Literal["zero", "medoid", "critic", "mean"] = "zero"  # which mesh of a group represents it
    hypotheses: Hypotheses = 20  # in a group
    temperature: Temperature = 1.0  # 1 = the model's own spread
    temperature_spread: Spread = 1.0  # each hypothesis: temperature / this to temperature * this; 1 = all alike
    formats: Annotated[tuple[Literal["npz", "obj", "glb"], ...], Strict(False)] = ("npz",)  # npz is always written
    vertices: bool = False  # also put vertices into the npz
    refine: bool = False  # fit the picked mesh to the detector's landmarks
    processes: Annotated[int, Field(ge=0, le=1024)] = 0  # photographs at once; 0 = as many as there are cores, up to 4


class Pretrain(Section):
    """Training of a base from scratch; unset values are those of the shipped bases."""

    steps: Count | None = None
    batch: Count | None = None
    learning_rate: Positive | None = None
    undrawn: Count | None = None  # bodies without pictures, whose detections are simulated
    drawn_share: Share | None = None  # of each batch: drawn people; the rest have simulated detections


class Reflect(ReflectionSettings):
    """How the memory of the `vlm` critic is added to, on labelled people of the studio."""

    memory: FullPath | None = None  # the store that is added to; unset: <out>/memory


class Rescore(Section):
    """`hmr-align rescore`: judging stored groups by another critic, or by a new version of one."""

    where: str = "*"  # pattern of "<generation>/<group id>", as in "round1/*" or "*/beach-*"
    order: Literal["newest", "uncertain"] = "newest"  # which groups first; uncertain: by the version compared with
    groups: Count | None = None  # at most so many; none = all
    budget: Positive | None = None  # money, by the estimate and as a limit of what is sent; none = no limit
    against: str | None = None  # critic to compare with, as "vlm-x@1f2e3d4c"; none = its version before
    worst: Annotated[int, Field(ge=0, le=100)] = 6  # groups that the report shows, with pictures
    controls: Annotated[int, Field(ge=0)] = 0  # labelled people with planted controls that the critic also judges
    retrain: bool = False  # also train round 1 on the new verdicts, and compare it with what the older ones gave
    warn_below: Annotated[float, Field(ge=-1, le=1)] = 0.5  # rank correlation below which the event "drift" is sent
    approve_above: Annotated[float, Field(ge=0)] | None = 0.0  # money above which somebody must agree; none = never
    approve_rules: bool = True  # somebody must agree before a rule of the memory is used for the first time
    approval_minutes: Positive = 60.0  # to wait for it
    unanswered: Literal["stop", "continue"] = "stop"  # what happens if nobody answers

    @field_validator("approve_above", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        """TOML has no null: "never" stands for it."""
        return None if value == "never" else value


class Deploy(Section):
    """`hmr-align deploy`: what a server starts by itself, and how much at a time."""

    # what starts a run: new photographs in the folder, a new version of the memory, a finished round of training
    triggers: Annotated[tuple[Literal["photographs", "memory", "round"], ...], Strict(False)] = ()
    vlm_slots: Count = 4  # shards that may ask the remote critic at a time, on all machines together
    gpus: Count | None = None  # runs at a time in the GPU pool; none = as many as there are workers


class Settings(Section):
    """All settings of one run."""

    run: Run = Field(default_factory=Run)  # where it writes depends on the environment at the time
    store: StoreSection = StoreSection()
    photographs: Photographs = Photographs()
    data: Data = Data()
    base: Base = Base()
    sample: Sample = Sample()
    overlay: OverlaySection = OverlaySection()
    critic: CriticSection = CriticSection()
    align: Align = Align()
    train: Train = Train()
    benchmark: Benchmark = Benchmark()
    studio: Studio = Studio()
    instances: Instances = Instances()
    recover: Recover = Field(default_factory=Recover)  # where it writes depends on the folder at the time
    pretrain: Pretrain = Pretrain()
    reflect: Reflect = Reflect()
    rescore: Rescore = Rescore()
    deploy: Deploy = Deploy()

    @model_validator(mode="after")
    def _one_source_of_people(self) -> "Settings":
        if self.photographs.folder is not None and self.data.train:
            raise ValueError("[photographs] folder and [data] train both name the people of a run: leave one out")
        return self


Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path | None = None, overrides: Values | None = None) -> Settings:
    """Settings from a TOML file (none = the defaults), overridden by the flags: section -> key -> value.

    A None in `overrides` is a flag that was not given. Relative paths are relative to the current folder. Raises
    SettingsError if the file cannot be read or a value is invalid.
    """
    table = _read_toml(path) if path else {}
    settings = validate(Settings, table, where=path.name if path else "settings")
    for section, keys in (overrides or {}).items():
        given = {key: value for key, value in keys.items() if value is not None}
        if given:
            table = {**table, section: {**table.get(section, {}), **given}}
    return validate(Settings, table, where="command line") if overrides else settings


def validate(model: type[Model], values: Mapping[str, Any], where: str, section: str = "") -> Model:
    """`values` as `model`; raises one SettingsError that names `where` and each invalid value.

    Sub-tables of critics are read by it too: `validate(VlmSettings, table, "smoke.toml", "critic.vlm")`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [f"{where}: {line}" for line in _faults(model, error, section)]
        raise SettingsError("\n".join(lines)) from None


_LEFT_OUT: Any = {
    "run": {"name", "out", "processes", "runner", "cluster"},
    "store": True,
    "instances": True,
    "recover": True,
    "rescore": True,
    "deploy": True,
}
"""Settings that cannot change a run's results: name, folder, where it runs and stores, and other commands' sections."""


def changed_since(kept: Mapping[str, Mapping[str, Any]], settings: Settings) -> Iterator[str]:
    """Each setting that can change a run and differs from the stored one, as text.

    A setting that an older version did not have counts as having been at its default.
    """
    defaults = Settings().model_dump(mode="json")
    for section, keys in settings.model_dump(mode="json", exclude=_LEFT_OUT).items():
        for key, value in keys.items():
            was = kept.get(section, {}).get(key, defaults[section][key])
            if was != value:
                yield f"{section}.{key} was {_value(was)}, is {_value(value)}"


def _value(value: Any) -> str:
    return "unset" if value is None else repr(value)


def settings_sha256(settings: Settings) -> str:
    """Digest of the settings that can change a run."""
    values = settings.model_dump(mode="json", exclude=_LEFT_OUT)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def kept_settings(folder: Path) -> dict[str, Any] | None:
    """The content of a run's `settings.json`, None if no run was started. Raises SettingsError if it is damaged."""
    path = folder / "settings.json"
    try:
        kept = json.loads(path.read_bytes())
        return {"made_with": {}, **kept, "settings": dict(kept["settings"])}  # older files lack it
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path}: damaged ({error}), so nobody can tell which settings filled this folder. Restore the file from a "
            "copy, or choose another --name"
        ) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name}: not TOML: {error}. Text stands in quotes, sections are [name].") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name}: not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Give --settings a file that can be read.") from None


def _faults(model: type[BaseModel], error: ValidationError, section: str) -> list[str]:
    """One readable line for each invalid key; a key that may have several types is named once."""
    by_key: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for fault in error.errors(include_url=False):
        by_key.setdefault(_key_path(model, fault["loc"]), []).append(dict(fault))
    return [_line(model, names, faults, section) for names, faults in by_key.items()]


def _line(model: type[BaseModel], names: tuple[str, ...], faults: list[dict[str, Any]], section: str) -> str:
    if not names:  # sections that do not fit together, or a table that was validated by itself
        said = str(faults[0]["msg"]).removeprefix("Value error, ")
        return f"[{section}] {said}" if section else said
    *tables, key = names
    table = ".".join([*([section] if section else []), *tables])
    unknown, value = faults[0]["type"] == "extra_forbidden", faults[0]["input"]
    known = list(_inner(model, tables).model_fields)
    if unknown and table:
        return f"[{table}] has no key '{key}'. " + _fix(key, known, quote="'{}'")
    if unknown and isinstance(value, dict):
        return f"there is no section [{key}]. {_fix(key, known, quote='[{}]')}"
    if unknown:
        homes = [f"[{name}]" for name in known if key in _inner(model, [name]).model_fields]
        return f"'{key}' stands outside of a section. It belongs under {' or '.join(homes or ['one'])}."
    if faults[0]["type"] == "value_error" and isinstance(value, dict):
        return f"[{'.'.join(names)}] {faults[0]['msg'].removeprefix('Value error, ')}"
    if not table:
        return f"'{key}' is a section: write [{key}] and its keys below."
    if faults[0]["type"] == "missing":
        return f"[{table}] needs the key '{key}'."
    return f"[{table}] {key} = {value!r}: should {_wanted(faults)}."


def _fix(key: str, known: list[str], quote: str) -> str:
    near = get_close_matches(key, known, n=1)
    return f"Did you mean {quote.format(near[0])}?" if near else f"Known: {', '.join(known)}."


def _key_path(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, ...]:
    """Sections and key of a fault, without the labels that pydantic adds for the branches of a union."""
    names: list[str] = []
    for part in loc:
        if isinstance(part, int):  # place in a list of tables
            continue
        names.append(str(part))
        inner = _table_of(model, names[-1])
        if inner is None:
            break
        model = inner
    return tuple(names)


def _inner(model: type[BaseModel], tables: list[str]) -> type[BaseModel]:
    for table in tables:
        model = _table_of(model, table) or model
    return model


def _table_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of a key that holds a table, or a list of tables; None for any other key."""
    field = model.model_fields.get(key)
    for kind in (field.annotation, *get_args(field.annotation)) if field else ():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _wanted(faults: list[dict[str, Any]]) -> str:
    """What would have been valid, in pydantic's words, joined if several types would be."""
    texts = ["be a path" if fault["type"] == "path_type" else fault["msg"] for fault in faults]
    return " or ".join(dict.fromkeys(text.split("should ", 1)[-1] for text in texts)).replace("or be ", "or ")


def differences(settings: Settings) -> Iterator[str]:
    """Each setting that is not at its default, as "section.key = value": for logs and the report."""
    plain, defaults = settings.model_dump(mode="json"), Settings().model_dump(mode="json")
    for section, keys in plain.items():
        for key, value in keys.items():
            if value != defaults[section][key]:
                yield f"{section}.{key} = {value!r}"

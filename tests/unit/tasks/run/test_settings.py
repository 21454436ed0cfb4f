from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from hmr.alignment.objectives import PRESETS
from hmr.body.body_file import BodyFileError
from tasks.run.plan import Plan
from tasks.run.settings import (
    Settings,
    SettingsError,
    Train,
    differences,
    load_settings,
    settings_sha256,
    validate,
)

SHIPPED = Path(__file__).parents[4] / "deploy" / "settings"


def message(tmp_path, text: str, **flags) -> str:
    file = tmp_path / "smoke.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, flags)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[train]\nstepz = 3", "smoke.toml: [train] has no key 'stepz'. Did you mean 'steps'?"),
        ("[trian]\nsteps = 3", "smoke.toml: there is no section [trian]. Did you mean [train]?"),
        (
            "[align]\nqqq = 3",
            "smoke.toml: [align] has no key 'qqq'. Known: rounds, temperatures, max_age, reference, later.",
        ),
        ("rounds = 3", "smoke.toml: 'rounds' stands outside of a section. It belongs under [align]."),
        ("train = 3", "smoke.toml: 'train' is a section: write [train] and its keys below."),
        ("[train]\nsteps = '9'", "smoke.toml: [train] steps = '9': should be a valid integer."),
        ("[overlay]\nsize = 1.5", "smoke.toml: [overlay] size = 1.5: should be a valid integer."),
        ("[train]\nkeep = 'no'", "smoke.toml: [train] keep = 'no': should be 'best on val' or 'last'."),
        (
            "[base]\ncheckpoint = 3",
            "smoke.toml: [base] checkpoint = 3: should be 'lab' or 'default' or a path.",
        ),
    ],
)
def test_a_fault_is_one_line_with_place_and_mend(tmp_path, text, line):
    assert message(tmp_path, text) == line


def test_every_fault_is_named_at_once(tmp_path):
    lines = message(tmp_path, "[train]\nsteps = 0\nstepz = 1").splitlines()
    assert len(lines) == 2 and all(line.startswith("smoke.toml: [train]") for line in lines)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"x =", "not TOML"), (b"\xff\xfe[run]", "not UTF-8"), (b"[run]\nseed=1\nseed=2", "not TOML")],
)
def test_a_file_that_is_no_toml(tmp_path, content, says):
    (tmp_path / "broken.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=f"^broken.toml: {says}"):
        load_settings(tmp_path / "broken.toml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"nothing\.toml: No such file.*--settings"):
        load_settings(tmp_path / "nothing.toml")


def test_flags_win_over_the_file_and_are_blamed_for_their_own_faults(tmp_path):
    (tmp_path / "a.toml").write_text("[align]\nrounds = 5\n[train]\nsteps = 7")
    flags = {"align": {"rounds": 2}, "train": {"steps": None}, "critic": {"name": None}}
    settings = load_settings(tmp_path / "a.toml", flags)
    assert (settings.align.rounds, settings.train.steps, settings.critic.name) == (2, 7, "evidence")
    assert message(tmp_path, "", align={"rounds": -1}).startswith("command line: [align] rounds = -1")


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HMR_ALIGN_RUNS", raising=False)
    settings = load_settings(None, {"photographs": {"folder": "people"}, "base": {"checkpoint": "mine.safetensors"}})
    assert settings.photographs.folder == tmp_path / "people"
    assert settings.base.checkpoint == tmp_path / "mine.safetensors"
    assert load_settings().run.folder == tmp_path / "runs" / "default"
    assert load_settings(None, {"base": {"checkpoint": "lab"}}).base.checkpoint == "lab"


def test_the_data_root_of_a_worker(monkeypatch, tmp_path):
    monkeypatch.setenv("HMR_ALIGN_RUNS", str(tmp_path))
    assert load_settings().run.out == tmp_path


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Settings().run.seed = 3  # type: ignore[misc]


def test_a_settings_object_survives_json():
    settings = load_settings(SHIPPED / "smoke.toml")
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_the_digest_follows_what_changes_results_only(tmp_path):
    plain = settings_sha256(Settings())
    same = load_settings(None, {"run": {"name": "other", "out": str(tmp_path), "processes": 2}})
    assert len(plain) == 64 and settings_sha256(same) == plain
    assert settings_sha256(load_settings(None, {"run": {"seed": 1}})) != plain


@given(rounds=st.integers(0, 50), temperature=st.floats(0.1, 10))
def test_differences_name_exactly_what_was_changed(rounds, temperature):
    settings = load_settings(None, {"align": {"rounds": rounds}, "sample": {"temperature": temperature}})
    expected = {f"align.rounds = {rounds}"} if rounds != 3 else set()
    expected |= {f"sample.temperature = {temperature}"} if temperature != Settings().sample.temperature else set()
    assert set(differences(settings)) == expected


def test_default_toml_states_every_default():
    assert load_settings(SHIPPED / "default.toml") == Settings()
    text = (SHIPPED / "default.toml").read_text()
    for section, keys in Settings().model_dump().items():
        body = text.split(f"\n[{section}]", 1)[1].split("\n[", 1)[0]
        missing = [key for key in keys if f"\n{key} = " not in body and f"\n# {key} = " not in body]
        assert not missing, f"default.toml lacks {missing} in [{section}]"


def test_every_preset_can_be_chosen():
    assert set(get_args(Train.model_fields["preset"].annotation)) == set(PRESETS)


def test_a_sub_table_is_read_by_its_own_model():
    class VlmLike(BaseModel, extra="forbid"):
        model: str

    assert validate(VlmLike, {"model": "m"}, "a.toml", "critic.vlm").model == "m"
    with pytest.raises(SettingsError, match=r"^a.toml: \[critic.vlm\] has no key 'modle'. Did you mean 'model'\?"):
        validate(VlmLike, {"model": "m", "modle": "m"}, "a.toml", "critic.vlm")
    with pytest.raises(SettingsError, match=r"^a.toml: \[critic.vlm\] needs the key 'model'\."):
        validate(VlmLike, {}, "a.toml", "critic.vlm")


@pytest.mark.parametrize("file", sorted(path.name for path in SHIPPED.glob("*.toml")))
def test_every_shipped_file_is_a_run_that_can_start(file):
    plan = Plan(load_settings(SHIPPED / file))
    if plan.settings.base.body:  # the user's own, which cannot be shipped
        with pytest.raises(BodyFileError, match=r"bodies/SMPL_NEUTRAL\.pkl: cannot be read"):
            plan.check()
    elif plan.settings.data.train:  # the user's own records, which lie elsewhere
        with pytest.raises(SettingsError, match="there is no such file of records; `hmr-align data import` writes one"):
            plan.check()
    else:
        plan.check()


def test_the_parts_are_the_study_on_fewer_people():
    study, parts = (load_settings(SHIPPED / name) for name in ("rounds.toml", "rounds_parts.toml"))
    apart = {"run": {"name"}, "studio": {"wild"}}
    assert study.model_dump(exclude=apart) == parts.model_dump(exclude=apart)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[sample]\ntemperature = inf", "[sample] temperature = inf"),
        ("[sample]\ntemperature = nan", "[sample] temperature = nan"),
        ("[sample]\nhypotheses = 1_000_000_000", "[sample] hypotheses"),
        ('[sample]\neta = 0.5\nsolver = "second_order"', "[sample] eta = 0.5 belongs to solver"),
        ("[photographs]\nfocal_px = 0.01", "[photographs] focal_px"),
        ("[photographs]\ncrop_margin = 1e9", "[photographs] crop_margin"),
        ('[critic]\nmonitor = "evidence"', "[critic] monitor = 'evidence' is the critic itself"),
        ("[train]\nencoder_learning_rate = 0.1", "[train] encoder_learning_rate has no effect"),
        ("[train]\nlora_alpha = 3", "[train] lora_alpha has no effect"),
        ("[train]\nsteps = 10\nwarmup = 20", "[train] warmup = 20 is longer"),
        ("[instances]\ncount = 5\nstride = 7", "[instances] count is instead of stride"),
        ("[run]\nprocesses = 1_000_000", "[run] processes"),
    ],
)
def test_a_value_that_could_not_do_what_it_says_is_refused(tmp_path, text, part):
    assert f"smoke.toml: {part}" in message(tmp_path, text)

"""What README and docs/ claim: their figures are those of the committed files, what they link to and name is there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "deploy" / "experiments"
README, RESULTS_PAGE = (ROOT / "README.md").read_text(), (ROOT / "docs" / "results.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def measured(name: str) -> dict[str, float]:
    """Metric to value, of a file that a measuring command wrote."""
    return {row["metric"]: row["value"] for row in results(name)}


def results(name: str) -> list[dict[str, Any]]:
    """The rows of such a file."""
    return json.loads((RESULTS / name).read_text())["results"]


SUMMARY: dict[str, Any] = json.loads((RESULTS / "align_summary.json").read_text())
DEFAULT, LAB = measured("base_default_test.json"), measured("base_lab_test.json")
OTHERS, SHIPPED = measured("photographs_others_default.json"), measured("photographs_default.json")
PICTURE = measured("picture_ablation.json")
COVERAGE, SPEED = measured("coverage_default.json"), measured("render.json")
OBJECTIVES = {row["metric"]: row for row in json.loads((RESULTS / "table2.json").read_text())["results"]}
MORE = {row["metric"]: row for row in json.loads((RESULTS / "table2_more.json").read_text())["results"]}
ROUNDS = {row["metric"]: row for row in json.loads((RESULTS / "rounds.json").read_text())["results"]}
OVER_DPO = MORE["table2.over_dpo"]
HEADROOM: list[dict[str, Any]] = json.loads((RESULTS / "headroom.json").read_text())
WEIGHTS: dict[str, Any] = json.loads((RESULTS / "evidence_weights.json").read_text())
BEFORE, AFTER = (SUMMARY["benchmark"][when] for when in ("before", "after"))
ON_PHOTOGRAPHS = SUMMARY["photographs"]


def interval(found: dict[str, float], sign: str = "") -> str:
    return f"{sign}{found['value']:.1f} % [{found['low']:.1f}, {found['high']:.1f}]"


def gain(estimate: str) -> str:
    """What alignment gains in an estimate's MPJPE, and its share of the headroom."""
    share = SUMMARY["share_of_headroom"][estimate]
    return f"{interval(SUMMARY['improvement_percent'][estimate]['mpjpe_mm'], '+')}; {100 * share:.0f} % of H"


def hundredths(value: float) -> str:
    return f"{value:.2f}".lstrip("0")


def benchmark(rows: dict[str, float], estimate: str, error: str = "mpjpe") -> str:
    return f"{rows[f'benchmark.{estimate}.{error}_mm']:.1f} mm"


def coverage(level: int) -> str:
    samplers = ("coverage_published", "coverage", "coverage_temperature_1.5", "coverage_mixed")
    drawn = [f"{COVERAGE[f'{name}.{level}']:.0f} %" for name in samplers]
    return f"| {level} % | {' | '.join(drawn)} |"


BOTH: dict[str, Callable[[], str]] = {
    "people": lambda: f"{DEFAULT['benchmark.extras.people']:.0f}",
    "lifting of the default base": lambda: benchmark(DEFAULT, "floor.lifting_everything"),
    "default base, zero-noise": lambda: benchmark(DEFAULT, "zero_noise"),
    "default base, best of 20": lambda: benchmark(DEFAULT, "best_of_g"),
    "lifting of the lab base": lambda: benchmark(LAB, "floor.lifting_places"),
    "lab base": lambda: f"| {benchmark(LAB, 'zero_noise')} | {benchmark(LAB, 'best_of_g')} |",
    "gain": lambda: f"| {gain('zero_noise')} | {gain('best_of_g')} |",
    "headroom": lambda: f"| H | {interval(HEADROOM[1]['zero_noise'])} | {interval(HEADROOM[1]['best_of_g'])} |",
    "PA": lambda: f"{BEFORE['zero_noise']['pa_mpjpe_mm']:.1f} to {AFTER['zero_noise']['pa_mpjpe_mm']:.1f} mm",
    "over DPO": lambda: (
        f"{OVER_DPO['value']:.1f} % [{OVER_DPO['low']:.1f}, {OVER_DPO['high']:.1f}] below that of DPO on five pairs"
    ),
    "photographs": lambda: f"{OTHERS['photographs.keypoints_px']:.1f} px of a 256 px crop",
    "people of photographs": lambda: f"{OTHERS['photographs.people']:.0f} people",
}
DETAILED: dict[str, Callable[[], str]] = {
    "over DPO, fewer people": lambda: f"best of 20 is {interval(OBJECTIVES['table2.over_dpo'])} below that of DPO",
    "over DPO in rounds": lambda: (
        f"ours is {interval(ROUNDS['rounds.over_dpo_zero'])} below DPO in zero-noise, "
        f"{interval(ROUNDS['rounds.over_dpo'])} in best of 20"
    ),
    "rounds": lambda: f"{interval(ROUNDS['rounds.zero_noise'])} in zero-noise and {interval(ROUNDS['rounds.best20'])}",
    "chosen": lambda: f"| {benchmark(DEFAULT, 'selected')} | {benchmark(DEFAULT, 'selected', 'pa_mpjpe')} |",
    "PA of lifting": lambda: benchmark(DEFAULT, "floor.lifting_everything", "pa_mpjpe"),
    "PA of zero-noise": lambda: benchmark(DEFAULT, "zero_noise", "pa_mpjpe"),
    "PA of best of 20": lambda: benchmark(DEFAULT, "best_of_g", "pa_mpjpe"),
    "within 8 px": lambda: f"{100 * OTHERS['photographs.within_8px']:.0f} % are within 8 px",
    "mask IoU": lambda: f"mask IoU is {hundredths(OTHERS['photographs.mask_iou'])} on whole people",
    "shipped photographs": lambda: (
        f"{SHIPPED['photographs.keypoints_px']:.1f} px and {100 * SHIPPED['photographs.within_8px']:.0f} %"
    ),
    "after": lambda: f"| {AFTER['zero_noise']['mpjpe_mm']:.1f} mm | {AFTER['best_of_g']['mpjpe_mm']:.1f} mm |",
    "labels": lambda: f"{HEADROOM[1]['wild']:,} `wild` people",
    "headroom of fewer people": lambda: (
        f"| H from {HEADROOM[0]['wild']:,} people | {HEADROOM[0]['zero_noise']['value']:.1f} % "
        f"| {HEADROOM[0]['best_of_g']['value']:.1f} % |"
    ),
    "2-D distance": lambda: "{:.1f} to {:.1f} px".format(
        *(ON_PHOTOGRAPHS[when]["keypoints_px"] for when in ("before", "after"))
    ),
    "mask IoU of all, before": lambda: f"({hundredths(ON_PHOTOGRAPHS['before']['mask_iou_all'])} for all)",
    "mask IoU of all, after": lambda: f"({hundredths(ON_PHOTOGRAPHS['after']['mask_iou_all'])} for all)",
    "SRCC on test": lambda: f"| {hundredths(SUMMARY['critic_quality']['srcc'])} | `align_summary.json` |",
    **{
        f"SRCC, {base}": lambda base=base: (
            f"| {hundredths(WEIGHTS['srcc']['evidence@4'][base])} | `evidence_weights.json` |"
        )
        for base in ("lab", "default", "perturbed")
    },
    **{
        f"picture ablation, {read}": lambda read=read: f"{PICTURE[f'picture.{read}.val_mpjpe_mm']:.1f} mm"
        for read in ("nothing", "mask", "picture", "gradients")
    },
    "labelled people": lambda: f"{WEIGHTS['people']} labelled `broad` people",
    **{f"coverage {level}": lambda level=level: coverage(level) for level in (50, 80, 95)},
    **{
        f"found in {where}": lambda where=where: "{:.0f} found, {:.0f} missed, {:.0f} false".format(
            *(measured(f"people_found_{where}.json")[f"people.{what}"] for what in ("found", "missed", "false"))
        )
        for where in ("coco", "free")
    },
}


@pytest.mark.parametrize("figure", BOTH)
def test_figures_of_readme_are_those_of_the_files(figure):
    assert BOTH[figure]() in " ".join(README.split())


@pytest.mark.parametrize("figure", BOTH | DETAILED)
def test_figures_of_the_results_page_are_those_of_the_files(figure):
    assert (BOTH | DETAILED)[figure]() in " ".join(RESULTS_PAGE.split())


@pytest.mark.parametrize("arm", ["sft_best", "dpo_5", "group_nft", "group", "group_oracle", "group.own"])
def test_the_table_of_objectives_is_that_of_the_file(arm):
    zero, best = (OBJECTIVES[f"table2.{arm}.{estimate}"] for estimate in ("zero_noise", "best20"))
    cells = [f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]" for row in (zero, best)]
    assert f"| {' | '.join(cells)} | {OBJECTIVES[f'table2.{arm}.best100']['value']:.1f} |" in RESULTS_PAGE


def test_curves_and_photographs_of_objectives_are_those_of_the_files():
    page = " ".join(RESULTS_PAGE.split())
    curves = measured("table2_more_curves.json")
    for arm in ("group", "dpo_5"):
        for what in ("zero_noise", "best20"):
            gained = [f"{curves[f'table2.verdicts.{arm}.{count}.{what}']:.1f}" for count in (449, 898, 1796, 3593)]
            assert f"{', '.join(gained[:-1])} and {gained[-1]} %" in page
    seen = {row["metric"]: row for row in json.loads((RESULTS / "table2_photographs.json").read_text())["results"]}
    assert f"the {seen['table2.photographs.people']['value']:.0f} people of the twelve shipped" in page
    for metric in ("witness_px", "witness_iou", "heavy_px"):
        for arm in ("group", "dpo_5"):
            row = seen[f"table2.photographs.{arm}.{metric}"]
            change = f"{row['better_percent']:.1f} % [{row['low']:.1f}, {row['high']:.1f}]".replace("-0.0 %", "0.0 %")
            assert change in page, (metric, arm)


@pytest.mark.parametrize("arm", ["dpo_5", "dpo_all", "group"])
def test_the_table_of_more_people_is_that_of_the_file(arm):
    zero, best = (MORE[f"table2.{arm}.{estimate}"] for estimate in ("zero_noise", "best20"))
    cells = [f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]" for row in (zero, best)]
    assert f"| {' | '.join(cells)} | {MORE[f'table2.{arm}.best100']['value']:.1f} |" in RESULTS_PAGE


def test_speed_of_overlays_is_that_of_the_file():
    rows = json.loads((RESULTS / "render.json").read_text())["results"]
    ratio = {row["metric"].removeprefix("render."): row["ratio"] for row in rows}
    said = f"{ratio['raw']:.0f} times (raw, 512 px) naive code, {ratio['antialiased']:.0f} anti-aliased"
    page = (ROOT / "docs" / "verified.md").read_text()
    assert said in page and f"{ratio['path']:.0f} times. Two threads {ratio['threads']:.2f} times one" in page
    assert f"{ratio['reused']:.0f} times a kept renderer" in page


def test_the_page_on_speed_is_that_of_the_files():
    page = " ".join((ROOT / "docs" / "speed.md").read_text().split())
    growth, train = measured("growth.json"), measured("train_speed.json")
    for count in (50, 100, 200, 400):
        assert f"| {count} | {growth[f'growth.photographs_{count}']:.1f} |" in page
    assert f"grows with the exponent {growth['growth.photographs_exponent']:.2f}" in page
    assert f"| the policy, forward and backward | {train['train.share_policy']:.0f} % |" in page
    pipeline, people = measured("pipeline.json"), measured("people_speed.json")
    going, free = (pipeline[f"pipeline.going_{kind}photos_per_second"] for kind in ("", "free_"))
    assert f"runs at {going:.1f} pictures a second on two cores (`pipeline.json`)" in page
    assert f"{people['people.processes']:.1f} photographs a second (`people_speed.json`)" in page
    (ratio,) = (row["ratio"] for row in results("people_speed.json") if row["metric"] == "people.quick_ms")
    assert (
        f"{people['people.quick_ms']:.0f} ms in place of {ratio * people['people.quick_ms']:.0f} (`people_speed.json`)"
        in page
    )
    assert f"Two processes are {pipeline['pipeline.scaling_going']:.2f} times as fast as one" in page
    assert f"{measured('bench.json')['all.parts_seconds'] / 60:.1f} minutes on two quiet cores" in page
    client = [row["ratio"] for row in results("critic_client.json") if row["ratio"]]
    assert f"keeps up with {min(client):.2f} to {max(client):.2f} of it" in page
    scale = (ROOT / "docs" / "scale.md").read_text()
    assert f"| {free:.1f} photographs of 2.4 people a second on two cores" in scale
    assert f"| {going:.1f} a second on two cores (`pipeline.json`, drawn pictures)" in scale


def test_links_of_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links and not [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_files_that_pages_name_are_there():
    """Paths in backticks that start in one of our folders; modules may move, and pages then move with them."""
    ours = r"`((?:flows|tasks|hmr|critique|storage|tests|deploy|docs)/[\w./-]+)`"
    named = {(page, path) for page in PAGES for path in re.findall(ours, page.read_text())}
    assert named and not [f"{page.name}: {path}" for page, path in named if not (ROOT / path).exists()]


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "index.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_figures_of_operating_are_those_of_the_files():
    soak, scale = measured("soak.json"), measured("scale.json")
    pages = {name: (ROOT / "docs" / name).read_text() for name in ("verified.md", "scale.md")}
    said = f"{soak['soak.kills']:.0f} times with two workers, in every stage: 0 of {soak['soak.groups']:.0f} groups"
    assert (
        said in pages["verified.md"] and f"for each kill ({soak['soak.steps_begun_again']:.0f})" in pages["verified.md"]
    )
    assert not any(soak[f"soak.{kind}"] for kind in ("lost_groups", "doubled_groups", "wrong_groups", "other_models"))
    assert soak["soak.steps_begun_again"] <= soak["soak.kills"]
    opened, listed = scale["scale.open_s"], scale["scale.list_done_s"]
    whole, unsure, named = (scale[f"scale.{kind}_s"] for kind in ("plan", "plan_uncertain", "plan_by_name"))
    for page, words in (
        ("scale.md", f"{opened:.2f} and {listed:.2f} seconds of a processor (`scale.json`)"),
        ("scale.md", f"{whole:.1f} seconds of a processor; the least sure groups first {unsure:.1f} (`scale.json`)"),
        ("scale.md", f"{named:.0f} seconds of a processor (`scale.json`)"),
        ("verified.md", f"opened in {opened:.2f} s, listed in {listed:.2f} s"),
        (
            "verified.md",
            f"planned in {whole:.1f} s, by uncertainty in {unsure:.1f} s; by a pattern of names in {named:.0f}",
        ),
    ):
        assert words in pages[page]

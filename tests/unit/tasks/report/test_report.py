import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.report.photograph_agreement import Agreement
from tasks.report.report import (
    PhotographPerson,
    RoundRecord,
    ShownBody,
    ShownGroup,
    ShownHypothesis,
    ShownPerson,
    Told,
    benchmark_rows,
    summary_table_markdown,
    write_report,
)
from tasks.report.report_tables import (
    duration,
    headline,
    kind_of_change,
    leakage_text,
    number,
    percent,
    photograph_rows,
    photographs_text,
    uncertainty_text,
    unsure_joints,
)
from tasks.report.thumbnails import STRIPS, Box, Thumbnails, photograph_box

ATTACK = "<script>alert('arm')</script> & <img src=http://evil.example/x>"


class Page(HTMLParser):
    """Tags with their attributes, and the text a reader sees."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pictures(tmp_path):
    """A photograph in the upper left quarter of a black frame, and a mesh from the side."""
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[:64, :64] = np.random.default_rng(0).integers(90, 255, (64, 64, 3))
    paths = tmp_path / "photograph.jpg", tmp_path / "side.jpg"
    Image.fromarray(frame).save(paths[0])
    Image.new("RGB", (64, 64), "lightblue").save(paths[1])
    return paths


@pytest.fixture
def person(pictures):
    """Three hypotheses: scored 81.25, abstained, scored 40 from zero noise."""
    photograph, side = pictures

    def one(score, rank, advantage, **given):
        status = "abstained" if rank is None else "ok"
        known = {"status": status, "comment": f"comment of {rank}", "zero_start": False}
        return ShownHypothesis(photograph, side, score, rank=rank, advantage=advantage, **{**known, **given})

    group = ShownGroup(photograph, (one(81.25, 1, 1.0), one(nan, None, 0.0), one(40.0, 2, -1.0, zero_start=True)))
    return ShownPerson("street-0a1b2c3d-p0", "street.jpg", group, group)


@pytest.fixture
def summary():
    errors = {
        "zero_noise": (166.13, 98.21, 190.42),
        "mean": (163.74, 97.13, 188.35),
        "medoid": (165.02, 97.84, 189.71),
        "selected": (160.26, 95.57, 184.08),
        "fused": (159.48, 95.02, 183.66),
        "best_of_g": (112.49, 71.31, 141.92),
    }
    names = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")

    def table(factor):
        return {e: {m: v * factor for m, v in zip(names, row)} for e, row in errors.items()}

    def change(value):
        return {"value": value, "low": value - 1.04, "high": value + 1.07}

    return {
        "run": "default",
        "settings_sha256": "0f" * 32,
        "differences": ["align.rounds = 2"],
        "images": 1280,
        "people": 1197,
        "groups": 2394,
        "hypotheses": 47880,
        "critic": "evidence@4",
        "verdicts": {"scored": 47000, "abstained": 880},
        "stages": {"find people": {"seconds": 64.2, "items": 1280}, "draw": {"seconds": 0.0, "items": 0}},
        "split": "test",
        "benchmark": {"before": table(1.0), "after": table(0.94)},
        "improvement_percent": {
            e: {m: change(5.83 + k) for m in names} for k, e in enumerate(errors)
        },
        "critic_quality": {"srcc": 0.5123, "krcc": 0.3774, "plcc": nan, "critic": "evidence@4", "groups": 489},
        "benchmark_extras": {
            when: {"keypoint_px": 7.31, "diversity_mm": 58.2, "spread_mm": 22.4, "people": 489,
                   "detected_percent": 95.5}
            for when in ("before", "after")
        },
        "protocol": "fit",
        "uncertainty": {
            when: {
                "joint_spread_mm": {
                    "neck": 17.1, "left_wrist": 44.9, "right_wrist": 40.2, "left_hand": 51.3, "right_foot": 45.4,
                    "left_middle_finger": 57.6, "head": 19.4,
                },
                "error_srcc": 0.511, "error_srcc_within_joint": nan,
            }
            for when in ("before", "after")
        },
        "photographs": {
            "photographs": 12,
            "moved_px": 6.2,
            "before": {"people": 28, "whole_people": 9, "keypoints_px": 21.83, "within_8px": 0.104,
                       "read_px": 17.93, "mask_iou": 0.542, "mask_iou_all": 0.521},
            "after": {"people": 28, "whole_people": 9, "keypoints_px": 9.44, "within_8px": 0.429,
                      "read_px": 8.12, "mask_iou": None, "mask_iou_all": 0.634},
        },
        "lifting": {"mean_pose": 231.4, "lifting_landmarks": 188.8, "lifting_world": 173.2},
        "headroom": {"zero_noise": change(11.6), "best_of_g": change(16.2)},
        "share_of_headroom": {"zero_noise": 0.503, "best_of_g": 0.42},
        "body": "light",
        "base": "lab",
        "checkpoint": "training/round2/policy.safetensors",
    }  # fmt: skip


@pytest.fixture
def standing(pictures):
    """Somebody on whom the body came nearer; the critic abstained on it afterwards."""
    photograph, overlay = pictures
    before = ShownBody(photograph, overlay, 43.21, "ok", Agreement(17.3, 24.56, 0.514, True))
    after = ShownBody(photograph, overlay, nan, "rate_limited", Agreement(8.1, nan, 0.733, True))
    return PhotographPerson("street-0a1b2c3d-p0", "street.jpg", 11.27, before, after)


@pytest.fixture
def rounds(tmp_path):
    records = []
    for k in (1, 2):
        steps = np.arange(1.0, 31)
        curves = {"step": steps, "loss": 1 / steps, "gradient_norm": steps, "S/joints": -steps, "S/twists": steps}
        curves |= {"winner_change/joints": -steps, "loser_change/joints": steps, "loss/kappa": steps}
        seen = {"step": [0, 15, 30], "zero_noise_mm": [166.0, 160, 161], "best_of_g_mm": [112.0, 110, 111]}
        files = tmp_path / f"curves{k}.parquet", tmp_path / f"evaluations{k}.parquet"
        pd.DataFrame(curves).to_parquet(files[0])
        pd.DataFrame(seen | {"diversity_mm": [60.0, 58, 57]}).to_parquet(files[1])
        records.append(RoundRecord(k, *files, best_step=15 * (2 - k), reason=f"stopped in round {k}"))
    return records


def test_a_cascade_says_what_it_saved(tmp_path, summary, person, rounds):
    told = summary | {"saving": "vlm@1 judged 60 of 600 groups, the small judge the other 540."}
    assert told["saving"] in summary_table_markdown(told)
    assert told["saving"] in write_report(tmp_path / "run", told, [person], rounds, []).read_text()


def test_the_pages_need_the_folder_beside_them_and_no_network(tmp_path, summary, person, rounds):
    path = write_report(tmp_path / "run", summary, [person], rounds, [("cat.png", "nobody was found in it")])
    assert path == tmp_path / "run" / "report.html"
    assert sorted(file.name for file in path.parent.iterdir()) == ["report", "report.html"]
    pages = [path, path.parent / "report" / "street-0a1b2c3d-p0.html"]
    assert sorted(path.parent.glob("report/*.html")) == pages[1:]
    shown = set()
    for each in pages:
        for tag, attributes in Page(each).tags:
            assert tag not in ("script", "link", "iframe", "object", "base")
            for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                target = (attributes.get(name) or "#").partition("#")[0]
                assert not re.match(r"[a-z]+:|/", target) and (each.parent / target).exists(), (tag, name, target)
                seen = (tag == "img" and name == "src") or ("download" in attributes and name == "href")
                shown |= {(each.parent / target).resolve()} if seen else set()
            assert tag != "img" or attributes["loading"] == "lazy"
        assert "url(http" not in each.read_text() and "@import" not in each.read_text()
    assert shown == {file.resolve() for file in path.parent.glob("report/pictures/*")}
    assert sum(tag == "svg" for tag, _ in Page(path).tags) == 2  # intervals and learning curves


def test_the_first_page_does_not_grow_with_the_people(tmp_path, summary, person):
    def pages(count):
        shown = [replace(person, group_id=f"street-{k:08x}-p0") for k in range(count)]
        return write_report(tmp_path, summary, shown, [], [])

    few = pages(12).stat().st_size
    many = pages(40)
    assert many.stat().st_size < few + 1000  # a line of links more
    further = [f"people-{number}.html" for number in (2, 3, 4)]
    assert [path.name for path in sorted(tmp_path.glob("report/people-*.html"))] == further
    listed = [Page(path).text.count("mean score") for path in (many, *sorted(tmp_path.glob("report/people-*.html")))]
    assert listed == [12, 12, 12, 4] and {a.get("href") for _, a in Page(many).tags} >= {f"report/{f}" for f in further}
    pages(1)  # what is no longer shown goes
    assert [path.name for path in tmp_path.glob("report/*.html")] == ["street-00000000-p0.html"]


def test_a_thumbnail_is_made_once_and_again_if_its_picture_changed(tmp_path, pictures):
    thumbnails = Thumbnails(tmp_path)
    name = thumbnails.of(pictures[0], 32, box=Box(0, 0, 0.5))
    with Image.open(thumbnails.folder / name) as made:
        assert made.size == (32, 32) and min(made.convert("L").getextrema()) > 24  # the black is cut off
    written = (thumbnails.folder / name).stat().st_mtime_ns
    assert Thumbnails(tmp_path).of(pictures[0], 32, box=Box(0, 0, 0.5)) == name
    assert (thumbnails.folder / name).stat().st_mtime_ns == written
    Image.new("RGB", (90, 90), "red").save(pictures[0])
    other = Thumbnails(tmp_path)
    assert other.of(pictures[0], 32, box=Box(0, 0, 0.5)) != name
    other.sweep()
    assert len(list(other.folder.iterdir())) == 1


def test_before_and_after_are_one_picture_to_send(tmp_path, summary, person):
    path = write_report(tmp_path / "run", summary, [person], [], [])
    listed = json.loads((path.parent / "report" / STRIPS).read_text())
    assert [one["label"] for one in listed] == ["zero noise", "the critic’s first"]
    names = [a["download"] for tag, a in Page(path).tags if tag == "a" and "download" in a]
    assert names == [f"street-0a1b2c3d-p0_{what}.jpg" for what in ("zero_noise", "the_critic’s_first")]
    with Image.open(path.parent / "report" / "pictures" / listed[0]["file"]) as made:
        shown = np.asarray(made.convert("RGB")).astype(int)
    assert shown.shape[1] > 4.5 * shown.shape[0]  # photograph, front and side before, front and side after
    blue = np.abs(shown - (173, 216, 230)).max(-1) < 12  # the side view of `pictures`: the third and the fifth
    fifths = [bool(part[part.shape[0] // 3 :].mean() > 0.7) for part in np.array_split(blue, 5, axis=1)]
    assert fifths == [False, False, True, False, True]
    alone = write_report(tmp_path / "alone", summary, [replace(person, after=None)], [], [])
    assert json.loads((alone.parent / "report" / STRIPS).read_text()) == []


def test_what_a_vision_language_critic_was_sent_and_said_stands_escaped_on_the_persons_page(tmp_path, summary, person):
    told = Told(("When a foot floats, take 10 points off.\n<picture 1>",), (ATTACK,))
    shown = replace(person, before=replace(person.before, told=told))
    write_report(tmp_path, summary, [shown], [], [])
    page = Page(tmp_path / "report" / f"{person.group_id}.html")
    assert "<picture 1>" in page.text and ATTACK in page.text and "script" not in {tag for tag, _ in page.tags}


def test_the_page_opens_with_photographs_before_and_after(tmp_path, summary, person, standing):
    page = Page(write_report(tmp_path, summary, [person], [], [], [standing] * 11))
    assert [a["id"] for tag, a in page.tags if tag == "section"][:3] == ["photographs", "group", "people"]
    text = re.sub(r"\s+", " ", page.text)
    assert "street.jpg whole body in the picture moved by 11.3 px" in text
    assert "before 2-D distance 24.6 px mask IoU 0.51 score 43.2" in text
    assert "after 2-D distance n/a px mask IoU 0.73 score rate limited" in text
    assert "Evidence, not accuracy." in text and "which the base did not read" in text
    assert sum(a.get("class") == "body" for _, a in page.tags) == 11
    assert sum(a.get("class") == "smaller" for _, a in page.tags) == 1  # the last three
    assert "the median 2-D distance was 21.8 px before and is 9.4 px after, the median mask IoU 0.52 and 0.63" in text
    assert text.count("the body before alignment") == 0  # only for those who cannot see it


def test_a_run_without_photographs_says_nothing_of_them(tmp_path, summary, person):
    del summary["photographs"]
    page = Page(write_report(tmp_path, summary, [person], [], []))
    assert "medians over" not in page.text and next(a for tag, a in page.tags if tag == "section")["id"] == "group"
    assert photograph_rows(summary) == [] and photographs_text(summary) == ""
    assert "accuracy" not in summary_table_markdown(summary)


def test_rows_of_the_photographs(summary):
    assert [row[1:] for row in photograph_rows(summary)] == [
        ("21.8", "9.4"), ("10", "43"), ("17.9", "8.1"), ("0.54", "n/a"), ("0.52", "0.63"),
    ]  # fmt: skip
    assert "28 people in 12 photographs" in summary_table_markdown(summary)


def test_what_comes_from_outside_is_escaped(tmp_path, summary, person, standing):
    attacked = replace(person.before.hypotheses[0], comment=ATTACK)
    group = replace(person.before, hypotheses=(attacked, *person.before.hypotheses[1:]))
    shown = [replace(person, photo='"><script>x', before=group)]
    summary["differences"] = [f"critic.name = '{ATTACK}'"]
    plain = Page(write_report(tmp_path, summary, [person], [], [("a", "b")], [standing]))
    named = [replace(standing, photo=ATTACK)]
    page = Page(write_report(tmp_path, summary, shown, [], [(ATTACK, ATTACK)], named))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.text.count(ATTACK) >= 4 and any(a.get("title") == ATTACK for _, a in page.tags)


def test_every_number_of_the_table_stands_in_the_page_and_in_the_markdown(tmp_path, summary):
    text = Page(write_report(tmp_path, summary, [], [], [])).text
    markdown = summary_table_markdown(summary)
    rows = benchmark_rows(summary)
    found = {n for row in rows for cell in row.values() for n in re.findall(r"[+−]?\d+(?:\.\d+)?", cell)}
    assert {"166.1", "156.2", "+5.8", "+4.8", "+6.9", "231.4", "+11.6", "50"} <= found
    assert not [n for n in found if n not in text or n not in markdown]


def test_rows_of_the_table(summary):
    rows = benchmark_rows(summary)
    assert rows[0] == {
        "estimate": "zero noise", "metric": "MPJPE", "before (mm)": "166.1", "after (mm)": "156.2",
        "improvement": "+5.8 % [+4.8, +6.9]",
    }  # fmt: skip
    assert len(rows) == 6 * 3 + 3 + 2 * 2
    assert [row["estimate"] for row in rows[6:18:3]] == [
        "medoid of the group", "chosen by evidence@4", "mean of the first five of evidence@4",
        "best of the group (oracle)",
    ]  # fmt: skip
    assert rows[22]["improvement"] == "50 %"
    assert all(isinstance(cell, str) for row in rows for cell in row.values())


def test_the_critic_that_chose_is_named_where_the_runs_own_could_not(tmp_path, summary):
    details = {**summary, "critic": "vlm@1234abcd"}
    assert benchmark_rows(details)[9]["estimate"] == "chosen by evidence@4"
    assert "chosen by evidence@4" in summary_table_markdown(details)
    page = Page(write_report(tmp_path, details, [], [], [])).text
    assert "(not the run’s own, vlm@1234abcd: only evidence, scorer and scorenet choose here)" in page
    assert "not the run’s own" not in Page(write_report(tmp_path, summary, [], [], [])).text


def test_an_abstention_is_no_score_of_zero(tmp_path, summary, person):
    page = Page(write_report(tmp_path, summary, [person], [], []))
    cards = re.findall(r"(?:#\d|unranked)\s+(\S+)", page.text)
    assert "abstained" in cards and "81.2" in cards and not {"0.0", "nan", "n/a"} & set(cards)
    assert "mean score 60.6 before, 60.6 after" in page.text  # of 81.25 and 40 alone


def test_a_group_that_nobody_scored(tmp_path, summary, person):
    silent = tuple(
        replace(one, score=nan, status="rate_limited", rank=None, comment="") for one in person.before.hypotheses
    )
    group = replace(person.before, hypotheses=silent)
    page = Page(write_report(tmp_path, summary, [replace(person, before=group, after=None)], [], []))
    assert "rate limited" in page.text and "the critic scored none" in page.text
    assert "mean score n/a" in page.text and "All 3 hypotheses before, 3 after" not in page.text


def test_a_run_that_did_nothing(tmp_path, summary):
    bare = {**summary, "headroom": None, "share_of_headroom": None, "lifting": {}, "stages": {}, "differences": []}
    bare |= {"verdicts": {"scored": 0, "abstained": 0}, "benchmark": {}, "improvement_percent": {}, "uncertainty": {}}
    page = Page(write_report(tmp_path, bare, [], [], []))
    for words in ("was not compared", "No group was drawn", "There was no round", "No stage was timed", "the defaults"):
        assert words in page.text
    assert not any(tag == "svg" for tag, _ in page.tags)
    assert len(benchmark_rows(bare)) == 18


def test_a_round_without_files_or_steps(tmp_path, summary, rounds):
    empty = tmp_path / "empty.parquet"
    pd.DataFrame().to_parquet(empty)
    stopped = replace(rounds[0], curves=empty, evaluations=tmp_path / "none.parquet")
    page = Page(write_report(tmp_path, summary, [], [stopped], []))
    assert "stopped in round 1" in page.text and "No curves were kept" in page.text
    page = Page(write_report(tmp_path, summary, [], [stopped, rounds[1]], []))
    assert "its model was kept" in page.text and "No curves were kept" not in page.text


def test_the_least_sure_joints_and_what_spread_is_worth(tmp_path, summary):
    assert unsure_joints(summary, 3) == [
        ("left middle finger", "57.6", "57.6"), ("left hand", "51.3", "51.3"), ("right foot", "45.4", "45.4"),
    ]  # fmt: skip
    assert uncertainty_text(summary)[0] == ("all joints", "0.51", "0.51")
    assert uncertainty_text(summary)[1][1] == "n/a"
    page = Page(write_report(tmp_path, summary, [], [], []))
    assert "left wrist" in page.text and "neck" not in page.text and "0.51" in page.text


@pytest.mark.parametrize(
    ("protocol", "says"), [("fit", "without ground truth"), ("published", "true camera and the true root depth")]
)
def test_the_protocol_is_named(tmp_path, summary, protocol, says):
    summary["protocol"] = protocol
    page = Page(write_report(tmp_path, summary, [], [], []))
    assert says in page.text and says in summary_table_markdown(summary)


def test_rounds_follow_one_another_on_one_axis(tmp_path, summary, rounds):
    text = write_report(tmp_path, summary, [], rounds, []).read_text()
    assert "training step, rounds one after another" in text
    assert "loss/twists" not in text  # nothing is invented for a curve that was not kept


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        ({"value": 5.8, "low": 4.9, "high": 6.7}, "better", "fell by 5.8 % [4.9, 6.7], from 166.1 to 156.2 mm."),
        ({"value": -1.2, "low": -2.0, "high": -0.4}, "worse", "rose by 1.2 % [0.4, 2.0], from"),
        ({"value": 0.3, "low": -0.5, "high": 1.1}, "unsure", "fell by 0.3 % [−0.5, 1.1], from"),
        ({"value": -0.3, "low": -1.1, "high": 0.5}, "unsure", "rose by 0.3 % [−0.5, 1.1], from"),
        ({"value": 5.8}, "unsure", "no interval was computed"),
        ({"value": 0.0, "low": 0.0, "high": 0.0}, "same", "is what it was, 166.1 mm"),
        ({"value": nan}, "unknown", "was not compared"),
    ],
)  # fmt: skip
def test_the_verdict_is_honest(summary, found, kind, words):
    summary["improvement_percent"]["zero_noise"]["mpjpe_mm"] = found
    details = headline(summary)
    assert details.kind == kind and words in details.sentence
    assert ("chance" in details.sentence) == (kind == "unsure")


@given(value=st.floats(-50, 50), below=st.floats(0, 20), above=st.floats(0, 20))
def test_a_change_is_sure_only_if_its_interval_leaves_zero_out(value, below, above):
    found = {"value": value, "low": value - below, "high": value + above}
    sure = found["low"] > 0 or found["high"] < 0
    assert (kind_of_change(found) in ("better", "worse")) == sure
    assert percent(found).count("[") == 1


@given(value=st.floats(-1e6, 1e6), digits=st.integers(0, 3))
def test_a_number_reads_back_as_it_was_rounded(value, digits):
    text = number(value, digits, signed=True)
    assert float(text.replace("−", "-").replace(",", "")) == round(value, digits)
    assert not re.fullmatch(r"[+−]0(\.0+)?", text) and "-" not in text


def test_durations_as_people_say_them():
    assert [duration(s) for s in (4.44, 64.2, 119.9, 7300)] == ["4.4 s", "1 min 4 s", "2 min 0 s", "2 h 1 min"]


def test_pictures_are_cut_to_the_photograph(pictures):
    left, top, side = photograph_box(pictures[0])
    assert (left, top) == (0, 0) and side == pytest.approx(0.5, abs=0.02)


def test_a_frame_that_is_wholly_black_stays_whole(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "night.jpg")
    assert photograph_box(tmp_path / "night.jpg") == (0, 0, 1)


def test_what_the_monitor_saw(tmp_path, summary):
    def row(gen, correlation, favourite):
        pair = {"critic": "evidence@4", "monitor": "physics@2"}
        return {"gen": gen, **pair, "groups": 1197.0, "rank_correlation": correlation, "favourite": favourite}

    rows = [row("round0", 0.512, 0.743), row("round1", 0.394, 0.661), row("round2", nan, nan)]
    text = Page(write_report(tmp_path, summary | {"monitor": rows[:2]}, [], [], [])).text
    assert "physics@2 watched, on which nothing was trained" in text
    assert re.search(r"round0\s*1,197\s*0.51\s*74\s+round1\s*1,197\s*0.39\s*66", text)
    assert "They have drifted apart: it was 0.51 on round0; the model may be learning the critic's faults." in text
    assert "drifted" not in Page(write_report(tmp_path, summary | {"monitor": rows[:1]}, [], [], [])).text
    assert "n/a" in Page(write_report(tmp_path, summary | {"monitor": rows[2:]}, [], [], [])).text
    for without in (summary, summary | {"monitor": []}):
        assert "watched" not in Page(write_report(tmp_path, without, [], [], [])).text


def test_the_report_says_what_the_rewards_knew(summary):
    """Without an audit that is said; with one its verdict is shown; an oracle is named as such."""
    first, second = leakage_text(summary)
    assert "evidence@4, which sees no ground truth" in first and "was not audited" in second
    told = leakage_text({**summary, "critic": "oracle@1", "audit": "LEAK: a and b share 3 subjects."})
    assert "THE GROUND TRUTH" in told[0] and told[1].endswith("LEAK: a and b share 3 subjects.")

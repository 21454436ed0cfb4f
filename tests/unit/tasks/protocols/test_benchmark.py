"""The whole benchmark by protocol as a user calls it: table, line, plots, page."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli.command_line import app
from tasks.protocols.benchmark import benchmark
from tasks.protocols.evaluation import evaluate
from tasks.protocols.page import write_page
from tasks.protocols.people import answers, choose, match
from tasks.protocols.protocol import load_protocol
from tasks.protocols.results import collect, correlations
from tasks.protocols.table import Row, Table, latex, markdown, score_rows
from tasks.run.settings import SettingsError
from tests.unit.tasks.protocols.conftest import write_predictions


@pytest.fixture(scope="module")
def done(prepared, truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    turns = np.random.default_rng(0).normal(0, 0.2, (4, 3))
    predictions = write_predictions(
        folder / "predicted", truth, turns, rows=[0, 2, 3, 4, 6, 7, 8], scores=np.arange(4.0)
    )
    arguments = {
        "--protocol": "3dpw-standard", "--data": prepared.records, "--predictions": predictions,
        "--bodies": prepared.bodies, "--regressor": prepared.regressor, "--against": "published", "--out": folder,
        "--label": "A & B", "--json": folder / "n.json",
    }  # fmt: skip
    result = CliRunner().invoke(app, ["benchmark", *(str(part) for pair in arguments.items() for part in pair)])
    assert result.exit_code == 0, result.output
    return folder, " ".join(result.output.split())


def test_the_terminal_says_by_which_rules(done):
    _, said = done
    assert "n = 7, NOT the protocol's 35,515" in said and "stride 1 in rows" in said and "M = 4" in said
    assert "2 of the protocol's 9 people in this file have NO prediction" in said
    assert "96.9" in said and "re-run: somebody else's run of released code" in said


def test_every_number_has_the_line(done):
    folder, _ = done
    table = pd.read_parquet(folder / "protocol-3dpw-standard" / "table.parquet")
    assert table["line"].str.contains("NOT the protocol's 35,515").all() and set(table["mark"]) == {
        "here",
        "published",
        "re-run",
    }
    ours = table[table["mark"] == "here"]
    best = ours[ours["method"].str.contains("each metric apart") & (ours["metric"] == "mpjpe_mm")]
    single = ours[ours["method"].str.contains("first hypothesis") & (ours["metric"] == "mpjpe_mm")]
    assert (
        best["value"].item() <= single["value"].item() and ours.loc[ours["metric"] != "accel_mm", "people"].eq(7).all()
    )
    assert ((ours["low_by_image"] <= ours["value"]) & (ours["value"] <= ours["high_by_image"])).all()
    numbers = json.loads((folder / "n.json").read_text())["results"]
    assert len(numbers) == len(table) and all("NOT the protocol's" in row["protocol"] for row in numbers)


def test_files_for_papers(done):
    folder = done[0] / "protocol-3dpw-standard"
    text = (folder / "table.tex").read_text()
    assert r"A \& B, medoid" in text and r"h36m\_14" in text and "SPIN & 96.9 & 59.0 & 116.4 &" in text
    assert "| SPIN | 96.9 | 59.0 | 116.4 |" in (folder / "table.md").read_text()
    for name in ("error_cdf", "best_of_m", "by_joint", "by_view", "by_occlusion"):
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert len(pd.read_csv(folder / f"{name}.csv"))
    page = (folder / "index.html").read_text()
    assert page.count("<svg") == 5 and "Not audited" in page and "src=" not in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_critic_s_protocol_correlates(prepared, truth, tmp_path):
    """Scores that fall as the error rises: all correlations of ranks are 1. Without scores it is refused."""
    turns = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.3, 0, 0], [0.6, 0, 0]])
    rules = load_protocol("critic-gta").rules.model_copy(update={"dataset": "3dpw", "stride": 4})
    protocol = load_protocol("critic-gta")._replace(rules=rules)

    chosen = choose(prepared.records, protocol)
    scored, silent = (
        write_predictions(tmp_path / name, truth, turns, scores=scores)
        for name, scores in (("scored", np.array([90.0, 80, 70, 10])), ("silent", None))
    )
    found = evaluate(chosen, match(chosen, answers("npz", [scored])), rules, prepared.read())
    (row,) = score_rows("mine", correlations(collect(found, rules, tmp_path / "e.parquet"), rules))
    assert row.values["srcc_pve_mm"] == pytest.approx(1) and row.values["krcc_pve_mm"] == pytest.approx(1)
    assert row.people == 3 and row.note == "mean over 3 groups"
    with pytest.raises(SettingsError, match="hold no 'scores'"):
        benchmark(protocol, prepared.records, [silent], "npz", prepared.read(), tmp_path / "out", against=True)


def test_an_audit_stands_on_the_page(tmp_path):
    table = Table(load_protocol("emdb"), "the line", (Row("a<b", {"mpjpe_mm": 1.25}, "here"),), ("a remark",))
    (tmp_path / "audit.json").write_text(json.dumps({"verdict": "LEAK: x and y share 3 subjects."}))
    page = write_page(table, {}, tmp_path / "p.html", tmp_path / "audit.json").read_text()
    assert "LEAK: x and y share 3 subjects." in page and "a&lt;b" in page and "the line" in page
    assert "the line" in markdown(table) and "the line" in latex(table) and "a remark" in latex(table)
    with pytest.raises(SettingsError, match="there is no such file"):
        write_page(table, {}, tmp_path / "p.html", tmp_path / "nowhere.json")


def test_flags_that_nobody_reads_are_refused(tmp_path):
    for arguments, said in (
        (["--data", "x.parquet"], "--data has no effect without --protocol"),
        (["--protocol", "hi4d"], "give --data FILE.parquet"),
        (["--protocol", "critic-dna"], "critic-benchmark --instances"),
        (["--protocol", "hi4d", "--against", "ours"], "there is only 'published'"),
        (["--protocol", "nothing"], "no protocol is called 'nothing'"),
    ):
        result = CliRunner().invoke(app, ["benchmark", *arguments])
        assert result.exit_code and said in str(result.exception)


def test_protocols_are_listed_and_shown():
    listed = CliRunner().invoke(app, ["protocols"]).output
    assert all(name in listed for name in ("3dpw-standard", "critic-gta", "studio"))
    shown = " ".join(CliRunner().invoke(app, ["protocols", "3dhp"]).output.split())
    assert "pck_joints 14" in shown and "89.8" in shown and "README of VIBE" in shown

"""Protocols as files: all are read, name their source, and say when another number of people was measured."""

import pytest

from tasks.protocols.protocol import JOINTS, REGRESSED, load_protocol, names, protocol_line
from tasks.protocols.published import MARKS, published, references
from tasks.run.settings import SettingsError

WANTED = {
    "scorehypo-3dpw", "3dpw-standard", "h36m-p1", "h36m-p2-spin", "h36m-p2-hybrik", "3dhp", "hi4d", "spec",
    "bedlam-val", "emdb", "critic-dna", "critic-gta", "studio",
}  # fmt: skip


def test_the_protocols_are_shipped():
    assert set(names()) == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_protocol_says_what_it_is(name):
    protocol = load_protocol(name)
    line = protocol_line(protocol, 7, "M = 3")
    for part in (protocol.rules.source, f"stride {protocol.rules.stride}", "n = 7", "M = 3", protocol.rules.dataset):
        assert part in line
    assert ("NOT the protocol's" in line) == (protocol.rules.n is not None)


def test_the_number_of_people_is_said_plainly():
    protocol = load_protocol("3dpw-standard")
    assert "n = 35,515, as the protocol states" in protocol_line(protocol, 35515)
    assert "n = 35,514, NOT the protocol's 35,515" in protocol_line(protocol, 35514)
    assert "the source states no number" in protocol_line(load_protocol("emdb"), 5)


def test_a_protocol_of_the_user_s_own(tmp_path):
    path = tmp_path / "mine.toml"
    text = '[protocol]\nabout = "a"\nsource = "b"\ndataset = "coco"\n'
    path.write_text(text + 'metrics = ["mpjpe_mm"]\n')
    assert load_protocol(str(path)).rules.metrics == ("mpjpe_mm",) and load_protocol(str(path)).name == "mine"
    for line, said in (
        ("strid = 2", r"mine.toml: \[protocol\] has no key 'strid'. Did you mean 'stride'\?"),
        ('metrics = ["mpjp_mm"]', r"\[protocol\] metrics"),
        ('joints = "smpl_24"', "set regressor to 'body'"),
        ("stride = 0", "greater than or equal to 1"),
    ):
        path.write_text(f"{text}{line}\n")
        with pytest.raises(SettingsError, match=said):
            load_protocol(str(path))
    with pytest.raises(SettingsError, match="Did you mean '3dpw-standard'"):
        load_protocol("3dpw-standrd")


def test_joint_sets_are_those_of_spin():
    """H36M_TO_J14 and H36M_TO_J17 by name: what the regressor calls so lies at that place."""
    alias = {"head": "nose"}
    for name in ("h36m_14", "3dhp_17", "h36m_17"):
        for joint, place in zip(*JOINTS[name]):
            regressed = REGRESSED["J_regressor_h36m"][place]
            assert regressed == (alias.get(joint, joint) if name == "3dhp_17" else joint)


def test_reference_numbers_have_source_mark_and_protocol():
    assert {one.protocol for one in references()} <= WANTED
    assert all(one.source and one.mark in MARKS and one.values for one in references())
    paper = next(one for one in published("scorehypo-3dpw") if one.method == "the paper" and one.hypotheses == 100)
    assert paper.values == {"mpjpe_mm": 52.5, "pa_mpjpe_mm": 31.5, "pve_mm": 60.9} and paper.mark == "second-hand"
    assert paper.label == "the paper, min of 100 (oracle)"
    gta = next(one for one in published("critic-gta") if "paper" in one.method)
    assert (gta.values["srcc_mpjpe_mm"], gta.values["krcc_pve_mm"], gta.values["plcc_pa_mpjpe_mm"]) == (
        0.615,
        0.539,
        0.653,
    )
    with pytest.raises(SettingsError, match="no reference numbers"):
        published("hi4d")

import pytest

from flows.cli import doctor
from tasks.run.settings import load_settings


def test_every_mend_stands_beside_what_is_not_ok(home):
    findings = doctor.examine(load_settings())
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    assert all(finding.fix for finding in findings if finding.state == "missing")


def test_a_lacking_asset_is_missing_and_says_how_to_get_it_back():
    finding = doctor._asset("Person detector", "no-such.task")
    assert finding.state == "missing" and finding.fix == "git checkout hmr/assets/no-such.task"


def test_a_broken_licensed_body_is_missing(tmp_path):
    (tmp_path / "SMPL_NEUTRAL.npz").write_bytes(b"no body")
    settings = load_settings(None, {"base": {"body": str(tmp_path / "SMPL_NEUTRAL.npz")}})
    finding = doctor.body(settings)
    assert finding.state == "missing" and "SMPL_NEUTRAL.npz" in finding.found


@pytest.mark.parametrize(("name", "state"), [("mine.safetensors", "ok"), ("other.safetensors", "missing")])
def test_weights_of_the_user(tmp_path, name, state):
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    settings = load_settings(None, {"base": {"checkpoint": str(tmp_path / name)}})
    assert doctor.weights(settings).state == state


def test_a_results_folder_that_cannot_be_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    assert doctor.room(tmp_path / "file" / "runs").state == "missing"
    assert doctor.room(tmp_path / "deep" / "runs").found.startswith(str(tmp_path / "deep" / "runs"))


def test_the_vlm_is_named_by_host_and_its_lacks_by_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    finding = doctor.vlm({})
    assert finding.state == "optional" and "no picture can be sent" in finding.found
    monkeypatch.setenv("MY_KEY", "value")
    table = {"api_key_variable": "MY_KEY", "base_url": "http://127.0.0.1:8000/v1", "model": "m"}
    assert doctor.vlm(table) == doctor.Diagnosis(
        "VLM critic", "ok", "MY_KEY is set; pictures would be sent to 127.0.0.1:8000"
    )
    for address, place in (("https://api.openai.com/v1", "api.openai.com:443"), ("http://[::1]/v1", "[::1]:80")):
        assert doctor.vlm(table | {"base_url": address}).found.endswith(f"sent to {place}")


@pytest.mark.parametrize(
    "address", ["http://anna:secret@h/v1", "https://h/v1?key=secret", "ftp://secret/v1", "secret", "http://h:secret/v1"]
)
def test_an_address_that_a_run_would_refuse_is_not_ok_and_not_repeated(address, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "value")
    inside = doctor.vlm({"base_url": address, "model": "m"})
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    outside = doctor.vlm({"model": "m"})
    for finding, where in ((inside, "base_url"), (outside, "OPENAI_BASE_URL")):
        assert finding.state == "optional" and f"{where} is not a plain http or https address" in finding.found
        assert where in finding.fix and "secret" not in finding.found + finding.fix


def test_a_silent_named_server_is_missing(monkeypatch, home):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (finding,) = doctor.prefect()
    assert finding.state == "missing" and "PREFECT_API_URL" in finding.fix


def test_without_a_server_nothing_is_wrong(home):
    (finding,) = doctor.prefect()
    assert finding.state == "ok"


def test_this_checkout_holds_its_assets():
    assert [finding.state for finding in doctor.assets()] == ["ok", "ok", "ok"]

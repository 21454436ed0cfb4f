"""Every command of README.md and docs/ is run: one that is not in the list below, or no longer on a page, fails."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.integration.photograph_folder import make_folder
from tests.integration.programs import Programs

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def documented_commands() -> set[str]:
    """The lines of the pages' bash blocks, without their comments."""
    blocks = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return {line for line in lines if line}


IN_ORDER = [
    "hmr-align recover photos",
    "hmr-align recover me.jpg --format npz,glb --pick critic --hypotheses 50 --refine",
    "hmr-align sample --images photos --name mine",
    "hmr-align render --name mine --groups 4",
    "hmr-align critique --name mine --plan",
    "hmr-align critique --name mine --critic evidence",
    "hmr-align critique --name mine --controls 20",
    "hmr-align rescore --name mine --critic scorer --plan",
    "hmr-align rescore --name mine --critic scorer --order uncertain --groups 200",
    "hmr-align train --name mine --steps 150",
    "hmr-align benchmark --name mine --json bench.json",
    "hmr-align align --images photos",
    "hmr-align report --name default",
    "hmr-align critic-benchmark --critic scorer --checkpoint lab --groups model --json critic.json",
    "hmr-align experiment sampler --json sampler.json",
    "hmr-align experiment refine --json refine.json",
    "hmr-align experiment photographs --images photos --json photographs.json",
    "hmr-align experiment people --images photos --counts people.json",
    "hmr-align experiment detector --json detector.json",
    "hmr-align experiment coverage --json coverage.json",
    "hmr-align bench bodies --json bodies.json",
    "hmr-align doctor",
]
STUDIES = [
    "hmr-align train --probe-headroom --json headroom.json",
    "hmr-align experiment alignment --seeds 3 --json alignment.json",
    "hmr-align experiment rounds --settings deploy/settings/rounds.toml --seeds 3 --json rounds.json",
    "hmr-align experiment table2 --settings deploy/settings/table2.toml --quick --json table2_quick.json",
    "hmr-align experiment table2 --settings deploy/settings/table2.toml --curves --seeds 3 --json table2_curves.json",
    "hmr-align experiment table2 --settings deploy/settings/table2.toml --images photos --witness lite.tflite "
    "--seeds 3 --json table2_photographs.json",
    "hmr-align pretrain lab --name lab-again",
    "hmr-align bench sampler --rounds 7 --json sampler_speed.json",
    "hmr-align bench render --json render.json",
]
BY_OTHER_TESTS = {
    "make align",
    "make test",
    "hmr-align dashboard",
    "hmr-align deploy",
    "hmr-align deploy --diff",  # test_deployment.py
    # In tests/unit/flows/cli/test_store.py:
    *(f"hmr-align store {what} --name default" for what in ("ls", "verify", "repair", "compact")),
    "hmr-align store vacuum --name default --dry-run",
    "hmr-align store export --name default --hf shared/default",
    "hmr-align doctor --free",  # test_dead_runs.py
    # In test_backup.py:
    "tar --create --file mine.tar --directory runs mine",
    "tar --extract --file mine.tar --directory restored",
    "hmr-align rescore --out restored --name mine --critic scorer --plan",
    "hmr-align bench train --json train_speed.json",  # test_train_benchmark.py, both of them
    "hmr-align bench people --json people_speed.json",  # test_people_benchmark.py
    "hmr-align bench store --json store.json",  # test_store_benchmark.py
    "hmr-align view runs/default",  # test_site.py
    "hmr-align view runs/default --against runs/other",
    "hmr-align bench view --json view.json",  # test_view_benchmark.py
    "hmr-align bench startup --json startup.json",  # test_startup_benchmark.py
    "hmr-align bench pipeline --json pipeline.json",  # test_pipeline_benchmark.py
    "hmr-align bench growth --json growth.json",  # the same
    "hmr-align bench all --json all.json",  # its parts one by one
    "hmr-align bench compare old.json all.json",  # test_comparison.py
    # In test_align.py:
    "hmr-align experiment rounds --settings deploy/settings/rounds_parts.toml --parts --json rounds_val.json",
    "hmr-align critique --name mine --show-request GROUP",  # in test_shown_request.py
    "hmr-align critique --name mine --explain vlm@e81ed27d",  # in test_critique_faults.py
    "hmr-align distill --teacher vlm --name mine",  # its flow, in test_distill_judge.py
    # By a scripted annotator, in test_annotate.py:
    "hmr-align annotate --name mine --groups 20",
    "hmr-align annotate --name mine --file page.html",
    "hmr-align annotate --name mine --import answers-mine.json",
    "hmr-align reflect --name mine --split people --settings mine.toml",  # its cases, in test_annotation.py
    # With a loopback VLM, in test_reflect.py:
    "hmr-align reflect --settings mine.toml --memory memory",
    "hmr-align memory show memory --ledger",
    # With a synthetic dataset, in test_instances.py:
    "hmr-align critic-benchmark --instances gta.npz --photos GTA_Human2 --dataset gta_human2 --body SMPLX_NEUTRAL.npz",
    # With files in the official formats and a stand-in for the judge, in test_paper.py; the last two cost money:
    "hmr-align align --settings paper-3dpw.toml --plan",
    "hmr-align align --settings paper-3dpw.toml --dry-run",
    "hmr-align reflect --settings paper-3dpw.toml --memory memory",
    "hmr-align align --settings paper-3dpw.toml",
    # With a small data set, in test_own_data.py:
    "hmr-align data import coco train.json --photos pictures --out train.parquet",
    "hmr-align data import coco more.json --photos pictures --out more.parquet",
    "hmr-align data import spin val.npz --photos pictures --out val.parquet",
    "hmr-align data import spin test.npz --photos pictures --out test.parquet",
    "hmr-align align --settings own-data.toml --name own",
    "hmr-align data predictions outputs --from npz --into runs/own --beside round0",
    "hmr-align critique --name own",
    "hmr-align data ranking runs/own --out best",
    "hmr-align render --name own --of predictions",
    # With files of the published networks, in test_published.py and test_checkpoint.py:
    "hmr-align sample --images photos --checkpoint ckpt.pth --body SMPL_NEUTRAL.pkl --temperature 1 --name mine",
    "hmr-align render --name mine",
    "hmr-align convert ckpt.pth hyponet.safetensors",
    "hmr-align convert scorenet.pth scorenet.safetensors",
    "hmr-align convert runs/mine/training/round1/policy.safetensors back.pth",
}
SMALLER = {"150": "4", "3": "1", "7": "1"}  # steps, seeds and rounds
FEWER = {
    "experiment rounds": ("--arms", "group,dpo,scorer"),  # the other critics' runs are in the study of alignment
    "experiment table2": ("--arms", "group,dpo_5,shuffled"),
}


def test_pages_have_these_commands_and_no_others():
    assert sorted(documented_commands()) == sorted([*IN_ORDER, *STUDIES, *BY_OTHER_TESTS])


@pytest.fixture
def mine(programs, tmp_path) -> Programs:
    """`hmr-align` with tiny settings, beside a folder of photographs."""
    make_folder(tmp_path / "photos", large=False)
    shutil.copy(tmp_path / "photos" / "rotated.jpg", tmp_path / "me.jpg")
    # stands for the user's file of the same family
    (tmp_path / "lite.tflite").symlink_to(ROOT / "hmr" / "assets" / "pose_landmark_heavy.tflite")
    (tmp_path / "people.json").write_text('{"two.png": 2, "coffee.png": 0}')
    tiny = tmp_path / "tiny.toml"
    pretraining = "lab = 60\nbroad = 40\n[pretrain]\nsteps = 4\nbatch = 16\nundrawn = 60\n"
    tiny.write_text(f"{programs.tiny.read_text()}{pretraining}[recover]\nprocesses = 1\n")
    return Programs({**programs.environment, "HMR_ALIGN_RUNS": str(tmp_path / "runs")}, tiny)


def run_in_order(mine: Programs, commands: list[str], folder: Path) -> None:
    """Each in one folder, with tiny settings; every file of numbers that they name is there and says whose it is."""
    for command in commands:
        words = shlex.split(command)[1:]
        counts = {i for i in range(1, len(words)) if words[i - 1] in ("--steps", "--seeds", "--rounds")}
        words = [SMALLER.get(word, word) if i in counts else word for i, word in enumerate(words)]
        words += FEWER.get(" ".join(words[:2]), ())
        of_a_run = "mine" in words or words[0] in ("bench", "report")  # these start from what the run was made with
        if words[0] == "sample" or not of_a_run:
            words += ["--settings", str(mine.tiny)]
        mine.run(*words, folder=folder)
        if "--json" in words:
            written = json.loads((folder / words[words.index("--json") + 1]).read_text())
            assert {"device", "commit", "results"} <= written.keys() and written["results"]


@pytest.mark.timeout(1500)  # two dozen commands
def test_commands_run_as_written(mine, tmp_path):
    run_in_order(mine, IN_ORDER, tmp_path)
    assert (tmp_path / "results" / "photos" / "index.html").exists()
    assert list((tmp_path / "results" / "me").glob("me/person0.glb"))
    assert list((tmp_path / "runs" / "mine" / "overlays").rglob("overlay_00.*.webp"))


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_studies_run_as_written(mine, tmp_path):
    run_in_order(mine, STUDIES, tmp_path)
    assert list((tmp_path / "runs" / "lab-again").rglob("base_lab.safetensors"))


def test_dashboard_answers_at_the_address_it_prints(programs, tmp_path):
    environment = {k: v for k, v in programs.environment.items() if not k.startswith("PREFECT_API")}
    environment["HMR_ALIGN_HOME"] = str(tmp_path / "home")
    program = subprocess.Popen(
        [sys.executable, "-m", "flows.cli.command_line", "dashboard"],
        env=environment, stdout=subprocess.PIPE, text=True,
        # A shell that runs the tests in the background ignores Ctrl-C for all of its children; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert program.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())
        assert url
        with urllib.request.urlopen(url[0] + "/api/health", timeout=20) as reply:
            assert reply.status == 200
    finally:
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=60)
    assert program.returncode == 0


@pytest.mark.parametrize("target", ["align", "smoke", "align IMAGES=photos"])
def test_make_targets_call_the_console_script(target):
    done = subprocess.run(["make", "-n", *target.split()], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "hmr-align align" in done.stdout
    assert ("--images" in done.stdout) == ("IMAGES" in target)

"""A scripted annotator at the real page: served by the real command, in a real browser, by keyboard alone."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from critique.annotation.verdicts import NAME
from storage.group_store import GroupStore
from tests.browser import driven_browser
from tests.factories import make_verdict, store_in_one_photograph

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PEOPLE = 22


@pytest.fixture(scope="module")
def browser():
    with driven_browser() as opened:
        yield opened


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of 22 people, of whom one critic knows a hidden order that the annotator follows, and one does not."""
    (tmp_path / "runs").mkdir()
    store, rng = store_in_one_photograph(tmp_path / "runs" / "run", PEOPLE), np.random.default_rng(0)
    groups = store.read_groups("round0", "0")
    for critic in ("knows@1", "guesses@1"):
        scores = [hidden(group.person.group_id) if critic == "knows@1" else rng.uniform(5, 95, 4) for group in groups]
        verdicts = [make_verdict(*pair, critic) for pair in zip(groups, scores)]
        store.write_verdicts("round0", critic, "run", "0", verdicts)
    return tmp_path / "runs" / "run"


def hidden(group_id: str) -> list[float]:
    """How good each of the four bodies of a group is, to the annotator."""
    return [float(x) for x in 10 + 20 * np.random.default_rng(list(group_id.encode())).permutation(4)]


def command(*arguments: str, home: Path) -> subprocess.Popen:
    environment = {**os.environ, "HMR_ALIGN_HOME": str(home / "home"), "HMR_ALIGN_RUNS": str(home / "runs")}
    program = [sys.executable, "-m", "flows.cli.command_line", "annotate", "--name", "run", *arguments]
    return subprocess.Popen(
        program, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell that runs the tests in the background ignores Ctrl-C for all of its children; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def questions_of(page) -> list[dict]:
    return json.loads(page.locator("#content").text_content())["questions"]


def best_of(question: dict) -> int:
    """The key of the body that the annotator prefers."""
    scores = hidden(question["group"])
    return 1 + max(range(len(question["members"])), key=lambda place: scores[question["members"][place]])


def test_twenty_answers_by_keyboard(browser, run, tmp_path):
    program = command("--groups", str(PEOPLE), home=tmp_path)
    try:
        address = re.search(r"open (http://127\.0\.0\.1:[0-9]+/)", program.stdout.readline())[1]
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        faults = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address, wait_until="networkidle")
        assert all(page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 100)"))
        asked = questions_of(page)
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowRight")  # without a choice nothing moves on
        assert page.locator("#count").text_content().startswith("1 of 22, 0 answered")
        for number, question in enumerate(asked):
            if number == 3:
                page.keyboard.press("s")
                wait_for(page, number + 2)
                continue
            key = best_of(question)
            if number == 0:  # a slip, taken back
                page.keyboard.press(str(3 - key))
                page.keyboard.press("u")
                assert page.locator("#next").is_disabled()
            page.keyboard.press(str(key))
            if number == 1:
                page.keyboard.press("l")
                page.keyboard.press("t")
                page.keyboard.type("the elbow is 2 short")  # keys of the page are letters here
                page.keyboard.press("Enter")
            page.keyboard.press("Enter" if number % 2 else "ArrowRight")
            wait_for(page, number + 2)
        assert page.locator("#total").text_content() == "21 answers, 1 skipped."
        assert not faults
        page.reload(wait_until="networkidle")  # what was answered is known again
        assert page.locator("#end").is_visible()
        assert refused(address, {"Host": "evil.example"}) == 403
        assert refused(address + "answers", {"Origin": "http://evil.example"}, b"{}") == 403
        assert refused(address + "answers", {}, b'{"gen": "round0"}') == 400
        page.close()
    finally:
        program.send_signal(signal.SIGINT)
        said, errors = program.communicate(timeout=400)
    assert program.returncode == 0, errors
    assert "21 answers, 1 skipped; verdicts of human@1 on 21 groups written" in said
    assert re.search(r"knows@1 +100 % of pairs +8[0-9] to 100 %", said), said
    verdicts = {group.person.group_id: verdict for group, verdict in GroupStore(run / "store").judged("round0", NAME)}
    assert len(verdicts) == 21 and asked[3]["group"] not in verdicts
    second = verdicts[asked[1]["group"]]
    loser = asked[1]["members"][2 - best_of(asked[1])]
    assert second.comments[loser] == "worse than another shown: arm or leg off; the elbow is 2 short"
    assert sum(score == score for score in second.scores) == 2


def test_a_file_exports_what_import_takes(browser, run, tmp_path):
    file = tmp_path / "page.html"
    made = command("--groups", "5", "--show", "4", "--file", str(file), home=tmp_path)
    said, errors = made.communicate(timeout=400)
    assert made.returncode == 0, errors
    page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page.goto(file.as_uri(), wait_until="load")
    for number, question in enumerate(questions_of(page)):
        scores = hidden(question["group"])
        order = sorted(range(4), key=lambda place: -scores[question["members"][place]])
        for place in order[:2]:  # the best and the second best
            page.keyboard.press(str(place + 1))
        page.keyboard.press("Enter")
        wait_for(page, number + 2, total=5)
    with page.expect_download() as download:
        page.locator("#export").click()
    download.value.save_as(tmp_path / "answers.json")
    page.close()
    program = command("--import", str(tmp_path / "answers.json"), home=tmp_path)
    said, errors = program.communicate(timeout=400)
    assert program.returncode == 0, errors
    assert "5 answers, 0 skipped; verdicts of human@1 on 5 groups written" in said
    for group, verdict in GroupStore(run / "store").judged("round0", NAME):
        ranked = np.argsort(-verdict.scores)[:2]
        assert list(ranked) == list(np.argsort(-np.array(hidden(group.person.group_id)))[:2])


def wait_for(page, number: int, total: int = PEOPLE) -> None:
    """Until the page shows this question, or its end."""
    if number > total:
        page.locator("#end").wait_for(state="visible")
    else:
        page.locator("#count", has_text=re.compile(f"^{number} of ")).wait_for()


def refused(address: str, headers: dict[str, str], body: bytes | None = None) -> int:
    request = urllib.request.Request(address, body, headers)
    with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request, timeout=20):
        pass
    error.value.close()
    return error.value.code

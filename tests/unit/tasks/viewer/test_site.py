"""The viewer in a real browser: what is shown, keys, deep links, meshes in 3-D, contrast and labels; no complaints."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from flows.cli.viewer.view import _listening
from flows.server.guarded_server import Doorkeeper
from tasks.viewer.made_up_run import make_run
from tasks.viewer.server import ViewedRun, application
from tests.browser import driven_browser

pytestmark = pytest.mark.slow
GROUPS = 90


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    runs = []
    for name, count in (("first", GROUPS), ("second", 8)):
        make_run(folder / name, count, hypotheses=5, shard=64)
        runs.append(ViewedRun(folder / name))
    with _listening(0) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(Doorkeeper(application(runs), place), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://{place}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with driven_browser() as opened:
        yield opened


@pytest.fixture
def page(browser, address):
    with page_of(browser) as opened:
        yield opened


@contextmanager
def page_of(browser, **given) -> Iterator:
    """A new page; the test fails if the page complains, or asks for anything elsewhere."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **given})
    page, complaints = context.new_page(), []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            complaints.append(asked.url)
            if "//127.0.0.1:" not in asked.url and not asked.url.startswith(("data:", "blob:"))
            else None
        ),
    )
    yield page
    context.close()
    # The processor draws where there is no GPU; the browser says so, and that reading the picture back is slow.
    assert not [said for said in complaints if "GPU stall" not in said and "swiftshader" not in said.lower()]


def shown(page) -> list[str]:
    """Names on the cards, in their order."""
    page.wait_for_selector(".slot")
    slots = page.evaluate(
        "[...document.querySelectorAll('.slot')].map((s) => [Number(s.dataset.at), s.querySelector('.name').innerText])"
    )
    return [name.split("\n")[0] for _, name in sorted(slots)]


def test_the_gallery_keeps_few_cards_and_reaches_all(page, address):
    page.goto(address)
    assert shown(page)[:2] == ["street 00000", "street 00001"]
    assert page.inner_text(".count") == f"{GROUPS} groups"
    few = page.locator(".slot").count()
    assert few < GROUPS
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector(f"[data-at='{GROUPS - 1}']")
    assert page.locator(".slot").count() <= few + 12
    page.wait_for_selector("[data-meshes]")
    assert page.evaluate("[...document.querySelectorAll('.slot img')].every((one) => one.src.includes('/card/'))")


def test_search_filter_and_sort_stand_in_the_address(page, address):
    page.goto(address)
    page.wait_for_selector(".slot")
    page.keyboard.press("/")
    page.keyboard.type("street_0007")
    page.wait_for_function("() => document.querySelector('.count')?.textContent.startsWith('10 of')")
    assert shown(page) == [f"street {number:05d}" for number in range(70, 80)]
    page.select_option("select >> nth=-1", "mean")  # sort by
    page.wait_for_function("() => location.hash.includes('sort=-mean')")
    page.locator("label:has-text('Comments speak of') select").select_option("limb_alignment")
    page.wait_for_function("() => location.hash.includes('tag=limb_alignment')")
    deadline = time.monotonic() + 20
    while (order := shown(page)) == [f"street {number:05d}" for number in range(70, 80)]:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.reload()  # a deep link
    page.wait_for_function("() => document.querySelector('.count')?.textContent.startsWith('10 of')")
    assert shown(page) == order and page.input_value("input[type=search]") == "street_0007"


def test_keys_alone_lead_through_a_group(page, address):
    page.goto(address)
    page.wait_for_selector(".slot")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tile[aria-pressed=true]")
    assert "street_00001" in page.url
    first = page.inner_text(".detail h2")
    page.keyboard.press("3")
    assert page.inner_text(".detail h2") != first and "place 3 of 5" in page.inner_text(".detail")
    page.keyboard.press("a")
    assert page.locator(".stage figure").count() == 4
    page.keyboard.press("+")
    page.wait_for_function("() => location.hash.includes('z=1.5')")
    zooms = page.evaluate(
        "[...new Set([...document.querySelectorAll('.pic img')].map((one) => getComputedStyle(one).transform))].length"
    )
    assert zooms >= 1 and page.evaluate(
        "getComputedStyle(document.querySelector('.stage img')).transform.startsWith('matrix(1.5')"
    )
    page.wait_for_selector("[data-key=j][href]")
    page.keyboard.press("j")
    page.wait_for_function("() => location.hash.includes('street_00002')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".slot")
    page.keyboard.press("?")
    assert "this list of keys" in page.inner_text("dialog[open]")


def test_a_link_opens_a_hypothesis_with_its_meshes(page, address):
    page.goto(f"{address}#group/0/round0/street_00003-00000003-p0?h=2&view=side&mesh=1")
    page.wait_for_selector("canvas[data-drawn]", timeout=60_000)
    assert page.inner_text(".detail h2") == "Hypothesis #3"
    assert "/side/2" in page.get_attribute(".stage figure:nth-child(2) img", "src")

    def colours() -> int:
        """How many different colours the canvas shows."""
        return page.evaluate("""() => {
          const canvas = document.querySelector('canvas'), flat = document.createElement('canvas');
          [flat.width, flat.height] = [120, 80];
          const context = flat.getContext('2d');
          context.drawImage(canvas, 0, 0, 120, 80);
          const pixels = new Uint32Array(context.getImageData(0, 0, 120, 80).data.buffer);
          return new Set(pixels).size;
        }""")

    assert colours() > 50
    page.keyboard.press("p")  # without the photograph: the body alone
    page.wait_for_function("() => document.querySelector('#meshes [aria-pressed]') !== null")
    assert colours() > 20
    page.keyboard.press("b")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("e")
    page.wait_for_function("() => document.querySelector('.scene p').textContent.includes('ellipsoids')")
    assert "orange" in page.inner_text(".scene p")


def test_runs_and_critics_are_compared(page, address):
    page.goto(f"{address}#compare?a=0,round0,evidence@4&b=0,round0,scorer@3")
    page.wait_for_selector("tbody tr")
    assert "rank correlation" in page.inner_text("main") and page.locator(".plot2 circle").count() > 100
    page.keyboard.press("x")
    page.wait_for_function("() => location.hash.includes('a=0%2Cround0%2Cscorer')")
    page.goto(f"{address}#compare?a=0,round0,evidence@4&b=1,round0,evidence@4")
    page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 8")
    page.click("tbody tr button >> nth=0")  # both favourites, with the photograph, as one picture to keep
    page.wait_for_function("() => document.querySelector('.strip-row img')?.naturalWidth > 1900")
    assert page.get_attribute(".strip-row a", "download").endswith("_A_B.jpg")
    page.click("tbody tr button >> nth=0")
    assert page.locator(".strip-row").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_people_who_see_or_point_otherwise(browser, address, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    pages = ("groups", "group/0/round0/street_00003-00000003-p0?mesh=1", "compare", "run")
    for name in pages:
        with page_of(browser, color_scheme=scheme) as page:
            page.goto(f"{address}#{name}")
            page.wait_for_selector("main h1")
            page.wait_for_load_state("networkidle")
            found = axe.Axe().run(page).response["violations"]
            bad = [
                f"{one['id']}: {one['nodes'][0]['html'][:90]}"
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert not bad, f"{name}, {scheme}: {bad}"


def test_a_phone_needs_no_sideways_scrolling(browser, address):
    for name in ("groups", "group/0/round0/street_00003-00000003-p0", "compare", "run"):
        with page_of(browser, viewport={"width": 390, "height": 844}, has_touch=True) as page:
            page.goto(f"{address}#{name}")
            page.wait_for_selector("main h1")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_other_names_of_this_machine_are_refused(browser, address):
    with page_of(browser) as page:
        answer = page.request.get(f"{address}api/run", headers={"host": "evil.example"})
        assert answer.status == 403

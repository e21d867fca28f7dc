"""The page and the report in a real browser: all figures drawn, nothing said on the console, fit for a phone."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from node import profiles
from node.api.app import create_app
from node.community import open_community
from node.report import writing
from node.report.summary import summarise
from node.scenario import load
from tests.serving import serve
from tests.simulation.conftest import CORNER, run_corner

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
FIGURES = ("energy", "prices", "storage", "merit-order", "network", "bills")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
AXES = {
    "prices": ("time, UTC", "ct per kWh", "kWh per interval"),
    "storage": ("time, UTC", "% of capacity"),
    "merit-order": ("kWh, cumulative", "limit, ct per kWh"),
    "network": ("time, UTC", "% of capacity"),
    "bills": ("credits",),
}


@dataclass
class Visit:
    """A page and all that it complained about or asked others for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, browser: Browser, size: dict[str, int]) -> "Visit":
        visit = cls(browser.new_page(viewport=size))
        visit.page.on("console", lambda message: visit.complaints.append(message.text))
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        return visit

    def width(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth")

    def size_of(self, selector: str) -> tuple[float, float]:
        box = self.page.locator(selector).first.bounding_box()
        assert box is not None, f"{selector} is not on the page"
        return box["width"], box["height"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """Return the addresses of a served community's page and of its report on disk."""
    community = run_corner(tmp_path_factory.mktemp("site"))
    with community.store.read() as connection:
        summary = summarise(connection, community.scenario)
        report = writing.write(connection, community.scenario, summary, tmp_path_factory.mktemp("out"))
    with serve(create_app(community)) as url:
        yield url, report.as_uri()
    community.close()


@pytest.fixture(params=["desk", "phone"])
def visit(request, browser) -> Iterator[Visit]:
    visit = Visit.begin(browser, DESK if request.param == "desk" else PHONE)
    yield visit
    visit.page.close()


def opened(visit: Visit, address: str, *, is_page: bool) -> None:
    visit.page.goto(address)
    if is_page:
        visit.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    for name in FIGURES:
        visit.page.wait_for_selector(f"#{name} .main-svg", state="attached", timeout=60_000)


def check_figures(visit: Visit) -> None:
    for name in FIGURES:
        width, height = visit.size_of(f"#{name} .main-svg")
        assert width > 250, name
        assert height > 350, name
        assert visit.page.locator(f"#{name}").evaluate("e => e.previousElementSibling.textContent"), name
    for name, titles in AXES.items():
        text = visit.page.locator(f"#{name}").inner_text()
        assert all(title in text for title in titles), (name, text)
    assert visit.page.locator("#energy .sankey-link").count() >= 5
    for name in ("prices", "storage", "merit-order", "network"):
        assert visit.page.locator(f"#{name} .scatterlayer .trace path.js-line").count() >= 2, name
    assert visit.page.locator("#bills .barlayer .point").count() == 2 * 4


def test_the_page_draws_all_figures_and_fits_its_screen(visit, site):
    opened(visit, site[0], is_page=True)
    check_figures(visit)
    assert visit.width() <= visit.page.viewport_size["width"]
    assert visit.complaints == []
    assert visit.page.locator("#figures dt").count() >= 15
    assert "store and chain agree" in visit.page.locator("#figures").inner_text()
    assert visit.page.locator("#problem").inner_text() == ""


def test_the_page_asks_nobody_else_for_anything(browser, site):
    visit = Visit.begin(browser, DESK)
    opened(visit, site[0], is_page=True)
    assert {url.split("/")[2] for url in visit.requests if url.startswith("http")} == {site[0].split("/")[2]}
    visit.page.close()


def test_the_statement_follows_the_chosen_participant(browser, site):
    visit = Visit.begin(browser, DESK)
    opened(visit, site[0], is_page=True)
    page = visit.page
    assert page.locator("#who option").all_inner_texts() == [
        "Sun (account 2)", "Shade (account 3)", "Car (account 4)", "Rack (account 5)",
    ]  # fmt: skip
    assert page.locator("#statement tr").count() == 24
    before = page.locator("#statement").inner_text()
    with page.expect_response(lambda answer: "/v1/participants/3/statement" in answer.url):
        page.select_option("#who", "3")
    page.wait_for_function("document.getElementById('csv').href.includes('/participants/3/')")
    after = page.locator("#statement").inner_text()
    assert after != before
    assert page.locator("#statement tr").count() == 24
    assert "bought" in after
    assert "-0.000\t" not in before + after
    assert "24 intervals: received" in page.locator("#total").inner_text()
    assert visit.complaints == []
    page.close()


def test_a_hub_that_stops_answering_is_told_on_the_page(browser, site):
    visit = Visit.begin(browser, DESK)
    problem = {"type": "urn:symbiotic-grid:problem:busy", "title": "Try again", "detail": "the store is busy"}
    visit.page.route("**/v1/summary", lambda route: route.fulfill(status=503, json=problem))
    visit.page.goto(site[0])
    visit.page.wait_for_function("document.getElementById('problem').textContent !== ''")
    assert visit.page.locator("#problem").inner_text() == "the store is busy"
    visit.page.close()


def test_a_picture_that_only_some_scenarios_have_gets_its_place(browser, site):
    visit = Visit.begin(browser, DESK)
    rare = {"data": [{"y": [1, 2]}], "layout": {"title": {"text": "Only here"}}}

    def with_one_more(route):
        figures = route.fetch().json()
        route.fulfill(json={"energy": figures.pop("energy"), "rare": rare, **figures})

    visit.page.route("**/v1/figures", with_one_more)
    opened(visit, site[0], is_page=True)
    visit.page.wait_for_selector("#rare .main-svg", state="attached", timeout=60_000)
    assert visit.page.locator("#rare").evaluate("e => e.previousElementSibling.textContent") == "Only here"
    headings = visit.page.locator("section h2").all_inner_texts()
    assert headings.index("Only here") == len(headings) - 2, "before the statement"
    assert visit.page.locator("#problem").inner_text() == ""
    assert visit.complaints == []
    visit.page.close()


def test_before_the_first_delivery_the_page_says_so(browser, tmp_path):
    scenario = load(CORNER)
    community = open_community(scenario, profiles.load(scenario), tmp_path)
    visit = Visit.begin(browser, PHONE)
    with serve(create_app(community)) as url:
        visit.page.goto(url)
        visit.page.wait_for_selector("body[data-ready=yes]")
        said = visit.page.locator("#energy").evaluate("e => getComputedStyle(e, '::before').content")
        assert "as soon as an interval has been delivered" in said
        assert visit.page.locator("#total").inner_text() == "nothing has been metered yet"
        assert visit.complaints == []
        assert visit.width() <= 390
        visit.page.close()
    community.close()


def test_the_report_opens_without_network_and_fits_its_screen(browser, site):
    for size in (DESK, PHONE):
        context = browser.new_context(viewport=size, offline=True)
        page = context.new_page()
        visit = Visit(page)
        page.on("console", lambda message, v=visit: v.complaints.append(message.text))
        page.on("pageerror", lambda error, v=visit: v.complaints.append(str(error)))
        page.on("request", lambda request, v=visit: v.requests.append(request.url))
        opened(visit, site[1], is_page=False)
        check_figures(visit)
        assert visit.width() <= size["width"]
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        context.close()

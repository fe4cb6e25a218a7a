"""The page in a real browser: what it shows, what its buttons do, and what hostile names do not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demo_monitor import REASON, demo
from fake_monitor import FakeMonitor, episode, machine
from helpers import ROOT

from asd_edge.monitor.commands import Acknowledge, Shelve, WasFault, WasNormal
from asd_edge.monitor.outlet_config import WebConfig

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (extra dev)")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytest.importorskip("prometheus_client", reason="needs the extra monitor")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (tests/install_apt.sh)")

from asd_edge.monitor.web import outlet, passwords, views  # noqa: E402

BUNDLE = ROOT / "asd_edge" / "data" / "default.asd"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox does not run as root, as tests in containers do.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        found = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield found
        found.close()


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMonitor:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    views.time_zone.cache_clear()
    found = demo(tmp_path)
    machines = tuple(replace(m, bundle=str(BUNDLE)) for m in found.snapshot.machines)
    found.snapshot = replace(found.snapshot, machines=machines)
    return found


@pytest.fixture(autouse=True)
def utc_again() -> Iterator[None]:
    yield
    time.tzset()
    views.time_zone.cache_clear()


@pytest.fixture
def visit(browser: Any, monitor: FakeMonitor) -> Iterator[Callable[..., Any]]:
    """Open the page; at the end nothing may have been said in the console."""
    started, contexts, faults = [], [], []

    def note(page: Any, message: Any) -> None:
        if message.type == "error" and not any(text in message.text for text in page.expected):
            faults.append(message.text)

    def open_page(
        width: int = 1280, scheme: str = "light", password_file: Path | None = None, **more: Any
    ) -> Any:
        web = outlet.start(WebConfig(port=0, password_file=password_file), monitor)
        started.append(web)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.expected = ()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: note(page, m))
        page.on("request", lambda r: faults.append(r.url) if "127.0.0.1" not in r.url else None)
        page.goto(f"http://127.0.0.1:{web.address[1]}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    for web in started:
        web.stop()
    assert faults == []


def painted(page: Any, canvas: Any) -> None:
    """Wait for columns; Playwright's own waiting needs what the page's policy forbids."""
    for _ in range(200):
        if canvas.evaluate("c => c.width") > 300:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the live spectrogram stayed empty")


def plain(text: str) -> str:
    """Undo what keeps numbers and units on one line."""
    spaces = text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")
    return spaces.replace("\N{EN DASH}", "-")


def test_first_a_sentence_a_machine(visit: Callable[..., Any]) -> None:
    page = visit()
    page.wait_for_selector("#now li:nth-child(3)")
    sentences = page.locator("#now .sentence").all_inner_texts()
    assert sentences[0].startswith("ALARM since ")
    assert plain(sentences[0]).endswith(REASON)
    assert sentences[1].startswith("MICROPHONE MISSING since ")
    assert sentences[2].startswith("Normal. Last heard ")
    # Above everything else, without scrolling.
    assert page.locator("#now li").last.bounding_box()["y"] < 300
    assert page.title() == "(2) hall-2: asd-edge"


def test_times_are_those_of_the_device_not_of_the_browser(
    visit: Callable[..., Any], monitor: FakeMonitor
) -> None:
    page = visit(timezone_id="Asia/Tokyo")
    page.wait_for_selector("#open-alarms article")
    raised = time.strftime("%H:%M", time.localtime(monitor.history.all_episodes[0].raised_at))
    assert raised in page.locator("#now .sentence").first.inner_text()
    assert raised in page.locator("#open-alarms h3").first.inner_text()
    assert page.locator("#zone").inner_text() == "Europe/Berlin"


def test_charts_and_the_live_spectrogram(visit: Callable[..., Any]) -> None:
    page = visit()
    figure = page.locator("#machine-fan")
    figure.locator("svg .curve").first.wait_for(state="attached")
    assert figure.locator("svg .limit").count() == 1
    assert figure.locator("svg .above").count() == 1
    assert page.locator("#machine-gearbox svg .above").count() == 0
    label = figure.locator("svg").first.get_attribute("aria-label")
    assert label.startswith("Ratio to the threshold over 24 h: highest 1.7")
    canvas = figure.locator("canvas.live")
    painted(page, canvas)
    colours = canvas.evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert colours > 50
    assert "kHz" in figure.locator(".scale").first.inner_text()
    figure.locator("svg").first.hover(position={"x": 200, "y": 60})
    assert ":" in figure.locator(".value").first.inner_text()


def test_buttons_give_commands(visit: Callable[..., Any], monitor: FakeMonitor) -> None:
    page = visit()
    alarm = page.locator("#open-alarms article").first
    alarm.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("status").get_by_text("Acknowledge done.").wait_for()
    alarm.get_by_label("How long to shelve").select_option("8")
    alarm.get_by_role("button", name="Shelve").click()
    page.get_by_role("status").get_by_text("Shelve done.").wait_for()
    alarm.get_by_role("button", name="Was a fault").click()
    page.get_by_role("status").get_by_text("WasFault done.").wait_for()
    expected: list[Any] = [Acknowledge(41, "page"), Shelve("fan", 28_800.0, "page")]
    assert monitor.submitted == [*expected, WasFault(41, "page")]


def test_was_normal_asks_first(visit: Callable[..., Any], monitor: FakeMonitor) -> None:
    page = visit()
    alarm = page.locator("#open-alarms article").first
    alarm.get_by_role("button", name="Was normal").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    alarm.get_by_role("button", name="Was normal").click()
    page.keyboard.press("Escape")
    assert monitor.submitted == []
    alarm.get_by_role("button", name="Was normal").click()
    page.get_by_role("dialog").get_by_role("button", name="Add as normal").click()
    page.get_by_role("status").get_by_text("WasNormal done.").wait_for()
    assert monitor.submitted == [WasNormal(41, "page")]


def test_a_refused_command_is_said(visit: Callable[..., Any]) -> None:
    page = visit()
    page.expected = ("status of 404",)
    page.evaluate(
        "import('/static/alarms.js').then((m) => m.act(document.createElement('button'), () =>"
        " import('/static/common.js').then((c) => c.post('/api/episodes/99/was-fault')),"
        " {said: (text) => { document.getElementById('said').textContent = text; }}))"
    )
    page.get_by_role("status").get_by_text("Not done: there is no alarm 99").wait_for()


def test_a_recording_plays(visit: Callable[..., Any]) -> None:
    page = visit()
    audio = page.locator("#open-alarms audio").first
    audio.wait_for()
    length = audio.evaluate(
        "a => new Promise((done, fail) => { a.onloadedmetadata = () => done(a.duration);"
        " a.onerror = () => fail(a.error.message); a.preload = 'metadata'; a.load(); })"
    )
    assert length == pytest.approx(10.0, abs=0.01)


def test_a_recording_that_comes_later_is_shown(
    visit: Callable[..., Any], monitor: FakeMonitor
) -> None:
    alarm = monitor.history.all_episodes[0]
    fan = replace(monitor.snapshot.machines[0], episodes=(replace(alarm, clips=()),))
    monitor.snapshot = replace(monitor.snapshot, machines=(fan,))
    monitor.history.all_episodes = [replace(alarm, clips=())]
    page = visit()
    page.get_by_text("No recording of this alarm is kept.").first.wait_for()
    monitor.history.all_episodes = [alarm]
    page.locator("#open-alarms audio").first.wait_for()


def test_the_explanation_s_picture(visit: Callable[..., Any]) -> None:
    page = visit()
    page.locator("#open-alarms .why .picture").wait_for(timeout=120_000)
    # The clip is noise with a tone of 5 kHz in it.
    assert "4.8-5.2 kHz" in page.locator("#open-alarms .why .sentence").inner_text()
    assert page.locator("#open-alarms .why canvas").count() == 2


def test_a_past_alarm_opens(visit: Callable[..., Any]) -> None:
    page = visit()
    row = page.locator("#past-alarms details").first
    row.locator("summary").click()
    row.get_by_role("button", name="Was a fault").wait_for(state="detached")
    assert "was normal" in row.locator("article").inner_text()


def test_past_alarms_of_a_single_machine_and_of_one_that_was_taken_out(
    visit: Callable[..., Any], monitor: FakeMonitor
) -> None:
    """Also while no alarm is open."""
    fan = replace(monitor.snapshot.machines[0], status="normal", episodes=())
    monitor.snapshot = replace(monitor.snapshot, machines=(fan,))
    past = [e for e in monitor.history.all_episodes if e.cleared_at is not None]
    monitor.history.all_episodes = past
    page = visit()
    page.locator("#past-alarms details").first.wait_for()
    names = page.locator("#past-alarms .machine-name").all_inner_texts()
    assert names == ["Fan, hall 2", "pump", "Device"]


def test_nothing_past_is_said(visit: Callable[..., Any], monitor: FakeMonitor) -> None:
    monitor.snapshot = replace(monitor.snapshot, machines=monitor.snapshot.machines[2:])
    monitor.history.all_episodes = []
    page = visit()
    page.locator("#past-alarms").get_by_text("None so far.").wait_for()


def test_names_with_html_in_them_are_text(visit: Callable[..., Any], monitor: FakeMonitor) -> None:
    evil = "<img src=x onerror='document.title=1'><script>alert(1)</script>"
    alarm = episode(5, sentence=evil, raised_at=time.time())
    state = machine(name=evil, status="alarm", sentence=evil, episodes=(alarm,), bundle=str(BUNDLE))
    monitor.snapshot = replace(monitor.snapshot, node="shed", machines=(state,))
    monitor.history.all_episodes = [replace(alarm, cleared_at=time.time())]
    page = visit()
    page.locator("#past-alarms details").wait_for()
    assert page.locator("#now .name a").inner_text() == evil
    assert evil in page.locator("#now .sentence").inner_text()
    assert page.locator("img, main script").count() == 0
    assert page.title() == "(1) shed: asd-edge"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_everything_fits_and_has_contrast(
    visit: Callable[..., Any], scheme: str, width: int
) -> None:
    page = visit(width, scheme)
    page.locator("#past-alarms details").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_LOWEST_CONTRAST) >= 4.5
    small = page.evaluate(
        "[...document.querySelectorAll('button, select')].filter(b => b.offsetParent)"
        ".filter(b => b.getBoundingClientRect().height < 44).map(b => b.textContent)"
    )
    assert small == []


# Contrast of WCAG 2.2 between each text and the nearest background that is not transparent.
_LOWEST_CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parse(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0.5) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const ratios = [...document.querySelectorAll('body *')]
    .filter((e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .map((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
  return Math.min(...ratios);
}"""  # noqa: E501


def test_the_keyboard_reaches_every_button_and_shows_where_it_is(
    visit: Callable[..., Any],
) -> None:
    page = visit()
    page.locator("#past-alarms details").first.wait_for()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
        if reached >= {"Acknowledge", "Was normal", "Was a fault", "Shelve"}:
            break
    assert {"Acknowledge", "Was normal", "Was a fault", "Shelve"} <= reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_logging_in_and_out(visit: Callable[..., Any], tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(passwords.hash_password("correct horse"))
    page = visit(password_file=password_file)
    assert page.url.endswith("/login")
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    page.locator("#now li").first.wait_for()
    assert page.evaluate("document.cookie") == ""
    page.expected = ("status of 401",)  # what was asked for just before is refused
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Password").wait_for()


def test_a_device_that_does_not_answer_is_said(
    visit: Callable[..., Any], monitor: FakeMonitor
) -> None:
    page = visit()
    page.locator("#now li").first.wait_for()
    page.route("**/api/state", lambda route: route.fulfill(status=503, json={"error": "busy"}))
    page.expected = ("status of 503",)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_role("alert").get_by_text("No answer from the device").wait_for()


def test_pictures_for_the_documentation(
    visit: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """`make docs-pictures` keeps what this draws."""
    folder = Path(os.environ.get("ASD_EDGE_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, width, height in (("light", 1280, 1480), ("dark", 400, 1480)):
        page = visit(width, scheme)
        page.locator("#open-alarms .why .picture").wait_for(timeout=120_000)
        painted(page, page.locator("canvas.live").first)
        path = folder / f"page-{scheme}-{width}.png"
        area = {"x": 0, "y": 0, "width": width, "height": height}
        page.screenshot(path=path, full_page=True, clip=area)
        assert path.stat().st_size > 20_000

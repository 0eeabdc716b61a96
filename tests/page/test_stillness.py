"""Nothing jumps while a song is split."""

from __future__ import annotations

from tests.page.conftest import SPLIT_TWO, Page

WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { sources } of list.getEntries()) {
    for (const { node, previousRect: before, currentRect: after } of sources) {
      if (before.height && Math.abs(before.top - after.top) > 1) {
        window.shifts.push(`${node?.id || node?.className || node?.nodeName}: ${before.top} to ${after.top}`);
      }
    }
  }
}).observe({ type: "layout-shift" });
"""


def shifts(page: Page) -> list[str]:
    """Return what has moved up or down since WATCH_SHIFTS ran."""
    moved: list[str] = page.browser.execute_script("return window.shifts")
    return moved


def test_nothing_moves_up_or_down_on_a_phone_while_a_song_is_split(page: Page) -> None:
    """On a desk it is watched in test_senses.py: there is a split too."""
    metrics = {"width": 390, "height": 860, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.leave()
        page.browser.get(f"{page.service.url}/#/song/song-twin-1")
        page.wait(lambda: page.text("chosen").strip() and page.text("account").strip())
        page.browser.execute_script(WATCH_SHIFTS)
        page.press(SPLIT_TWO)
        page.find("button", "Play")
        page.wait(lambda: len(page.browser.find_elements("css selector", "#tracks .heard")) == 2)
        page.wait(lambda: not page.text("progress"))
        assert shifts(page) == []
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

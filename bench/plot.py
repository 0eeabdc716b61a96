"""Plot latency against load."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from bench.report import Cell, Results

COLOURS = {"straight": "#7f8c8d", "nginx": "#2980b9", "service": "#c0392b"}
LABELS = {"straight": "straight to Suno's stub", "nginx": "through nginx", "service": "through the service"}


def draw(results: Results, file: Path) -> None:
    """Draw one panel for each delay at Suno: p50 as a solid line, p99 as a dashed one."""
    delays = sorted({cell.delay for cell in results.runs})
    figure, panels = plt.subplots(1, len(delays), figsize=(5.5 * len(delays), 4.8), sharey=True, squeeze=False)
    for panel, delay in zip(panels[0], delays, strict=True):
        connections = sorted({cell.connections for cell in results.runs})
        for server, colour in COLOURS.items():
            for name, style in (("p50", "-"), ("p99", "--")):
                values = [results.middle(Cell(server, delay, count), name) for count in connections]
                label = LABELS[server] if name == "p50" else None
                panel.plot(connections, values, style, marker="o", ms=4, color=colour, label=label)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(connections, [str(count) for count in connections])
        panel.set_title(f"Suno takes {delay} ms" if delay else "Suno takes no time")
        panel.set_xlabel("connections")
        panel.grid(alpha=0.25, which="both")
        panel.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    panels[0][0].set_ylabel("latency in ms (solid: median, dashed: p99)")
    panels[0][0].legend(frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)

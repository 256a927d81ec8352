"""Pictures: fields beside one another with a line for each tool, longshore's the thickest."""

import contextlib
import importlib.util

import tools


def needed():
    """Ends the program where no picture could be drawn, before anything is measured."""
    if not importlib.util.find_spec("matplotlib"):
        raise SystemExit("missing: matplotlib, for --plots; docs/round-trips.md says what is needed")


@contextlib.contextmanager
def picture(file, rows, columns, size):
    """The fields of a picture, from left to right and top to bottom; what the first of them names stands
    in the last, or in the first where all are used. Written at the end, the same for the same figures."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "longshore"
    from matplotlib import pyplot
    file.parent.mkdir(parents=True, exist_ok=True)
    figure, fields = pyplot.subplots(rows, columns, figsize=size, squeeze=False)
    yield list(fields.flat)
    named = fields.flat[0].get_legend_handles_labels()
    empty = [it for it in fields.flat if not it.has_data()]
    for axes in empty:
        axes.axis("off")
    if empty:
        empty[-1].legend(*named, loc="center")
    else:
        fields.flat[0].legend(*named, fontsize="small")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def line(axes, name, points):
    """One tool's line; nothing for one without points. A program's colour is its own in every
    picture, and dashes are those of its lines that are as it comes."""
    color = f"C{list(tools.NEEDS).index(tools.program(name))}"
    if points:
        axes.plot(*zip(*points), marker="o", markersize=3, label=tools.label(name), color=color,
                  linestyle="--" if name != tools.program(name) else "-", linewidth=2.4 if name == "longshore" else 1)
    axes.grid(alpha=0.3)

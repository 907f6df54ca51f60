"""What notebooks show: HTML of everything that a cell can end with, with the numbers of the text."""

import html
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import mle
from tapegrad.mle.model.model import Model
from tapegrad.mle.plots import plot_coefficients, plot_convergence
from tapegrad.mle.tables import Table, Tabled
from tapegrad.stats import norm

AXES = "axes" if "axes" in inspect.signature(plot_coefficients).parameters else "ax"

RNG = np.random.default_rng(4)
DATA = dict(
    x=np.linspace(-1.0, 1.0, 12), y=1.0 + 0.5 * np.linspace(-1.0, 1.0, 12) + 0.3 * RNG.standard_normal(12)
)
GROUP = np.repeat(np.arange(4), 3)


def model(a, b, log_sigma, x, y):
    return norm.logpdf(y, a + b * x, np.exp(log_sigma))


def smaller(a, log_sigma, y):
    return norm.logpdf(y, a, np.exp(log_sigma))


def joint(a, log_sigma, u, y):
    return norm.logpdf(y, a + u[GROUP], 0.3).sum() + norm.logpdf(u, 0.0, np.exp(log_sigma)).sum()


def kept(a, log_sigma, u, y, keep):
    return (keep * norm.logpdf(y, a + u[GROUP], 0.3)).sum() + norm.logpdf(u, 0.0, np.exp(log_sigma)).sum()


def simulate(params, rng):
    mean = params["a"] + params["b"] * DATA["x"]
    return dict(y=mean + np.exp(params["log_sigma"]) * rng.standard_normal(mean.size))


@pytest.fixture(scope="module")
def shown():
    """Something of every kind that a public call returns."""
    start = dict(a=0.5, b=0.5, log_sigma=0.1)
    traced = tg.trace(lambda a, b: (-((DATA["y"] - a - b * DATA["x"]) ** 2)).sum(), dict(a=0.0, b=0.0))
    result = tg.fit(model, start, data=DATA)
    second = tg.fit(smaller, dict(a=0.0, log_sigma=0.0), data=dict(y=DATA["y"]))
    effects = dict(a=0.0, log_sigma=0.0, u=np.zeros(4))
    mixed = tg.fit(joint, effects, random="u", data=dict(y=DATA["y"]))
    of_groups = dict(y=DATA["y"], keep=np.ones(12))
    comparison = tg.compare(result, second)
    return {
        "traced": traced,
        "tape": traced.tape,
        "gradient": traced.grad_tape,
        "plan": traced.plan,
        "values": traced.values([0.5, 0.5]),
        "explain": traced.explain([0.5, 0.5]),
        "page": traced.show(),
        "laplace": tg.laplace(joint, effects, random="u", data=dict(y=DATA["y"])),
        "fit": result,
        "summary": result.summary(alpha=0.1),
        "labelled": result.labelled,
        "wald": result.wald_test("b = 0"),
        "one-sided": result.wald_test("a = b", alternative="greater"),
        "likelihood ratio": result.lr_test(second),
        "score": result.score_test(dict(b=0.4)),
        "vuong": mle.vuong_test(result, second),
        "delta": result.delta(lambda a, b, log_sigma: dict(ratio=a / b, sd=np.exp(log_sigma))),
        "predict": result.predict(lambda a, b, log_sigma, x: a + b * x, data=dict(x=DATA["x"])),
        "effects": result.effects(lambda a, b, log_sigma, x: a + b * x, dict(x=None), data=dict(x=DATA["x"])),
        "profile": result.profile("b"),
        "forecast": result.forecast(lambda **_: 0.0, lambda s, a, b, **_: (s + 1.0, a + b * s), 3),
        "limit": result.limit("b"),
        "impacts": result.impacts("a"),
        "bootstrap": mle.bootstrap(result, draws=10, seed=1),
        "jackknife": mle.jackknife(result),
        "cross-validation": mle.cross_validate(result, 3, seed=1),
        "coverage": result.coverage(simulate, 5, seed=1),
        "compare": comparison,
        "side by side": comparison.side_by_side(),
        "diagnose": result.diagnose(),
        "random": mixed.random,
        "mixed": mixed,
        "consistency": mle.check_consistency(result, simulate, 20, seed=1),
        "one step": tg.fit(kept, effects, random="u", data=of_groups).one_step_residuals("y"),
        "by formula": tg.glmm("y ~ x + (1 | g)", dict(x=DATA["x"], y=DATA["y"] + GROUP % 3, g=GROUP)),
        "accuracy": mixed.check_laplace((1, 3)),
        "accuracy, fitted again": mixed.check_laplace((1, 3), refit=True),
    }


def text_of(found):
    """What is read in HTML, without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", " ", found))


def numbers_in(text):
    return set(re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?(?![\w.]*\w)", text))


def test_html_has_the_numbers_of_the_text(shown):
    assert sum(len(numbers_in(str(one))) for one in shown.values()) > 100
    for name, one in shown.items():
        found = one._repr_html_()
        balanced = _Balance()
        balanced.feed(found)
        assert balanced.open == [], name
        if name != "page":
            assert numbers_in(str(one)) <= numbers_in(text_of(found)), name


class _Balance(HTMLParser):
    """The tags that are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def public_classes():
    """The classes that public modules and the methods of results name, errors apart."""
    named = [getattr(module, name) for module in (tg, mle) for name in module.__all__]
    methods = [getattr(kind, name) for kind in (tg.FitResult, tg.TracedFunction) for name in dir(kind)]
    for one in [*named, *methods]:
        if callable(one) and not isinstance(one, type) and hasattr(one, "__module__"):
            module = sys.modules.get(one.__module__)
            word = inspect.get_annotations(one).get("return") if inspect.isfunction(one) else None
            named.append(getattr(module, word, None) if isinstance(word, str) else word)
    named += Tabled.__subclasses__()
    kinds = {one for one in named if isinstance(one, type) and one.__module__.startswith("tapegrad")}
    kinds -= {mle.Iteration, Model}  # which a callback gets, and which analyses work with
    return sorted((kind for kind in kinds if not issubclass(kind, Exception)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_whatever_a_public_call_returns_is_shown(shown, kind):
    assert hasattr(kind, "_repr_html_")
    assert any(isinstance(one, kind) for one in shown.values())


def test_results_are_tables_for_papers(shown):
    for one in shown.values():
        if isinstance(one, Tabled):
            table = one.table()
            assert one.as_latex() == table.as_latex()
            assert one.as_markdown() == table.as_markdown()
            assert one.as_html() == table.as_html()
            assert table.as_latex().count("&") == (len(table.header) - 1) * (len(table.rows) + 1)


def test_names_are_no_tags():
    name = "<b>&"
    result = tg.fit(lambda **params: -((params[name] - 1.0) ** 2), {name: 0.0})
    for one in (
        result,
        result.labelled,
        result.delta(lambda **params: params[name] ** 2, ["<i>"]),
        result.diagnose(),
    ):
        assert "<b>&" not in one._repr_html_()
        assert "<i>" not in one._repr_html_()
    traced = tg.trace(lambda **params: -((params[name] - 1.0) ** 2), {name: 0.0})
    for one in (traced, traced.values({name: 0.0}), traced.explain({name: np.nan}), traced.plan):
        assert "<b>&" not in one._repr_html_()


def test_long_tables_are_cut():
    rows = tuple((f"r{i}", str(i)) for i in range(1000))
    shown = text_of(Table(("", "n"), rows)._repr_html_())
    assert "... 940 more ..." in shown
    assert re.findall(r"r\d+", shown) == [f"r{i}" for i in (*range(50), *range(990, 1000))]
    assert text_of(Table(("", "n"), rows[:60])._repr_html_()).count("r") == 60


def test_long_listings_are_cut():
    def many(a):
        total = 0.0
        for i in range(300):
            total = total + a * i
        return total

    traced = tg.trace(many, dict(a=1.0))
    assert traced._repr_html_().count("<tr>") == 201
    assert traced.values([1.0])._repr_html_().count("<tr>") == 202
    assert "more lines" in traced._repr_html_()


# Pictures ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    found = pytest.importorskip("matplotlib.pyplot")
    found.switch_backend("agg")
    found.close("all")
    yield found
    found.close("all")


def test_pictures_are_those_of_pyplot(pyplot, shown):
    """So that a notebook shows them at the end of a cell, and `show` does elsewhere."""
    axes = plot_coefficients(shown["fit"])
    assert pyplot.gcf() is axes.figure
    assert pyplot.get_fignums() == [axes.figure.number]


def test_pictures_stand_in_given_axes(pyplot, shown):
    _, (left, right) = pyplot.subplots(1, 2)
    assert plot_coefficients(shown["fit"], **{AXES: left}) is left
    assert plot_convergence(shown["fit"], **{AXES: right}) is right
    assert len(pyplot.get_fignums()) == 1


KERNEL = """
import sys
from IPython.core.interactiveshell import InteractiveShell


class Shell(InteractiveShell):
    def enable_gui(self, gui=None):
        pass


shown = []
shell = Shell.instance()
shell.display_pub.publish = lambda data, *args, **options: shown.append(data)
shell.run_line_magic("matplotlib", "inline")
shell.run_cell("import tapegrad as tg; from tapegrad.mle.plots import plot_coefficients")
shell.run_cell("plot_coefficients(tg.fit(lambda a: -(a - 2.0) ** 2, dict(a=0.0)))")
sys.exit(not any("image/png" in data for data in shown))
"""


def test_a_kernel_shows_the_picture(tmp_path):
    """A cell is run as a notebook runs it, with the inline backend."""
    pytest.importorskip("IPython")
    pytest.importorskip("matplotlib_inline")
    path = tmp_path / "kernel.py"
    path.write_text(KERNEL)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Tapes in a browser: what a page holds, that nothing in it is run but its own script, and how it behaves."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.function import showing
from tapegrad.ops.registry import OPS
from tapegrad.tape.entries import Entries
from tapegrad.tape.iterations import iterations
from tapegrad.tape.line import Source
from tapegrad.tape.showing import numbers, sheet
from tapegrad.tape.tape import SCALAR
from tapegrad.viewer.sources import source

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
X = np.array([4.2, 5.9, 3.1, 6.4, 5.2, 7.3])


def loglik(mu, log_sigma):
    sigma = np.exp(log_sigma)
    z = (X - mu) / sigma
    if sigma < 0.01:
        return -np.inf
    return (-0.5 * z**2).sum() - X.size * log_sigma


def garch(w, a, b):
    h, total = 1.0, 0.0
    for x in X:
        h = w + a * x**2 + b * h
        total = total - 0.5 * (np.log(h) + x**2 / h)
    return total


def rooted(mu, sd):
    root = np.sqrt(sd - 3.0)
    return -((X - mu) ** 2).sum() * root


def scanned(a):
    def step(state, x):
        new = a * np.tanh(state) + x
        return new, new**2

    return tg.scan(step, 0.0, X)[1].sum()


class _Scripts(HTMLParser):
    """The scripts of a page, and whatever in it could load something."""

    def __init__(self, html):
        super().__init__()
        self.scripts, self.loads, self.inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "script":
            self.scripts.append("")
        self.inside = tag == "script"
        found = dict(attrs)
        self.loads += [value for name, value in found.items() if name in ("src", "href", "srcset", "action")]
        self.loads += [tag] if tag in ("iframe", "object", "embed", "link", "base") else []
        assert not [name for name in found if name.startswith("on")]

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def content_of(page):
    scripts = _Scripts(page.html)
    assert len(scripts.scripts) == 2
    assert scripts.loads == []
    return json.loads(scripts.scripts[0])


# What it holds ----------------------------------------------------------------------------------------------


def test_a_sheet_has_the_words_of_the_listing():
    tape = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).tape
    found = sheet(tape, "Tape")
    names = {slot: name for slot, name, _ in found["leaves"]}
    text = str(tape)
    for i, slots in enumerate(found["inputs"]):
        call = ", ".join(names.get(slot, f"%{slot}") for slot in slots) + found["attrs"].get(i, "")
        line = f"[{i}]  {found['ops'][found['op'][i]]}  {call}  -> %{found['output'][i]}"
        shape = found["shapes"][found["shape"][found["output"][i]]]
        assert (
            line.split() + shape.split()
            == text.splitlines()[1:][i + (i > 3)].split()[: len((line + " " + shape).split())]
        )
    assert found["guards"][0][:2] == [7, "False"]
    assert found["header"] == text.splitlines()[0]


def test_numbers_are_those_of_values():
    traced = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0))
    theta = dict(mu=4.0, log_sigma=0.3)
    values = traced.values(theta)
    recorded = content_of(traced.show(theta))["sheets"][0]
    for slot in values:
        if np.ndim(slot.value) == 0 and slot.entry is not None and slot.entry.op.gives != np.bool_:
            text = recorded["value"]["more"].get(str(slot.slot), [recorded["value"]["text"][slot.slot]])[0]
            assert float(text) == slot.value
        if np.ndim(slot.adjoint) == 0 and slot.adjoint is not None:
            text = recorded["adjoint"]["more"].get(str(slot.slot), [recorded["adjoint"]["text"][slot.slot]])[
                0
            ]
            assert float(text) == slot.adjoint


@pytest.mark.parametrize(
    ("value", "text", "more"),
    [
        (0.1 + 0.2, "0.3", ["0.30000000000000004"]),
        (np.True_, "True", None),
        (
            np.array([1.0, np.nan, np.inf]),
            "[1, nan, ...]",
            ["1, nan, inf", "from 1 to 1, mean 1", "1 NaN, 1 infinite"],
        ),
        (
            np.array([1.7e308, 1.7e308]),
            "[1.7e+308, 1.7e+308]",
            ["1.7e+308, 1.7e+308", "from 1.7e+308 to 1.7e+308, mean inf"],
        ),
        (np.array([True, False, True]), "[True, False, ...]", ["True, False, True", "2 True, 1 False"]),
        (np.zeros((0, 3)), "[]", None),
    ],
)
def test_numbers_in_words(value, text, more):
    found = numbers([value, None])
    assert found["text"] == [text, None]
    assert found["more"].get(0) == more


def test_derived_tapes_the_plan_and_the_code_are_there():
    content = content_of(tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show(dict(mu=5.0, log_sigma=0.0)))
    assert [one["title"] for one in content["sheets"]] == ["Recorded", "Gradient", "Hessian", "Plan"]
    assert [one["title"] for one in content["texts"]] == ["NumPy code", "C code"]
    assert "np.exp(log_sigma)" in content["texts"][0]["text"]
    plan = content["sheets"][-1]
    stages = plan["stages"]
    assert [stage["from"] for stage in stages[1:]] == [stage["to"] for stage in stages[:-1]]
    assert stages[-1]["to"] == len(plan["op"])
    results = [float(plan["value"]["text"][slot]) for slot in plan["results"]]
    value, gradient = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).value_and_grad([5.0, 0.0])
    np.testing.assert_allclose(results, [value, gradient["mu"], gradient["log_sigma"]], rtol=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "c", "replay"])
def test_the_code_that_runs_is_told(backend):
    texts = content_of(tg.trace(loglik, dict(mu=5.0, log_sigma=0.0), backend=backend).show())["texts"]
    runs = [one["title"] for one in texts if one["note"].startswith("The code that runs")]
    assert runs == {"numpy": ["NumPy code"], "c": ["C code"], "replay": []}[backend]


def test_a_function_of_several_numbers_has_a_jacobian():
    content = content_of(
        tg.trace(lambda a, b: dict(r=a / b, s=b * b), dict(a=1.0, b=X)).show(dict(a=1.0, b=X))
    )
    assert [one["title"] for one in content["sheets"]] == ["Recorded", "Value", "Jacobian", "Plan"]
    assert "adjoint" not in content["sheets"][0]


def test_the_first_nan_is_found():
    traced = tg.trace(rooted, dict(mu=0.0, sd=4.0))
    finding = content_of(traced.show(dict(mu=0.0, sd=2.0)))["finding"]
    assert finding["bad"]
    assert traced.tape.entries.writer_of(finding["slot"]).op.name == "sqrt"
    assert finding["text"].startswith("the value of rooted is nan: it arises in sqrt")
    assert str(__file__).rsplit("/", 1)[0] not in finding["text"]
    assert not content_of(traced.show(dict(mu=0.0, sd=4.0)))["finding"]["bad"]


def test_long_tapes_come_without_derivatives(monkeypatch):
    monkeypatch.setattr(showing, "LONGEST", 5)
    content = content_of(tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show())
    assert [one["title"] for one in content["sheets"]] == ["Recorded"]
    assert "more than 5 entries" in content["notes"][0]


def test_data_in_pieces_have_no_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(-1.0, 1.0, 100_000))
    data = dict(x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    traced = tg.trace(lambda mu, x: (-0.5 * (x - mu) ** 2).sum(), dict(mu=0.0), data=data)
    assert traced.is_in_pieces
    assert content_of(traced.show())["sheets"][0]["ops"]
    for ask in (traced.show, traced.values):
        with pytest.raises(ValueError, match="needs whole arrays, and its data are in pieces"):
            ask(dict(mu=0.0))


def test_a_scan_has_its_step():
    recorded = content_of(tg.trace(scanned, dict(a=0.5)).show())["sheets"][0]
    ((i, body),) = recorded["bodies"].items()
    assert recorded["ops"][recorded["op"][int(i)]] == "scan"
    assert [leaf[2] for leaf in body["leaves"]][:3] == ["carried", "fixed", "of a step"]
    assert "tanh" in body["ops"]


# Loops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "lines", "loops"),
    [
        ("abcd" * 5, [1, 2, 3, 4] * 5, [(0, 4, 5)]),
        (
            "x" + "cdab" * 5 + "cdy",
            [0] + [3, 4, 1, 2] * 5 + [3, 4, 9],
            [(3, 4, 5)],
        ),  # begins at the jump back
        (
            ("a" + "bc" * 6) * 4,
            ([1] + [2, 3] * 6) * 4,
            [(0, 13, 4), (1, 2, 6), (14, 2, 6), (27, 2, 6), (40, 2, 6)],
        ),
        ("abcdefghijklmnop", range(16), []),
        ("aaa", [1, 1, 1], []),  # a sum of some terms
        ("", [], []),
    ],
)
def test_loops_are_found(keys, lines, loops):
    assert iterations(keys, lines) == loops


def test_loops_lie_within_each_other():
    rng = np.random.default_rng(3)
    for _ in range(100):
        keys = rng.integers(3, size=200).tolist()
        found = iterations(keys, keys)
        for start, size, turns in found:
            assert start >= 0
            assert start + size * turns <= len(keys)
            for t in range(1, turns):
                assert keys[start : start + size] == keys[start + t * size : start + (t + 1) * size]
        spans = [(start, start + size * turns) for start, size, turns in found]
        assert all(b <= c or (a <= c and d <= b) for (a, b), (c, d) in pairwise(spans))


def test_a_loop_of_a_tape():
    recorded = content_of(tg.trace(garch, dict(w=0.1, a=0.1, b=0.8)).show())["sheets"][0]
    (start, size, turns), *_ = recorded["loops"]
    assert turns in (5, 6)
    assert {recorded["places"][place][1] for place in recorded["line"][start : start + size]} == {
        garch.__code__.co_firstlineno + 3,
        garch.__code__.co_firstlineno + 4,
    }


# The code ---------------------------------------------------------------------------------------------------


def test_code_is_shown_by_whole_functions(tmp_path):
    path = tmp_path / "model.py"
    head = "import numpy\n\n\n@numpy.vectorize\ndef f(x):\n"
    text = head + "    '''Two\n    lines.'''\n    return x + 1  # one\n\n\ny = 2\n"
    path.write_text(text)
    found = source(str(path), [8])
    assert found["name"] == "model.py"
    assert [no for no, _ in found["lines"]] == [4, 5, 6, 7, 8]
    lines = text.splitlines()
    assert ["".join(words for _, words in pieces) for _, pieces in found["lines"]] == lines[3:8]
    assert ("comment", "# one") in found["lines"][-1][1]
    assert ("string", "    lines.'''") in found["lines"][3][1]
    assert [no for no, _ in source(str(path), [1, 11])["lines"]] == [1, 2, 3, 0, 9, 10, 11]


@pytest.mark.parametrize(
    "text", ["def f(:\n    return '\n", "x = '''\n\n", "\0\n", "if 1:\n  a\n b\n", "\tx\n"]
)
def test_code_that_python_cannot_read_is_shown_as_it_is(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    for no, pieces in source(str(path), [1])["lines"]:
        assert "".join(words for _, words in pieces) == text.splitlines()[no - 1]


def test_a_stored_tape_shows_its_lines_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def f(x):\n    secret = 1\n    return x\n")
    assert [no for no, _ in source("mine.py", [3])["lines"]] == [3]
    assert source("gone.py", [3, 9])["lines"] == [(3, []), (0, []), (9, [])]


# What a stranger may have written ---------------------------------------------------------------------------

HOSTILE = (
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "{{content}}", "{{script}}", '" onload="x',
    "\u2028", "&lt;b&gt;", "\ud800", "<img src=x onerror=alert(1)>", "__proto__", "constructor",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_tape_becomes_a_tag(text, tmp_path):
    tape = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).tape
    labels = tuple((slot, f"{text}{slot}") for slot, _ in tape.labels)
    page = dataclasses.replace(tape, name=text, labels=labels).show(tmp_path / "tape.html")
    content = content_of(page)
    assert content["name"] == text
    assert [leaf[1] for leaf in content["sheets"][0]["leaves"]][:2] == [f"{text}0", f"{text}1"]
    assert (tmp_path / "tape.html").read_text(encoding="utf-8") == page.html
    shown = page._repr_html_()
    assert shown.count("<iframe") == 1
    assert shown.count("<") == 2


def test_what_a_browser_may_run():
    page = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).tape.show()
    script = _Scripts(page.html).scripts[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'content="(default-src[^"]+)"', page.html)[1]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert "innerHTML" not in script
    assert "http" not in page.html.replace('http-equiv="Content-Security-Policy"', "")


def test_a_page_says_what_it_is(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show(path=tmp_path / "a.html")
    assert re.fullmatch(r'<page of loglik, \d+ kB: .open\(\) .*, .write\("page.html"\) keeps it>', repr(page))
    page.open()
    assert opened[0].startswith("file:///")
    assert opened[0].endswith(".html")


# In a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no browser")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def look(browser, tmp_path):
    """Opens a page, and in the end says whether anything went wrong or was asked of the network."""
    errors, pages = [], []

    def opened(page, width=1280, **options):
        path = tmp_path / f"{len(pages)}.html"
        page.write(path)
        tab = browser.new_page(viewport={"width": width, "height": 800}, **options)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on(
            "request", lambda request: None if request.url == path.as_uri() else errors.append(request.url)
        )
        tab.goto(path.as_uri())
        tab.wait_for_selector("#view .row")
        pages.append(tab)
        return tab

    yield opened
    for tab in pages:
        tab.close()
    assert not errors


def texts(tab, selector):
    return tab.locator(selector).all_inner_texts()


def test_code_and_entries_are_linked_both_ways(look):
    tab = look(tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show(dict(mu=5.0, log_sigma=0.0)))
    line = tab.locator(".code", has_text="z = (X - mu) / sigma")
    line.hover()
    assert [text.split()[1] for text in texts(tab, "#view .row.lit")] == ["sub", "div"]
    line.click()
    assert tab.locator("#view .row.chosen .op").inner_text() == "sub"
    line.click()
    assert tab.locator("#view .row.chosen .op").inner_text() == "div"
    tab.locator("#view .row", has_text="square").click()
    assert "return (-0.5" in tab.locator(".code.chosen").inner_text()
    assert [text.split()[1] for text in texts(tab, "#view .row.reads")] == ["div"]
    tab.locator("#details button", has_text="mul").click()
    assert tab.locator("#view .row.chosen .op").inner_text() == "mul"


def test_the_keyboard_is_enough(look):
    tab = look(tg.trace(garch, dict(w=0.1, a=0.1, b=0.8)).show(dict(w=0.1, a=0.1, b=0.8)))
    count = tab.locator("#view .row").count()
    tab.focus("#view")
    tab.keyboard.press("Home")
    while not tab.locator("#view .row.loop.chosen").count():
        tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#view .row.turn").count() >= 5
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#view .row").count() == count
    tab.keyboard.press("/")
    tab.keyboard.type("log")
    tab.keyboard.press("Enter")
    assert tab.locator("#found").inner_text() == "1 of 6"
    assert tab.locator("#view .row.chosen .op").inner_text() == "log"
    tab.focus("#tabs [aria-selected=true]")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#tabs [aria-selected=true]").inner_text() == "Gradient"


def test_to_operands_and_back(look):
    tab = look(tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show())
    tab.focus("#view")
    tab.keyboard.press("End")
    for op in ("sum", "mul", "square", "div", "sub"):
        tab.keyboard.press("Enter")
        assert tab.locator("#view .row.chosen .op").inner_text() == op
    tab.keyboard.press("Backspace")
    assert tab.locator("#view .row.chosen .op").inner_text() == "div"
    tab.keyboard.press("Escape")
    assert tab.locator("#view .row.chosen").count() == 0


def test_the_cause_of_nan_is_marked(look):
    tab = look(tg.trace(rooted, dict(mu=0.0, sd=4.0)).show(dict(mu=0.0, sd=2.0)))
    assert "np.sqrt" in tab.locator(".code.bad").inner_text()
    tab.click("#cause")
    assert tab.locator("#view .row.chosen.bad .op").inner_text().endswith("sqrt")
    assert "nan" in texts(tab, ".nonfinite")


def test_every_tab_shows_something(look):
    tab = look(tg.trace(scanned, dict(a=0.5)).show(dict(a=0.5)))
    for title in texts(tab, "#tabs button"):
        tab.locator("#tabs button", has_text=title).click()
        assert tab.locator("#view .row").count() > 3
    assert "np.tanh" in tab.locator("#view").inner_text()  # the code begins where the user's lines do
    tab.locator("#tabs button", has_text="Recorded").click()
    tab.locator("#view .twist").first.click()
    assert "tanh" in tab.locator("#view").inner_text()


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_clipped(look, width, scheme):
    tab = look(
        tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show(dict(mu=5.0, log_sigma=0.0)),
        width,
        color_scheme=scheme,
    )
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    parts = "#view .head span, #view .row span, #tabs button, .bar button, h1"
    clipped = "parts => parts.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert tab.locator(parts).count() > 50
    assert tab.locator(parts).evaluate_all(clipped) == []
    paper, ink = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (sum(map(int, re.findall(r"\d+", paper))) > sum(map(int, re.findall(r"\d+", ink)))) == (
        scheme == "light"
    )


@pytest.mark.parametrize("text", HOSTILE[:1] + HOSTILE[9:10])
def test_a_hostile_name_is_text(look, text):
    tape = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).tape
    labels = tuple((slot, f"{text}{slot}") for slot, _ in tape.labels)
    tab = look(dataclasses.replace(tape, name=text, labels=labels).show())
    assert tab.locator("h1").inner_text() == text
    assert f"{text}0" in tab.locator("#view").inner_text()


def test_a_notebook_displays_it(browser, tmp_path):
    page = tg.trace(loglik, dict(mu=5.0, log_sigma=0.0)).show()
    (tmp_path / "cell.html").write_text(f"<p>{page._repr_html_()}</p>", encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "cell.html").as_uri())
    frame = tab.frame_locator("iframe")
    frame.locator("#view .row").first.wait_for()
    assert frame.locator("h1").inner_text() == "loglik"
    tab.close()


def test_a_hundred_thousand_entries(look):
    count = 120_000
    ops = [OPS[name] for name in ("sin", "exp", "neg")]
    rows = ((ops[i % 3], (i,), i + 1, (), Source(__file__, 20 + i % 3)) for i in range(count))
    tape = tg.Tape("long", (SCALAR,) * (count + 1), (0,), (), (), Entries(rows), (count,))
    tab = look(tape.show())
    assert tab.locator("#view .row").count() < 10  # the loop is folded
    tab.click("#fold")
    assert tab.locator("#view .row").count() < 100
    tab.fill("#search", "[99000]")
    tab.press("#search", "Enter")
    assert tab.locator("#view .row.chosen .index").inner_text() == "99000"
    assert tab.locator("#view .row").count() < 100
    assert int(tab.get_attribute("#view", "aria-rowcount")) > 100_000

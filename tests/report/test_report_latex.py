"""The report as LaTeX: a document whose texts are text, whatever they hold."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import build
from harness.report.latex import escaped
from harness.report.markdown import one_line

PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textquotesingle{}": "'",
    r"\textasciigrave{}": "`",
    r"\textsurd{}": "√",
    r"\ensuremath{\infty}": "∞",
    "{-}": "-",
    "{,}": ",",
    "{[}": "[",
    "{*}": "*",
}
TOKEN = re.compile("|".join([*map(re.escape, PRINTED), r"\\[{}$&#%_]", r"[^\\{}$&#%_~^<>|\"'`]"]), re.DOTALL)
ATTACK = r"\input{/etc/passwd} \end{document} $x_1^2$ 100 % & #1 {-- ~ [a] *b*} \\[3em] ^^5cinput <>|"


def printed(latex):
    """Return what LaTeX prints of a text in which nothing may be left that it acts on; all of it must be known."""
    assert "--" not in latex
    assert ",," not in latex
    found, place = [], 0
    while place < len(latex):
        token = TOKEN.match(latex, place)
        assert token, f"LaTeX acts on {latex[place:]!r}"
        found.append(PRINTED.get(token[0], token[0].removeprefix("\\")))
        place = token.end()
    return "".join(found)


@given(st.text() | st.text(alphabet="\\{}$&#%_~^<>|\"'`-,[]* a"))
def test_every_text_is_printed_as_it_is(text):
    assert printed(escaped(text)) == one_line(text)
    assert not escaped(text).startswith(("[", "*")), "after the end of a row it would be an option"


def test_the_report_is_a_document_with_booktabs(usual_run):
    text = build(usual_run, ["tex"])["report.tex"]
    assert text.startswith("\\documentclass{article}\n")
    assert text.endswith("\\end{document}\n")
    assert text.count("\\begin{") == text.count("\\end{")
    assert text.count("\\toprule") == text.count("\\bottomrule") == text.count("\\begin{longtable}") >= 12
    rows = re.findall(r"\\midrule\\endhead\n(.*?)\\bottomrule", text, re.DOTALL)
    heads = re.findall(r"\\toprule\n(.*?)\\midrule", text)
    for head, body in zip(heads, rows, strict=True):
        cells = head.count(" & ")
        assert all(line.count(" & ") == cells for line in body.splitlines())


def test_names_of_a_run_are_no_commands(make_run):
    text = build(make_run(trials=11, classes=[ATTACK, "other"], note=ATTACK), ["tex"])["report.tex"]
    body = text.split("\\begin{document}", 1)[1]
    commands = set(re.findall(r"\\([a-zA-Z]+)", body))
    ours = set(re.findall(r"\\([a-zA-Z]+)", build(make_run(trials=11), ["tex"])["report.tex"]))
    assert commands - ours <= {name.strip("\\{}") for name in PRINTED} | {"ensuremath", "infty"}
    assert "\\input" not in body
    assert body.count("\\end{document}") == 1
    assert escaped(ATTACK) in body


@pytest.mark.slow
def test_pdflatex_takes_it(make_run, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (tmp_path / "report.tex").write_text(build(make_run(trials=11, note=ATTACK), ["tex"])["report.tex"])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]

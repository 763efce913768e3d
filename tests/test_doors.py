"""The doors agree: kernels, reference and the compiled module; documented examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import mlpeak
from mlpeak import _core, kernels, reference

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", kernels.__all__)
def test_reference_has_the_same_signature(name: str) -> None:
    ours = inspect.signature(getattr(kernels, name))
    theirs = inspect.signature(getattr(reference, name))
    assert list(ours.parameters) == list(theirs.parameters)
    for key, parameter in ours.parameters.items():
        assert parameter.default == theirs.parameters[key].default, key
        assert parameter.kind == theirs.parameters[key].kind, key


def test_both_backends_have_every_kernel_and_no_other() -> None:
    assert sorted(kernels.__all__) == sorted(reference.__all__)
    missing = [name for name in kernels.__all__ if not hasattr(_core, name)]
    assert not missing


@pytest.mark.parametrize("name", kernels.__all__)
def test_compiled_function_takes_the_same_arguments(name: str) -> None:
    text = getattr(_core, name).__doc__.splitlines()[0]
    assert text.startswith(name + "("), text
    compiled = re.findall(r"(?:^|\(|, )\*?(\w+)(?=:)", text[len(name) :])
    assert compiled == list(inspect.signature(getattr(kernels, name)).parameters)


@pytest.mark.parametrize("name", [n for n in kernels.__all__ if n.endswith("_backward")])
def test_every_backward_has_its_forward(name: str) -> None:
    assert name.removesuffix("_backward").removesuffix("_forward") in kernels.__all__


@pytest.mark.parametrize("name", kernels.__all__)
def test_public_docstring_has_its_sections(name: str) -> None:
    text = inspect.getdoc(getattr(kernels, name)) or ""
    shared = "arameters are those of `" in " ".join(text.split())  # a backward's
    assert "Parameters\n----------" in text or (shared and name.endswith("_backward"))
    assert "Raises\n------" in text


def modules() -> list[str]:
    found = pkgutil.walk_packages(mlpeak.__path__, "mlpeak.")
    return [m.name for m in found if not m.name.endswith(("__main__", "_core"))]


#: Modules of the benchmark that stand for a library which no extra installs.
PEERS = {
    "mlpeak.bench.training.with_jax": "jax",
    "mlpeak.bench.training.with_torch": "torch",
    "mlpeak.bench.training.with_torch_compile": "torch",
}


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name: str) -> None:
    if name in PEERS:
        pytest.importorskip(PEERS[name])
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert result.failed == 0, f"{test.name}: {result.failed} of {result.attempted}"


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not README.exists(), reason="needs the repository, not only the package")
@pytest.mark.parametrize("index", range(4))
def test_examples_in_the_readme_run(index: int, capsys: pytest.CaptureFixture[str]) -> None:
    source = blocks(README)[index]
    exec(compile(source, f"README.md, example {index}", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out.split()
    if printed[0] == "loss":
        assert float(printed[1]) < 0.3
    else:
        assert printed == ["True"]


@pytest.mark.skipif(not README.exists(), reason="needs the repository, not only the package")
def test_every_example_in_the_readme_is_tested() -> None:
    assert len(blocks(README)) == 4

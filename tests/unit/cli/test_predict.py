import json

import pytest

from ecoserve.cli.app import run

HEADER = "model,gpu,gpus,tensor_parallel,precision,input_tokens,output_tokens,batch"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
KEYS = [
    "prefillSeconds", "tpotSeconds", "outputTokensPerSecond", "powerWatts", "joulesPerOutputToken", "source",
    "expectedError",
]  # fmt: skip


def one(*options: str) -> list[str]:
    return ["predict", "--model", LLAMA, "--input", "220", "--output-tokens", "400", *options]


@pytest.fixture
def predicted(tmp_path, capsys):
    def predict(*rows: str, header: str = HEADER) -> list[dict]:
        path = tmp_path / "points.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        assert run(["predict", "--points", str(path), "--output", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return predict


def test_one_point_as_json(capsys):
    assert run(one("--gpu", "h100-sxm", "--batch", "32", "--output", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == KEYS
    assert document["source"] == "modelled"
    assert 0 < document["expectedError"] < 1
    watts = document["joulesPerOutputToken"] * document["outputTokensPerSecond"]
    assert document["powerWatts"] == pytest.approx(watts)


def test_one_point_as_a_table(capsys):
    assert run(one("--cpu", "xeon-8480plus", "--precision", "int4")) == 0
    shown = capsys.readouterr().out
    assert "modelled" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_many_points_come_back_in_order_with_reasons(predicted):
    found = predicted(
        f"{LLAMA},h100-sxm,1,1,bf16,220,400,32",
        "no/model,h100-sxm,1,1,bf16,220,400,32",
        f"{LLAMA},h100-sxm,1,1,bf16,220,400,64",
        f"{LLAMA},xeon-8480plus,2,1,int4,128,16,8",
    )
    assert [list(item) for item in found] == [KEYS, ["error"], KEYS, KEYS]
    assert found[2]["outputTokensPerSecond"] > found[0]["outputTokensPerSecond"]
    assert "no/model" in found[1]["error"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{LLAMA},nogpu,1,1,bf16,220,400,32", "gpu: 'nogpu'"),
        (f"{LLAMA},h100-sxm,1,1,bf15,220,400,32", "precision"),
        (f"{LLAMA},a100-80-sxm,1,1,fp8,220,400,32", "fp8"),
        (f"{LLAMA},h100-sxm,3,3,bf16,220,400,32", "heads"),
        (f"{LLAMA},h100-sxm,3,2,bf16,220,400,32", "multiple of tensor_parallel 2"),
        (f"{LLAMA},h100-sxm,1,2,bf16,220,400,32", "multiple of tensor_parallel 2"),
        (f"{LLAMA},h100-sxm,16,16,bf16,220,400,32", "at most 8"),
        ("meta-llama/Llama-3.1-70B-Instruct,l4,1,1,bf16,220,400,1", "don't fit"),
        (f"{LLAMA},h100-sxm,1,1,bf16,8000,1000,4000", "sequences of 8500 tokens"),
        (f"{LLAMA},h100-sxm,1,1,bf16,nan,400,32", "input_tokens: 'nan'"),
        (f"{LLAMA},h100-sxm,1,1,bf16,220,inf,32", "output_tokens"),
        (f"{LLAMA},h100-sxm,1,1,bf16,220,400,0", "batch"),
        (f"{LLAMA},h100-sxm,1,1,bf16,1e300,400,1", "input_tokens"),
        (f"{LLAMA},h100-sxm,1.5,1,bf16,220,400,1", "gpus: '1.5'"),
        (f"{LLAMA},h100-sxm,,1,bf16,220,400,1", "gpus: ''"),
        (f"{LLAMA},h100-sxm,1,1,bf16,220", "as many cells"),
        (f"{LLAMA},h100-sxm,1,1,bf16,220,400,1,9", "as many cells"),
    ],
)
def test_a_point_that_cannot_be_says_why(predicted, row, reason):
    (found,) = predicted(row)
    assert reason in found["error"]


def test_an_empty_file_of_points_is_an_empty_list(predicted):
    assert predicted() == []


def test_replicas_add_up(predicted):
    alone, two = predicted(f"{LLAMA},h100-sxm,1,1,bf16,220,400,32", f"{LLAMA},h100-sxm,2,1,bf16,220,400,64")
    assert two["outputTokensPerSecond"] == pytest.approx(2 * alone["outputTokensPerSecond"])
    assert two["powerWatts"] == pytest.approx(2 * alone["powerWatts"])
    assert two["tpotSeconds"] == alone["tpotSeconds"]


def test_a_replica_without_a_sequence_idles(predicted):
    alone, two = predicted(f"{LLAMA},h100-sxm,1,1,bf16,220,400,1", f"{LLAMA},h100-sxm,2,1,bf16,220,400,1")
    assert two["outputTokensPerSecond"] == alone["outputTokensPerSecond"]
    assert two["powerWatts"] == pytest.approx(alone["powerWatts"] + 75 + 38)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (one(), "--gpu, --cpu"),
        (one("--gpu", "h100-sxm", "--cpu", "xeon-6980p"), "--gpu, --cpu"),
        (one("--gpu", "h100"), "h100-sxm"),
        (one("--gpu", "h100-sxm", "--batch", "nan"), "batch"),
        (["predict", "--gpu", "h100-sxm", "--input", "1", "--output-tokens", "1"], "--model"),
        (["predict", "--points", "/nowhere.csv"], "--points"),
        ([*one("--gpu", "h100-sxm"), "--points", "points.csv"], "--points"),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, named):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("content", ["", "model,gpu\n", "\xff\xfe"])
def test_a_bad_file_of_points_is_refused(tmp_path, capsys, content):
    path = tmp_path / "points.csv"
    path.write_bytes(content.encode("latin-1"))
    assert run(["predict", "--points", str(path), "--output", "json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--points" in captured.err

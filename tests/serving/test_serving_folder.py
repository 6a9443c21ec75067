"""The folder for TF Serving: whole and checked or not there at all, and configuration that TF Serving can read."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from animegan_tf.errors import ConfigError, ExportError, MissingExtraError, StyleError
from animegan_tf.export import serving
from animegan_tf.export.serving import WARM_UP_FILE, add_model, models_config, read_warm_up
from animegan_tf.manifest import digest, read_manifest, verify_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    """Returns the module tools/make_serving.py."""
    spec = importlib.util.spec_from_file_location("make_serving", ROOT / "tools/make_serving.py")
    module = sys.modules["make_serving"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_is_the_saved_model_of_the_style_and_its_warm_up(serving_dir, styles):
    folder = serving_dir / "models/scenes/1"
    assert (folder / "saved_model.pb").read_bytes() == (styles / "scenes/saved_model/saved_model.pb").read_bytes()
    assert [path.name for path in (serving_dir / "models/scenes").iterdir()] == ["1"]  # nothing temporary stays
    file = read_manifest(styles / "scenes").find("saved_model")
    assert verify_file(styles / "scenes", file)
    copy = [path for path in folder.rglob("*") if path.is_file() and path.name != Path(WARM_UP_FILE).name]
    assert len(copy) == sum(path.is_file() for path in (styles / "scenes/saved_model").rglob("*"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"serving_default": {"image"}, "serve_bytes": {"image_bytes"}}),
        ("scenes", {"serving_default": {"image", "label"}, "serve_bytes": {"image_bytes", "label"}}),
        (
            "painter",
            {
                "serving_default": {"image", "code", "noise"},
                "serve_bytes": {"image_bytes", "code", "noise"},
                "encode_style": {"image"},
            },
        ),
    ],
)
def test_warm_up_requests_name_every_signature_and_input(serving_dir, name, expected):
    import tensorflow as tf

    requests = list(read_warm_up(serving_dir / "models" / name / "1"))
    assert {r.model_spec.signature_name: set(r.inputs) for r in requests} == expected
    assert {r.model_spec.name for r in requests} == {name}
    values = {key: tf.make_ndarray(tensor) for key, tensor in requests[0].inputs.items()}
    assert values["image"].shape == (1, 256, 256, 3) and values["image"].dtype == np.uint8
    if name == "scenes":
        np.testing.assert_array_equal(values["label"], [[1, 0, 0]])
    if name == "painter":
        assert (values["noise"] == 0).all() and values["code"].shape == (1, 5)


def test_warm_up_requests_are_answered_by_a_server(core, serving_dir):
    for request in read_warm_up(serving_dir / "models/painter/1"):
        assert core.predict(request).outputs


def test_versions_count_up_and_are_never_replaced(styles, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    (tmp_path / "models/shop/9").mkdir(parents=True)
    (tmp_path / "models/shop/10-old").mkdir()
    assert add_model(styles / "plain", tmp_path / "models", "shop") == tmp_path / "models/shop/10"
    with pytest.raises(ConfigError, match=r"models/shop/9 exists, and a version is never replaced"):
        add_model(styles / "plain", tmp_path / "models", "shop", 9)


def test_a_style_that_cannot_be_served_leaves_nothing_behind(styles, tiny_style, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    models = tmp_path / "models"
    # A SavedModel without serve_bytes.
    with pytest.raises(ExportError, match=r"does not answer as one to serve \('serve_bytes'\): export it again\.$"):
        add_model(tiny_style, models)
    style = tmp_path / "style"
    shutil.copytree(styles / "plain", style)
    with open(style / "saved_model/saved_model.pb", "ab") as file:
        file.write(b"\0")
    with pytest.raises(StyleError, match="is damaged or was changed"):
        add_model(style, models)
    shutil.rmtree(style / "saved_model")
    with pytest.raises(StyleError, match="is missing"):
        add_model(style, models)
    text = (style / "manifest.json").read_text().replace('"format": "saved_model"', '"format": "onnx"')
    (style / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match="has no SavedModel: export it with --formats=saved_model"):
        add_model(style, models)
    for name in ("a b", "..", ".", "-x", ".plain"):
        with pytest.raises(ConfigError, match=rf"'{re.escape(name)}' cannot be the name of a model"):
            add_model(styles / "plain", models, name)
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"animegan-tf\[serving\]"):
        add_model(styles / "plain", models)
    assert not models.exists() or not list(models.iterdir())


def test_models_config_lists_what_has_a_version(serving_dir):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    (serving_dir / "models/empty").mkdir(exist_ok=True)
    text = models_config(serving_dir / "models", "/serving/models/")
    found = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert [(c.name, c.base_path, c.model_platform) for c in found] == [
        (name, f"/serving/models/{name}", "tensorflow") for name in ("painter", "plain", "scenes")
    ]


def test_the_tool_leaves_a_folder_that_the_compose_file_runs(tool, styles, tmp_path, capsys):
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    out = tmp_path / "out"
    tool.main(tool.MakeServingOptions(styles=(str(styles / "plain"),), out=str(out)))
    (out / "monitoring.config").write_text("# changed by its user\n")
    tool.main(tool.MakeServingOptions(styles=(str(styles / "scenes"),), out=str(out), name="shop"))
    assert capsys.readouterr().out.split() == [str(out / "models/plain/1"), str(out / "models/shop/1")]
    names = {path.name for path in out.iterdir()}
    assert names == {"models", "models.config", "docker-compose.yml", "batching_parameters.txt", "monitoring.config"}
    assert (out / "models.config").read_text().count("base_path") == 2  # the first model is still served
    assert (out / "monitoring.config").read_text() == "# changed by its user\n"
    assert digest(out / "docker-compose.yml") == digest(ROOT / "serving/docker-compose.yml")


def test_the_tool_checks_all_styles_before_it_adds_one(tool, styles, tmp_path):
    def make(*names, **options):
        tool.main(tool.MakeServingOptions(styles=tuple(map(str, names)), out=str(tmp_path / "out"), **options))

    for name in ("changed", "none", "old"):
        shutil.copytree(styles / "plain", tmp_path / name)
    with open(tmp_path / "changed/saved_model/saved_model.pb", "ab") as file:
        file.write(b"\0")
    text = (tmp_path / "none/manifest.json").read_text()
    (tmp_path / "none/manifest.json").write_text(text.replace('"format": "saved_model"', '"format": "onnx"'))
    with pytest.raises(StyleError, match="is damaged or was changed"):
        make(styles / "scenes", tmp_path / "changed")
    with pytest.raises(ConfigError, match="has no SavedModel"):
        make(styles / "scenes", tmp_path / "none")
    with pytest.raises(ConfigError, match="--version is for styles of different names"):
        make(styles / "plain", tmp_path / "old", version=5)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out/models/plain/5").mkdir(parents=True)
    with pytest.raises(ConfigError, match="models/plain/5 exists"):
        make(styles / "scenes", styles / "plain", version=5)
    assert [path.name for path in (tmp_path / "out/models").iterdir()] == ["plain"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "--styles and --out are needed."),
        ({"styles": ("a", "b"), "out": "x", "name": "y"}, "--name is for one style."),
        ({"styles": ("a",), "out": "x", "base_path": "models"}, "--base_path=models must be an absolute path."),
        ({"styles": ("a",), "out": "x", "base_path": '/a"b'}, "must be an absolute path."),
    ],
)
def test_wrong_options(tool, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        tool.MakeServingOptions(**options)


def test_the_configuration_that_ships_is_what_the_tool_writes_for_hokusai(tmp_path):
    (tmp_path / "hokusai/1").mkdir(parents=True)
    assert (ROOT / "serving/models.config").read_text() == models_config(tmp_path, "/serving/models")


def _message(name: str, fields: dict[str, tuple[int, str]], imports: tuple[str, ...] = ()):
    """Returns an empty message with the fields of TF Serving's own, which tensorflow-serving-api leaves out."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2  # noqa: F401

    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="test", syntax="proto3", dependency=imports)
    message = file.message_type.add(name=name)
    for number, (field, (kind, type_name)) in enumerate(fields.items(), 1):
        message.field.add(name=field, number=number, type=kind, type_name=type_name, label=1)
    if name == "MonitoringConfig":
        inner = file.message_type.add(name="PrometheusConfig")
        inner.field.add(name="enable", number=1, type=8, label=1)
        inner.field.add(name="path", number=2, type=9, label=1)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))()


def test_batching_and_monitoring_can_be_parsed():
    from google.protobuf import text_format

    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    fields = {name: (11, ".google.protobuf.Int64Value") for name in names}
    batching = _message("BatchingParameters", fields, ("google/protobuf/wrappers.proto",))
    text_format.Parse((ROOT / "serving/batching_parameters.txt").read_text(), batching)
    assert [getattr(batching, name).value for name in names] == [8, 2000, 64, 2]
    monitoring = _message("MonitoringConfig", {"prometheus_config": (11, ".test.PrometheusConfig")})
    text_format.Parse((ROOT / "serving/monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_every_file_that_the_compose_file_names_is_there():
    text = (ROOT / "serving/docker-compose.yml").read_text()
    named = {word.split("/serving/")[1] for word in text.split() if "=/serving/" in word}
    assert named == {"models.config", "monitoring.config", "batching_parameters.txt"}
    assert all((ROOT / "serving" / name).is_file() for name in named)
    assert '"127.0.0.1:8501:8501"' in text and '"8501:8501"' not in text

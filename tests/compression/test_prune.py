"""Pruning: what a channel counts by hand, what leaves no trace, the sizes, the run that goes on, the program."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from animegan_tf import images
from animegan_tf.compression.distill import DistillConfig
from animegan_tf.compression.prune import (
    IMPORTANCE,
    Responses,
    choose,
    copy_kept,
    count_macs,
    measure_responses,
    parameters_of,
)
from animegan_tf.compression.pruned_run import PruneOptions, prune_run
from animegan_tf.config import TrainConfig
from animegan_tf.errors import CheckpointError, ConfigError, DataError
from animegan_tf.evaluation.cost import count_tflite
from animegan_tf.export.run import ExportOptions, export_run
from animegan_tf.models import build_generator
from animegan_tf.models.layers import chain
from animegan_tf.models.mobile import InvertedResidual
from animegan_tf.options import parse_flags
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.checkpoints import read_newest
from animegan_tf.training.run import train
from animegan_tf.training.run_folder import write_recipe

TOOL = Path(__file__).parents[2] / "tools" / "prune.py"
# Of `fast` at width 8: a block of 24 channels, two of 48, one of 24, twice as many inside.
AROUND = (24, 48, 48, 24)


def _randomise(network, rng) -> None:
    """Gives every norm a scale and a shift, and the statistics of a random picture: every channel answers to photos."""
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    norms += [part[1] for block in network.blocks for part in (block.expand, block.depthwise, block.project)]
    for norm in norms:
        norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.uniform(0.5, 2, norm.beta.shape))
        norm.momentum, norm.renorm = 0.0, False
    network(rng.uniform(-1, 1, (1, 64, 64, 3)).astype("float32"), training=True)


@pytest.fixture
def make_generator(rng):
    """Returns a function name, settings -> built generator of width 8 with random norms."""

    def make(name="fast", **settings):
        generator = build_generator(name, 8, **settings)
        _randomise(generator, rng)
        return generator

    return make


@pytest.fixture
def photos(rng) -> list[np.ndarray]:
    """Returns two photos, one of which no multiple of 8."""
    return [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((32, 40, 3), (27, 32, 3))]


def _kill(block: InvertedResidual, channel: int, way: str) -> None:
    """Makes a channel constant or unheard: no scale after the depthwise filter, no such filter, or no row."""
    variable, place = {
        "scale": (block.depthwise[1].gamma, channel),
        "filter": (block.depthwise[0].kernel, (slice(None), slice(None), channel)),
        "row": (block.project[0].kernel, (0, 0, channel)),
    }[way]
    values = variable.numpy()
    values[place] = 0
    variable.assign(values)


def test_the_channels_inside_are_a_setting():
    plain, slim = build_generator("fast", 8), build_generator("fast", 8, expanded=(8, 24, 48, 16))
    fewer = np.multiply(AROUND, 2) - (8, 24, 48, 16)
    assert parameters_of(plain) - parameters_of(slim) == sum(fewer * (2 * np.array(AROUND) + 13))
    again = type(slim).from_config(slim.get_config())
    again.build((1, 64, 64, 3))
    assert [v.shape for v in again.variables] == [v.shape for v in slim.variables]
    assert [block.expanded for block in again.blocks] == [8, 24, 48, 16]
    assert len(build_generator("mobile", 8).blocks) == 6
    with pytest.raises(ConfigError, match="--expanded=8,16 has 2 numbers of channels, and this generator has 4"):
        build_generator("fast", 8, expanded=(8, 16))


def test_the_setting_is_read_from_flags():
    config = parse_flags(TrainConfig, ["--expanded=8,16"])
    assert config.network_settings["expanded"] == (8, 16)
    assert parse_flags(TrainConfig, ["--expanded="]).network_settings["expanded"] == ()
    for text, message in (("8,x", "must be numbers"), ("8,0", "must be 1 or more"), ("8.5", "must be whole numbers")):
        with pytest.raises(ConfigError, match=f"--expanded={text}.* {message}"):
            parse_flags(TrainConfig, [f"--expanded={text}"])


def test_responses_by_hand(make_generator, photos):
    generator = make_generator()
    inside = []
    for photo in photos:
        x = images.to_float(images.pad_to_multiple(photo, 8))[None]
        quarter = chain(keras.ops.space_to_depth(x, 2), [*generator.stem, *generator.to_quarter])
        block = generator.blocks[0]
        inside.append(np.asarray(chain(quarter, [*block.expand, *block.depthwise])).reshape(-1, 48))
    found = measure_responses(generator, photos)
    np.testing.assert_allclose(found[0].mean, np.concatenate(inside).mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0].deviation, np.concatenate(inside).std(0), rtol=1e-3, atol=1e-5)
    assert all(block.watch is None for block in generator.blocks)


def test_importance_by_hand():
    block = InvertedResidual(expanded=2)
    block.build((1, 8, 8, 1))
    ones = np.ones(2)
    block.expand[0].kernel.assign(np.reshape([2.0, 3.0], (1, 1, 1, 2)))
    block.depthwise[0].kernel.assign(np.ones((3, 3, 2, 1)) * [[2], [1]])
    block.project[0].kernel.assign(np.reshape([5.0, 1.0], (1, 1, 2, 1)))
    for norm, scale in ((block.expand[1], ones), (block.depthwise[1], [1, 4]), (block.project[1], [-3])):
        norm.gamma.assign(scale)
        norm.moving_variance.assign(np.ones(len(scale)) - norm.epsilon)
    answer = Responses(np.zeros(2), np.array([0.5, 4.0]))
    # Rows 5 and 1 times |-3|; columns 2 and 3; nine taps of 2, of 1 times 4.
    np.testing.assert_allclose(IMPORTANCE["response"](block, answer), [7.5, 12], rtol=1e-5)
    np.testing.assert_allclose(IMPORTANCE["weight"](block, answer), [2 * 6 * 15, 3 * 12 * 3], rtol=1e-5)


@pytest.mark.parametrize(("importance", "way"), [("response", "scale"), ("response", "filter"), ("weight", "row")])
def test_a_planted_weak_channel_goes_first(make_generator, photos, importance, way):
    generator = make_generator()
    _kill(generator.blocks[2], 17, way)
    responses = measure_responses(generator, photos)
    kept = choose(generator, responses, ratio=1e-6, importance=importance, multiple=1)
    assert [sorted(set(range(2 * a)) - set(k)) for a, k in zip(AROUND, kept, strict=True)] == [[], [], [17], []]


@pytest.mark.parametrize("name", ["fast", "mobile"])
def test_what_is_constant_goes_without_a_trace(make_generator, photos, name):
    generator = make_generator(name)
    planted = {}
    for number, block in enumerate(generator.blocks):
        planted[number] = {number, number + 5, number + 20}
        for channel, way in zip(sorted(planted[number]), ("scale", "filter", "row"), strict=True):
            _kill(block, channel, way)
    responses = measure_responses(generator, photos)
    kept = choose(generator, responses, threshold=1e-4, multiple=1)
    for number, (answer, keep) in enumerate(zip(responses, kept, strict=True)):
        assert set(range(len(answer.mean))) - set(keep) == planted[number]
    slim = build_generator(name, 8, expanded=[len(keep) for keep in kept])
    copy_kept(generator, slim, kept, responses)
    for photo in photos:
        x = images.to_float(images.pad_to_multiple(photo, 16))[None]
        before, after = (np.asarray(network(x, training=False)) for network in (generator, slim))
        assert np.ptp(before) > 0.5
        np.testing.assert_allclose(after, before, atol=1e-5)  # float32, behind blocks that reach tens
    assert parameters_of(slim) < parameters_of(generator)


def test_a_ratio_is_reached_with_whole_groups(make_generator, photos):
    generator = make_generator()
    responses = measure_responses(generator, photos)
    before = parameters_of(generator)
    for ratio, multiple in itertools.product((0.1, 0.4), (1, 8)):
        counts = [len(keep) for keep in choose(generator, responses, ratio=ratio, multiple=multiple)]
        gone = (np.multiply(AROUND, 2) - counts) * (2 * np.array(AROUND) + 13)
        assert ratio <= gone.sum() / before < ratio + multiple * (2 * 48 + 13) / before
        assert all(count % multiple == 0 and count for count in counts)
    slim = build_generator("fast", 8, expanded=counts)
    assert before - parameters_of(slim) == gone.sum()


def test_an_odd_number_becomes_a_multiple(make_generator, photos):
    generator = make_generator(expanded=(30,) * 4)
    kept = choose(generator, measure_responses(generator, photos), ratio=0.1, multiple=8)
    assert {len(keep) for keep in kept} <= {8, 16, 24, 30} and any(len(keep) < 30 for keep in kept)


def test_nothing_or_too_much(make_generator, photos):
    generator = make_generator()
    responses = measure_responses(generator, photos)
    most = sum((2 * a - 8) * (2 * a + 13) for a in AROUND) / parameters_of(generator)
    with pytest.raises(ConfigError, match=f"--ratio=0.9 leaves too little: at most {int(100 * most) / 100:g} can go"):
        choose(generator, responses, ratio=0.9)
    with pytest.raises(ConfigError, match="--threshold=1e-06 is below all channels: the weakest 8 of a block reach 0"):
        choose(generator, responses, threshold=1e-6)
    with pytest.raises(ConfigError, match="is below all channels: none may go"):
        choose(generator, responses, threshold=0.5, multiple=128)
    kept = choose(generator, responses, threshold=1.0)  # every channel but one per block is weaker than the whole
    assert [len(keep) for keep in kept] == [8] * 4


@pytest.fixture(scope="module")
def run_dir(picture_dirs, tmp_path_factory, eagerly) -> Path:
    """Returns the folder of a run of `fast` at width 8: one step of pre-training and one of style; read-only."""
    folder = tmp_path_factory.mktemp("prune") / "run"
    recipe = read_flagfile(list_recipes()["fast_style"])
    settings = {
        **{
            "image_size": 32,
            "batch_size": 2,
            "generator_width": 8,
            "discriminator_width": 4,
            "discriminator_crop": 0,
            "feature_crop": 0,
        },
        **{"content_layer": "block1_conv1", "gram_layers": ("block1_conv2",), "gram_layer_weights": ()},
        **{"vgg19_weights": "random"},
        **{"steps_per_epoch": 1, "epochs": 2, "pretrain_epochs": 1, "frozen_norm_epochs": 1, "sample_every": 0},
        # One of these terms has an opponent, one a memory: they may rise while the network learns.
        **{"adversarial_weight": 0.01, "gram_weight": 0.01},
    }
    photo_dir, style_dir = map(str, picture_dirs)
    with eagerly():
        train(replace(recipe, **settings, photo_dir=photo_dir, style_dir=style_dir, run_dir=str(folder)))
    return folder


@pytest.fixture(scope="module")
def pruned(run_dir, tmp_path_factory):
    """Returns (folder, Pruned) of the run at 40 % fewer parameters; read-only."""
    out = tmp_path_factory.mktemp("pruned") / "small"
    return out, prune_run(PruneOptions(run_dir=str(run_dir), out=str(out), ratio=0.4))


def test_the_run_folder_holds_what_trains_on(run_dir, pruned):
    out, result = pruned
    config = read_flagfile(out / "recipe.flags")
    assert tuple(map(int, config.expanded)) == result.after.channels
    schedule = (config.recipe, config.epochs, config.pretrain_epochs, config.frozen_norm_epochs)
    assert schedule == ("fast_style_pruned", 1, 0, 1)
    assert (config.generator_lr, config.discriminator_lr) == (6e-5, 3e-5)
    assert result.after.parameters <= 0.6 * result.before.parameters
    assert result.before.channels == tuple(2 * a for a in AROUND)
    generator = build_generator("fast", 8, **config.network_settings)
    generator.load_weights(out / "checkpoints/step-00000000/generator.weights.h5")
    assert parameters_of(generator) == result.after.parameters
    (_, old), (_, new) = read_newest(run_dir), read_newest(out)
    assert old.keys() == new.keys() and int(new["step"]) == 0
    for name, value in new.items():
        if name.startswith(("discriminator", "objective", "strength")):
            np.testing.assert_array_equal(value, old[name], err_msg=name)
        elif name.startswith("generator_optimizer"):
            assert not value.any()
    for place, variable in enumerate(generator.variables):
        for part in ("generator", "averaged"):
            np.testing.assert_array_equal(new[f"{part}/{place:03d}"], variable.numpy())
    text = (out / "recipe.flags").read_text()
    assert f"Pruned from {run_dir}/checkpoints/step-00000002." in text and "Again:" not in text


def test_one_step_of_further_training_lowers_the_loss(pruned, tmp_path, rng, eagerly):
    out = tmp_path / "small"
    shutil.copytree(pruned[0], out)
    photo, anime = rng.uniform(-1, 1, (2, 2, 32, 32, 3)).astype("float32")
    batch = {"photo": photo, "abstraction": photo, "anime": anime, "anime_gray": anime, "anime_smooth": anime}
    config = replace(read_flagfile(out / "recipe.flags"), resume=True, epochs=2, frozen_norm_epochs=2)
    losses = []
    for steps in (1, 2):
        with eagerly():
            outcome = train(replace(config, max_steps=steps), batches=lambda first: itertools.repeat(batch))
        losses.append(outcome.logs["loss/g/total"])
    assert outcome.step == 2 and losses[1] < losses[0], outcome.logs


def test_it_exports_with_parity_and_fewer_multiplications(pruned, tmp_path):
    out, result = pruned
    manifest = export_run(ExportOptions(run_dir=str(out), out=str(tmp_path / "style"), formats=("tflite",)))
    assert all(file.max_error < 1e-2 for file in manifest.files)
    assert manifest.system == "fast" and manifest.parameters < 0.62 * 1.1 * result.before.parameters
    # The file doubles maps by depthwise convolutions, which the network does without: half a percent.
    assert count_tflite(tmp_path / "style/model_float32.tflite", 256) == pytest.approx(result.after.macs, rel=0.01)
    fewer = np.subtract(result.before.channels, result.after.channels) * (2 * np.array(AROUND) + 9)
    places = (64**2, 32**2, 32**2, 64**2)
    assert result.before.macs - result.after.macs == sum(fewer * places)


def test_transposed_convolutions_are_counted():
    """At 64x64, width 4: two 4x4 ones of 32x32x8 and 16x16x16 pixels in place of resizing and 3x3."""
    found = [count_macs(build_generator("mobile", 4, upsampling=kind), 64) for kind in ("resize", "transpose")]
    assert found[0] - found[1] == 9 * (32**2 * 16 * 8 + 64**2 * 8 * 4) - 16 * (16**2 * 16 * 8 + 32**2 * 8 * 4)


def test_the_run_of_a_student_keeps_its_teacher(run_dir, tmp_path):
    student = tmp_path / "student"
    values = {**vars(read_flagfile(run_dir / "recipe.flags")), "output_weight": 1.0, "teacher": "hokusai"}
    (student / "checkpoints").mkdir(parents=True)
    (student / "checkpoints/step-00000002").symlink_to(run_dir / "checkpoints/step-00000002")
    write_recipe(DistillConfig(**values), student)
    result = prune_run(PruneOptions(run_dir=str(student), out=str(tmp_path / "small"), ratio=0.1))
    assert result.program == "python tools/distill.py"
    assert parse_flags(DistillConfig, [f"--flagfile={tmp_path / 'small/recipe.flags'}"]).teacher == "hokusai"


@pytest.fixture
def tool(monkeypatch):
    """Returns tools/prune.py as a module."""
    spec = importlib.util.spec_from_file_location("prune", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prune", module)
    spec.loader.exec_module(module)
    return module


def _main(tool, *arguments) -> int:
    return tool.run_program(tool.PruneOptions, tool.main, program="prune", purpose="", argv=list(arguments))


def test_the_program_prunes_a_pruned_run_again_and_prints_what_went(tool, run_dir, tmp_path, capsys):
    small, out = tmp_path / "small", tmp_path / "again"
    # At 40 %, as in `pruned`, no block of a toy this narrow has channels left that may go.
    first = prune_run(PruneOptions(run_dir=str(run_dir), out=str(small), ratio=0.2)).after
    assert _main(tool, f"--run_dir={small}", f"--out={out}", "--threshold=0.25", "--importance=weight") == 0
    lines = capsys.readouterr().out.splitlines()
    words = [line.split() for line in lines]
    assert len(lines) == 4 + 3 and words[0][:5] == ["block", "1,", "channels", str(first.channels[0]), "->"]
    assert words[4][:3] == ["parameters", f"{first.parameters:,}", "->"] and float(words[4][-1][:-1]) < 0
    assert words[5][:5] == ["GMAC", "at", "256x256", f"{first.macs / 1e9:.3f}", "->"]
    assert lines[6] == f"Go on with: animegan-train --resume --run_dir={out}"
    assert read_flagfile(out / "recipe.flags").recipe == "fast_style_pruned"


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--ratio=0.4", "--threshold=0.1"], 2, "prune: Give either --ratio or --threshold."),
        ([], 2, "prune: Give either --ratio or --threshold."),
        (["--ratio=0.4", "--out="], 2, "prune: --out is needed."),
        (["--ratio=0.4", "--out={run}"], 2, "prune: --out={run} exists: choose another folder."),
        (["--ratio=0.4", "--run_dir={tmp}/style"], 2, "is an exported style: pruning needs the run folder"),
        (["--ratio=0.4", "--run_dir={tmp}/none"], 2, "is not a run folder: it has no recipe.flags."),
        (
            ["--ratio=0.4", "--run_dir={tmp}/v2"],
            2,
            "--run_dir={tmp}/v2 is of animeganv2: pruning is for fast and mobile.",
        ),
        (["--ratio=0.4", "--run_dir={tmp}/empty"], 1, "--run_dir={tmp}/empty holds no checkpoint."),
        (["--ratio=0.4", "--run_dir={tmp}/broken"], 1, "step-00000001 is damaged"),
        (["--ratio=0.4", "--photo_dir={tmp}/style"], 2, "--photo_dir={tmp}/style holds no photo that can be read"),
        (["--ratio=0.95"], 2, "prune: --ratio=0.95 leaves too little: at most 0."),
    ],
)
def test_every_error_is_one_sentence(tool, run_dir, tmp_path, capsys, flags, code, message):
    for name in ("style", "v2", "empty", "broken/checkpoints/step-00000001"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "style/manifest.json").write_text("{}")
    recipe = read_flagfile(run_dir / "recipe.flags")
    write_recipe(replace(recipe, generator="animeganv2"), tmp_path / "v2")
    for name in ("empty", "broken"):
        write_recipe(recipe, tmp_path / name)
    (tmp_path / "broken/checkpoints/step-00000001/state.npz").write_bytes(b"x")
    given = [flag.format(run=run_dir, tmp=tmp_path) for flag in flags]
    assert _main(tool, f"--run_dir={run_dir}", f"--out={tmp_path}/out", *given) == code
    error = capsys.readouterr().err
    assert message.format(run=run_dir, tmp=tmp_path) in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_another_networks_checkpoint_is_refused(run_dir, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoints").symlink_to(run_dir / "checkpoints")
    write_recipe(replace(read_flagfile(run_dir / "recipe.flags"), generator_width=4), tmp_path / "run")
    with pytest.raises(CheckpointError, match="step-00000002 belongs to another network than its recipe's"):
        prune_run(PruneOptions(run_dir=str(tmp_path / "run"), out=str(tmp_path / "out"), ratio=0.1))
    with pytest.raises(DataError, match="holds no photo"):
        prune_run(
            PruneOptions(
                run_dir=str(run_dir), out=str(tmp_path / "out"), ratio=0.1, photo_dir=str(tmp_path / "nowhere")
            )
        )

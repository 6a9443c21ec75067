"""Configuration: flags, flagfiles, bounds, recipes."""

import dataclasses
import re
import sys

import pytest

from animegan_tf.config import RECIPE_GROUPS, TrainConfig, recipe_differences
from animegan_tf.errors import ConfigError, MissingExtraError, UnknownNameError, UsageError
from animegan_tf.options import given_flag, help_text, parse_flags, run_program, to_flagfile
from animegan_tf.recipe_files import list_recipes, read_flagfile, with_recipe

RECIPES = list_recipes()


def test_flags_become_typed_values():
    config = parse_flags(TrainConfig, ["--gram_layers=a,b", "--xla", "--generator_lr=1e-3", "--seed=7"])
    assert (config.gram_layers, config.xla, config.generator_lr, config.seed) == (("a", "b"), True, 1e-3, 7)


def test_without_absl_its_own_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "absl", None)
    with pytest.raises(MissingExtraError, match="^This program needs absl-py: pip install absl-py$"):
        parse_flags(TrainConfig, [])


def test_a_flagfile_gives_an_equal_config_and_later_flags_win(tmp_path):
    layers = ("block1_conv1", "block2_conv2")
    config = TrainConfig(
        content_weight=0.125, photo_dir="with space/ä", pretrain_epochs=3, xla=True, gram_layers=layers
    )
    path = tmp_path / "x.flags"
    text = to_flagfile(config, "a header\nof two lines")
    assert text.startswith("# a header\n# of two lines\n")
    path.write_text(text, encoding="utf-8")
    assert read_flagfile(path) == config
    assert parse_flags(TrainConfig, [f"--flagfile={path}", "--content_weight=2"]).content_weight == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contnt_weight=2"], "Unknown command line flag 'contnt_weight'. Did you mean: content_weight"),
        (["--image_size=100"], "--image_size=100 must be a multiple of 32"),
        (["--image_size=abc"], "image_size=abc"),
        (["--batch_size=0"], "batch_size=0: 0 is not an integer in the range"),
        (["--adversarial_loss=lsgn"], "adversarial_loss=lsgn.*lsgan"),
        (["--photo_crop_min=0.9", "--photo_crop_max=0.5"], "--photo_crop_min=0.9 must not be above"),
        (["--pretrain_epochs=9", "--epochs=3"], "--pretrain_epochs=9 must not be above --epochs=3"),
        (["--content_weight=0"], "--pretrain_epochs with --pretrain_loss=content needs --content_weight"),
        (["photos"], "Unexpected argument 'photos'"),
        (["--feature_crop=100"], "--feature_crop=100 must be 0 or a multiple of 32 up to --image_size"),
        (["--discriminator_crop=288"], "--discriminator_crop=288 must be 0 or a multiple of 32 up to --image_size"),
        (["--gram_passes=1"], "--gram_passes needs --gram_target=set or each"),
        (["--palette_strength=1"], "--palette_strength needs --content_picture=abstraction"),
        (["--discriminator_weight=0"], "--adversarial_weight needs --discriminator_weight"),
    ],
)
def test_bad_flags_are_one_sentence(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_flags(TrainConfig, arguments)
    assert "\n" not in str(error.value)


def test_bounds_hold_without_flags_too():
    with pytest.raises(ConfigError, match="--flip=1.5 is above the largest allowed value, 1"):
        TrainConfig(flip=1.5)
    with pytest.raises(ConfigError, match="--precision=float8 is not one of"):
        TrainConfig(precision="float8")


def test_the_style_term_uses_the_content_layer_unless_told_otherwise():
    config = parse_flags(TrainConfig, ["--gram_layers=", "--content_layer=block3_conv4"])
    assert config.style_layers == ("block3_conv4",)
    assert TrainConfig(gram_layers=("block1_conv1",)).style_layers == ("block1_conv1",)


def test_a_missing_flagfile_is_named():
    with pytest.raises(UsageError, match="--flagfile=nowhere.flags does not exist"):
        parse_flags(TrainConfig, ["--flagfile=nowhere.flags"])


def test_a_recipe_by_name_comes_first():
    assert with_recipe(["--recipe=smoke", "--seed=3"])[0] == f"--flagfile={RECIPES['smoke']}"
    assert with_recipe(["--flagfile=x", "--recipe=mine"]) == ["--flagfile=x", "--recipe=mine"]
    with pytest.raises(UnknownNameError, match="Unknown recipe 'smok'.*Did you mean 'smoke'"):
        with_recipe(["--recipe", "smok"])


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--seed=1", "--seed", "2"], "2"),
        (["-seed=3"], "3"),
        (["-seed", "4", "--xla"], "4"),
        (["--seed", "--xla"], ""),
        (["--seeds=5"], None),
    ],
)
def test_given_flag_knows_the_forms_absl_takes(argv, value):
    assert given_flag(argv, "seed") == value


def test_a_flagfile_in_two_words_and_one_that_is_no_text(tmp_path):
    (tmp_path / "x.flags").write_text("--seed=6\n")
    assert parse_flags(TrainConfig, ["--flagfile", str(tmp_path / "x.flags")]).seed == 6
    (tmp_path / "y.flags").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ConfigError, match="y.flags is not a text file"):
        read_flagfile(tmp_path / "y.flags")


def test_differences_name_what_a_checkpoint_depends_on():
    first = TrainConfig()
    other = dataclasses.replace(first, content_weight=9, generator="fast", epochs=50, photo_dir="x", xla=True)
    assert recipe_differences(first, other) == ["generator", "content_weight"]


def test_help_shows_every_flag_with_default_and_bounds():
    text = help_text(TrainConfig, "animegan-train", "Trains.")
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name}=" in text and field.metadata["help"] in text
    assert "--adversarial_loss=lsgan" in text and "(lsgan | lsgan_soft | hinge | vanilla | wgan)" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["--help"], 0, ""), (["--sed=1"], 2, "prog: Unknown command line flag 'sed'. Did you mean: seed ?\n")],
)
def test_a_program_ends_with_one_sentence(capsys, arguments, code, message):
    assert run_program(TrainConfig, lambda config: None, program="prog", purpose="", argv=arguments) == code
    assert capsys.readouterr().err == message


def test_ctrl_c_is_130():
    def interrupted(config):
        raise KeyboardInterrupt

    assert run_program(TrainConfig, interrupted, program="prog", purpose="", argv=[]) == 130


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_complete_and_commented(name):
    """Every field of the recipe groups is given, none other; the head says source, differences, hardware, command."""
    text = RECIPES[name].read_text(encoding="utf-8")
    given = [line.split("=")[0].removeprefix("--") for line in text.splitlines() if line.startswith("--")]
    wanted = [f.name for f in dataclasses.fields(TrainConfig) if f.metadata["group"] in RECIPE_GROUPS]
    assert sorted(given) == sorted(wanted)
    head = text.split("\n\n")[0]
    for part in ("# Source:", "# Differs:", "# Hardware:"):
        assert part in head
    assert re.search(rf"# Command: python tools/(train|distill).py --flagfile=flags/{name}.flags ", head)
    assert "@@" not in text
    assert read_flagfile(RECIPES[name]).recipe == name


@pytest.mark.parametrize(
    ("name", "multipliers", "content", "gram", "color", "tv"),
    [
        ("animegan_hayao", (1, 1, 1, 0.1), 1.5, 3.0, 10, 0),
        ("animeganv2_hayao", (1.2, 1.2, 1.2, 0.8), 1.5, 2.5, 15, 1),
        ("animeganv2_paprika", (1, 1, 1, 0.005), 2.0, 0.6, 50, 0.1),
        ("animeganv2_shinkai", (1.7, 1.7, 1.7, 1.0), 1.2, 2.0, 10, 1),
    ],
)
def test_published_weights_are_not_mixed(name, multipliers, content, gram, color, tv):
    config = read_flagfile(RECIPES[name])
    kinds = ("anime", "stylized", "gray", "smooth")
    assert tuple(getattr(config, f"discriminator_{kind}_weight") for kind in kinds) == multipliers
    found = (config.content_weight, config.gram_weight, config.color_weight, config.tv_weight)
    assert found == (content, gram, color, tv)
    assert config.adversarial_weight == config.discriminator_weight == 300


def test_a_number_of_many_digits_is_written_whole():
    config = TrainConfig(style_crop_min=1 / 3, style_crop_max=0.7)
    text = to_flagfile(config)
    assert f"--style_crop_min={1 / 3!r}\n" in text and "--style_crop_max=0.7\n" in text


def test_likeness_can_be_the_only_term():
    none = {f"{term}_weight": 0.0 for term in ("adversarial", "content", "gram", "color", "tv", "penalty")}
    none |= {"pretrain_epochs": 0, "gradient_penalty": "none"}
    assert TrainConfig(**none, likeness_weight=1.0).likeness_weight == 1
    with pytest.raises(ConfigError, match="nothing to learn from"):
        TrainConfig(**none)

"""Training configuration: one dataclass <-> absl flags <-> flagfile text. The only definition of every flag.

A recipe (flags/*.flags) gives every field of the groups data, models, losses, optimisation and schedule; the group
run (paths, machine, what to do now) comes from the command line. Other programs of the package describe their own
options with `option` and read them with `parse_flags`, so that bounds, help and messages look the same everywhere.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from animegan_tf.errors import AnimeganError, ConfigError, UnknownNameError, UsageError, needs_extra

RECIPE_GROUPS = ("data", "models", "losses", "optimisation", "schedule")
T = TypeVar("T")


def option(default: Any, help: str, group: str, *, low=None, high=None, choices: tuple[str, ...] | None = None) -> Any:
    """Returns a dataclass field that is also an absl flag.

    Args:
      default: bool, int, float, str or tuple of str (a comma-separated flag).
      help: one sentence; units in it where there are any.
      group: heading of the help text and of the flagfile.
      low, high: inclusive bounds of a number.
      choices: the allowed strings.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "group": group, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a training run needs to know. Field names are the flags' names; see `option`.

    Raises:
      ConfigError: a value is out of its bounds, not among its choices, or clashes with another.
    """

    recipe: str = option("unnamed", "name of the recipe; without --flagfile: the shipped recipe to start from", "data")
    image_size: int = option(256, "side of the training crops in px, a multiple of 32", "data", low=32, high=2048)
    batch_size: int = option(4, "pictures per step", "data", low=1, high=1024)
    photo_crop_min: float = option(1.0, "smallest photo crop, as a share of the short side", "data", low=0.05, high=1)
    photo_crop_max: float = option(1.0, "largest photo crop, as a share of the short side", "data", low=0.05, high=1)
    style_crop_min: float = option(1.0, "smallest style crop, as a share of the short side", "data", low=0.05, high=1)
    style_crop_max: float = option(1.0, "largest style crop, as a share of the short side", "data", low=0.05, high=1)
    flip: float = option(0.0, "probability of a horizontal flip", "data", low=0, high=1)
    brightness: float = option(0.0, "brightness jitter: +- this share of the range", "data", low=0, high=1)
    contrast: float = option(0.0, "contrast jitter: factor 1 +- this", "data", low=0, high=0.99)
    seed: int = option(0, "seed of initial weights, shuffles and augmentation", "data", low=0, high=2**31 - 1)

    generator: str = option("animeganv2", "generator network", "models")
    generator_width: int = option(0, "channels of its first layer; 0: as published", "models", low=0, high=512)
    discriminator: str = option("animeganv2", "discriminator network", "models")
    discriminator_width: int = option(0, "channels of its first layer; 0: as published", "models", low=0, high=512)

    adversarial_loss: str = option("lsgan", "adversarial loss", "losses", choices=("lsgan", "hinge", "vanilla", "wgan"))
    adversarial_weight: float = option(300.0, "weight of the generator's adversarial term", "losses", low=0)
    discriminator_weight: float = option(300.0, "weight of the sum of the discriminator's terms", "losses", low=0)
    discriminator_anime_weight: float = option(1.2, "multiplier: anime pictures are real", "losses", low=0)
    discriminator_stylized_weight: float = option(1.2, "multiplier: stylized photos are fake", "losses", low=0)
    discriminator_gray_weight: float = option(1.2, "multiplier: grey anime pictures are fake", "losses", low=0)
    discriminator_smooth_weight: float = option(0.8, "multiplier: edge-smoothed grey are fake", "losses", low=0)
    content_weight: float = option(
        1.5, "weight of the content term: VGG19 features of photo and result", "losses", low=0
    )
    content_layer: str = option(
        "block4_conv4", "VGG19 layer of the content term; block4_conv4 is before ReLU, block4_relu4 after", "losses"
    )
    content_loss: str = option("l1", "distance of the content features", "losses", choices=("l1", "relative_l2"))
    gram_weight: float = option(2.5, "weight of the style term: Gram matrices of VGG19 features", "losses", low=0)
    gram_layers: tuple[str, ...] = option((), "VGG19 layers of the style term; empty: --content_layer", "losses")
    gram_picture: str = option("gray", "style pictures whose Gram matrices count", "losses", choices=("gray", "color"))
    gram_target: str = option(
        "batch",
        "compare with the style pictures of the batch, or with the mean over 96 crops of the set",
        "losses",
        choices=("batch", "set"),
    )
    gram_loss: str = option("l1", "distance of the Gram matrices", "losses", choices=("l1", "relative_l1"))
    color_weight: float = option(15.0, "weight of the colour term: YUV of photo and result", "losses", low=0)
    chroma_weight: float = option(0.0, "weight of hue differences within the photo, kept", "losses", low=0)
    tv_weight: float = option(1.0, "weight of total variation", "losses", low=0)
    flat_weight: float = option(0.0, "weight of gradients where the photo is flat", "losses", low=0)

    generator_lr: float = option(2e-5, "learning rate of the generator", "optimisation", low=0, high=1)
    discriminator_lr: float = option(4e-5, "learning rate of the discriminator", "optimisation", low=0, high=1)
    pretrain_lr: float = option(2e-4, "learning rate of the content-only phase", "optimisation", low=0, high=1)
    beta_1: float = option(0.5, "Adam's first decay", "optimisation", low=0, high=0.9999)
    beta_2: float = option(0.999, "Adam's second decay", "optimisation", low=0, high=0.999999)
    lr_schedule: str = option(
        "constant", "learning rates after pre-training", "optimisation", choices=("constant", "cosine")
    )
    clip_norm: float = option(0.0, "clip each network's gradient to this global norm; 0: off", "optimisation", low=0)
    ema_decay: float = option(
        0.0, "decay of the averaged generator that is exported; 0: off", "optimisation", low=0, high=0.99999
    )
    discriminator_steps: int = option(1, "discriminator updates per generator update", "optimisation", low=1, high=16)

    epochs: int = option(101, "epochs in all, pre-training included", "schedule", low=1)
    pretrain_epochs: int = option(10, "epochs on the content term alone, at the start", "schedule", low=0)
    steps_per_epoch: int = option(0, "0: as many as go once through the larger of the two sets", "schedule", low=0)
    sample_every: int = option(500, "steps between sample grids; 0: none", "schedule", low=0)
    checkpoint_every: int = option(500, "steps between checkpoints", "schedule", low=1)
    keep_checkpoints: int = option(3, "newest checkpoints kept", "schedule", low=1)

    photo_dir: str = option("", "folder of photos, searched recursively", "run")
    style_dir: str = option("", "folder of style pictures, searched recursively", "run")
    smooth_dir: str = option("", "folder made by tools/smooth_edges.py; empty: smooth on the fly", "run")
    sample_dir: str = option("", "folder of photos for the sample grids; empty: the first of --photo_dir", "run")
    vgg19_weights: str = option(
        "imagenet", "imagenet (downloaded by Keras), an .npz or .h5 file, or random (for tests)", "run"
    )
    run_dir: str = option("", "folder of this run; empty: the next number below runs/", "run")
    resume: bool = option(False, "go on from the newest checkpoint in --run_dir", "run")
    max_steps: int = option(0, "stop after this many steps in all; 0: at the end of --epochs", "run", low=0)
    precision: str = option(
        "float32", "arithmetic of the networks", "run", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    xla: bool = option(False, "compile the training step with XLA", "run")
    cache_mb: int = option(1024, "memory for decoded pictures, in MB; 0: decode each time", "run", low=0)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.image_size % 32:
            raise ConfigError(f"--image_size={self.image_size} must be a multiple of 32.")
        for stream in ("photo", "style"):
            low, high = getattr(self, f"{stream}_crop_min"), getattr(self, f"{stream}_crop_max")
            if low > high:
                raise ConfigError(f"--{stream}_crop_min={low:g} must not be above --{stream}_crop_max={high:g}.")
        if self.pretrain_epochs > self.epochs:
            raise ConfigError(f"--pretrain_epochs={self.pretrain_epochs} must not be above --epochs={self.epochs}.")
        if self.pretrain_epochs and not self.content_weight:
            raise ConfigError("--pretrain_epochs needs --content_weight above 0: pre-training is on content alone.")
        self._check_weights()

    def _check_weights(self) -> None:
        terms = ("adversarial", "content", "gram", "color", "chroma", "tv", "flat")
        if not any(getattr(self, f"{term}_weight") for term in terms):
            raise ConfigError(
                f"The generator has nothing to learn from: --{'_weight, --'.join(terms)}_weight are all 0."
            )
        kinds = ("anime", "stylized", "gray", "smooth")
        multipliers = any(getattr(self, f"discriminator_{kind}_weight") for kind in kinds)
        if self.adversarial and not (self.discriminator_weight and multipliers):
            raise ConfigError("--adversarial_weight needs --discriminator_weight and one of its multipliers above 0.")

    @property
    def style_layers(self) -> tuple[str, ...]:
        """VGG19 layers of the style term: --gram_layers, or the content term's, as in the published AnimeGANs."""
        return self.gram_layers or (self.content_layer,)

    @property
    def adversarial(self) -> bool:
        """True when a discriminator takes part."""
        return self.adversarial_weight > 0


def check_bounds(config: Any) -> None:
    """Raises ConfigError for the first field of a dataclass of `option`s that breaks its own bounds or choices."""
    for field in dataclasses.fields(config):
        value, meta = getattr(config, field.name), field.metadata
        if meta["choices"] and value not in meta["choices"]:
            raise ConfigError(f"--{field.name}={value} is not one of {', '.join(meta['choices'])}.")
        if meta["low"] is not None and not value >= meta["low"]:
            raise ConfigError(f"--{field.name}={value:g} is below the smallest allowed value, {meta['low']:g}.")
        if meta["high"] is not None and not value <= meta["high"]:
            raise ConfigError(f"--{field.name}={value:g} is above the largest allowed value, {meta['high']:g}.")


def parse_flags(kind: type[T], argv: list[str]) -> T:
    """Returns `kind`, a dataclass of `option`s, filled from absl flags; --flagfile works, later flags win.

    Args:
      kind: the dataclass.
      argv: arguments without the program's name.

    Raises:
      ConfigError: an unknown flag (with a suggestion), a wrong type, a value out of bounds, a left-over argument.
    """
    with needs_extra("absl", "absl-py", "train", "This program"):
        from absl import flags

    values = flags.FlagValues()
    _define(kind, values)
    flagfile = given_flag(argv, "flagfile")
    if flagfile is not None and not Path(flagfile).expanduser().is_file():
        raise UsageError(f"--flagfile={flagfile} does not exist.")
    try:
        left_over = values(["", *argv])[1:]
    except flags.Error as error:
        raise ConfigError(_one_sentence(str(error))) from None
    except UnicodeDecodeError:
        raise ConfigError(f"--flagfile={flagfile} is not a text file.") from None
    if left_over:
        raise ConfigError(f"Unexpected argument {left_over[0]!r}: options are written --name=value.")
    settings = {f.name: values[f.name].value for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def read_flagfile(path: Path) -> TrainConfig:
    """Returns the TrainConfig of one recipe file. Raises ConfigError as `parse_flags`."""
    return parse_flags(TrainConfig, [f"--flagfile={path}"])


def to_flagfile(config: TrainConfig, header: str = "") -> str:
    """Returns `config` as flagfile text with one comment line per group; `read_flagfile` gives it back equal."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for group, fields in _by_group(type(config)).items():
        lines += ["", f"# {group}"]
        lines += [f"--{field.name}={_flag_text(getattr(config, field.name))}" for field in fields]
    return "\n".join(lines).lstrip("\n") + "\n"


def recipe_differences(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Returns the names of the recipe's fields in which two configs differ; paths, machine and schedule do not count.

    These are the fields that decide what a checkpoint holds and how training goes on from it.
    """
    names = [f.name for f in dataclasses.fields(first) if f.metadata["group"] in RECIPE_GROUPS[:-1]]
    return [name for name in names if getattr(first, name) != getattr(second, name)]


def list_recipes() -> dict[str, Path]:
    """Returns the shipped recipes, name -> path of the flagfile."""
    folder = Path(str(resources.files("animegan_tf.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.flags"))}


def with_recipe(argv: list[str]) -> list[str]:
    """Returns `argv` with the shipped flagfile put first when --recipe=NAME is given and --flagfile is not.

    Raises:
      UnknownNameError: no such recipe.
    """
    name = given_flag(argv, "recipe")
    if name is None or given_flag(argv, "flagfile") is not None:
        return argv
    recipes = list_recipes()
    if name not in recipes:
        raise UnknownNameError("recipe", name, recipes)
    return [f"--flagfile={recipes[name]}", *argv]


def given_flag(argv: list[str], name: str) -> str | None:
    """Returns the last value of a flag on the command line, before parsing; None where it is not given.

    Knows the four forms absl takes: --name=value, --name value, and both with one dash. A flag without a value is "".
    """
    found = None
    for argument, following in zip(argv, [*argv, ""][1:], strict=True):
        head, equals, value = argument.partition("=")
        if head in (f"--{name}", f"-{name}"):
            found = value if equals else following if not following.startswith("-") else ""
    return found


def help_text(kind: type, program: str, purpose: str) -> str:
    """Returns the help of a program whose options are `kind`: name, default, meaning, bounds, by group."""
    lines = [f"usage: {program} [--flagfile=FILE] [--name=value ...]", "", purpose]
    for group, fields in _by_group(kind).items():
        lines += ["", f"{group}:"]
        for field in fields:
            head = f"  --{field.name}={_flag_text(field.default)}"
            lines.append(f"{head:<44} {field.metadata['help']}{_bounds_text(field.metadata)}")
    return "\n".join(lines)


def run_program(kind: type[T], main, *, program: str, purpose: str, argv: list[str] | None = None) -> int:
    """Parses flags into `kind`, calls main(config), and turns every known error into one sentence and an exit code.

    Returns:
      0; 1 for failed work, 2 for bad usage, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    if any(a in ("--help", "-help", "-h", "--helpfull") for a in argv):
        print(help_text(kind, program, purpose))
        return 0
    try:
        main(parse_flags(kind, argv if kind is not TrainConfig else with_recipe(argv)))
    except AnimeganError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: stopped.", file=sys.stderr)
        return 130
    return 0


def _define(kind: type, values) -> None:
    from absl import flags

    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, meta, hint = field.name, field.metadata, hints[field.name]
        default: Any = field.default
        common = {"flag_values": values, "module_name": "animegan_tf"}
        if meta["choices"]:
            flags.DEFINE_enum(name, default, meta["choices"], meta["help"], **common)
        elif hint is bool:
            flags.DEFINE_boolean(name, default, meta["help"], **common)
        elif hint is int:
            flags.DEFINE_integer(name, default, meta["help"], meta["low"], meta["high"], **common)
        elif hint is float:
            flags.DEFINE_float(name, default, meta["help"], meta["low"], meta["high"], **common)
        elif hint is str:
            flags.DEFINE_string(name, default, meta["help"], **common)
        else:
            flags.DEFINE_list(name, list(default), meta["help"], **common)


def _one_sentence(message: str) -> str:
    message = " ".join(message.replace("FATAL Flags parsing error:", "").split())
    return message if message.endswith((".", "?")) else message + "."


def _by_group(kind: type) -> dict[str, list[dataclasses.Field]]:
    groups: dict[str, list[dataclasses.Field]] = {}
    for field in dataclasses.fields(kind):
        groups.setdefault(field.metadata["group"], []).append(field)
    return groups


def _flag_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _bounds_text(meta) -> str:
    if meta["choices"]:
        return f" ({' | '.join(meta['choices'])})"
    low, high = meta["low"], meta["high"]
    if low is None and high is None:
        return ""
    return f" ({low:g} or more)" if high is None else f" ({low:g} to {high:g})"

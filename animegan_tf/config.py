"""Training configuration: one dataclass <-> absl flags <-> flagfile text. The only definition of every flag.

A recipe (flags/*.flags) gives every field of the groups data, models, losses, optimisation and schedule; the group
run (paths, machine, what to do now) comes from the command line.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from animegan_tf.errors import ConfigError
from animegan_tf.options import check_bounds, numbers, option, whole_numbers

RECIPE_GROUPS = ("data", "models", "losses", "optimisation", "schedule")


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
    saturation: float = option(0.0, "saturation jitter: factor 1 +- this", "data", low=0, high=1)
    rotation: float = option(0.0, "random rotation: +- this many degrees", "data", low=0, high=45)
    smooth_salt: float = option(0.0, "share of white salt in the edge-smoothed pictures", "data", low=0, high=0.5)
    classes: tuple[str, ...] = option(
        (), "styles of a conditional model: sub-folders of --style_dir; empty: all of them", "data"
    )
    abstraction_lines: float = option(
        0.0, "darkness of the contour lines in the abstraction of a photo, see --content_picture", "data", low=0, high=1
    )
    abstraction_passes: int = option(2, "passes of the filter that smooths its texture away", "data", low=1, high=20)
    abstraction_levels: int = option(0, "levels that its lightness is drawn to; 0 leaves it", "data", low=0, high=100)
    abstraction_strokes: float = option(
        0.0, "contrast of its brush strokes, made of the photo's texture, in levels of 100", "data", low=0, high=50
    )
    abstraction_stroke_length: int = option(
        4, "px that its brush strokes are smeared along the edges, either way; 0: dabs", "data", low=0, high=20
    )
    palette_strength: float = option(
        0.0, "share of the way from its colours to the style's in the abstraction of a photo", "data", low=0, high=1
    )
    photo_sampling: str = option(
        "uniform", "each photo equally often, or each sub-folder of them", "data", choices=("uniform", "balanced")
    )
    style_sampling: str = option(
        "uniform", "each style picture equally often, or each class", "data", choices=("uniform", "balanced")
    )
    seed: int = option(0, "seed of initial weights, shuffles and augmentation", "data", low=0, high=2**31 - 1)

    generator: str = option("animeganv2", "generator network", "models")
    generator_width: int = option(0, "channels of its first layer; 0: as published", "models", low=0, high=512)
    discriminator: str = option("animeganv2", "discriminator network", "models")
    discriminator_width: int = option(0, "channels of its first layer; 0: as published", "models", low=0, high=512)
    discriminator_crop: int = option(
        0, "side of the middle of each picture that the discriminator sees, in px; 0: all of it", "models", low=0
    )
    expanded: tuple[str, ...] = option(
        (), "channels inside each inverted residual of fast and mobile, see tools/prune.py; empty: all", "models"
    )
    upsampling: str = option("resize", "decoder of the mobile generator", "models", choices=("resize", "transpose"))
    attention_norm: str = option(
        "batch",
        "AnimeGANv3's attention: batch norm, or as published (statistics not used at inference)",
        "models",
        choices=("batch", "published"),
    )

    adversarial_loss: str = option(
        "lsgan", "adversarial loss", "losses", choices=("lsgan", "lsgan_soft", "hinge", "vanilla", "wgan")
    )
    adversarial_weight: float = option(300.0, "weight of the generator's adversarial term", "losses", low=0)
    discriminator_weight: float = option(300.0, "weight of the sum of the discriminator's terms", "losses", low=0)
    discriminator_anime_weight: float = option(1.2, "multiplier: anime pictures are real", "losses", low=0)
    discriminator_stylized_weight: float = option(1.2, "multiplier: stylized photos are fake", "losses", low=0)
    discriminator_gray_weight: float = option(1.2, "multiplier: grey anime pictures are fake", "losses", low=0)
    discriminator_smooth_weight: float = option(0.8, "multiplier: edge-smoothed grey are fake", "losses", low=0)
    gradient_penalty: str = option(
        "none", "penalty on the discriminator's gradient", "losses", choices=("none", "wgan_gp", "r1")
    )
    penalty_weight: float = option(0.0, "weight of the gradient penalty", "losses", low=0)
    feature_scale: float = option(
        1.0, "VGG19 features are multiplied by this; 0.0174: as of pictures of unit variance", "losses", low=1e-6
    )
    feature_crop: int = option(0, "side of the middle that VGG19 sees, in px; 0: the whole picture", "losses", low=0)
    content_weight: float = option(1.5, "weight of the content term: VGG19 of photo and result", "losses", low=0)
    content_layer: str = option(
        "block4_conv4", "VGG19 layer of the content term; block4_conv4 is before ReLU, block4_relu4 after", "losses"
    )
    content_loss: str = option(
        "l1", "distance of the content features", "losses", choices=("l1", "l1_per_channel", "l2", "relative_l2")
    )
    content_picture: str = option(
        "photo",
        "held on to: the photo, or its calm areas and contours, found before or (recolored_) after its colours change",
        "losses",
        choices=("photo", "abstraction", "recolored_abstraction"),
    )
    perceptual_weight: float = option(0.0, "weight of the L1 of VGG19 layers, photo and result", "losses", low=0)
    perceptual_layers: tuple[str, ...] = option((), "VGG19 layers of the perceptual term", "losses")
    gram_weight: float = option(2.5, "weight of the style term: Gram matrices of VGG19 features", "losses", low=0)
    gram_layers: tuple[str, ...] = option((), "VGG19 layers of the style term; empty: --content_layer", "losses")
    gram_layer_weights: tuple[str, ...] = option(
        (), "one weight per layer of the style term; empty: the layers' mean", "losses"
    )
    gram_centered: bool = option(False, "subtract each channel's mean before the Gram matrix", "losses")
    gram_picture: str = option("gray", "style pictures whose Gram matrices count", "losses", choices=("gray", "color"))
    gram_target: str = option(
        "batch",
        "compare with the style pictures of the batch; or with the mean over the middles of the set's pictures, all "
        "results together (set) or each by itself",
        "losses",
        choices=("batch", "set", "each"),
    )
    gram_passes: int = option(0, "passes of a filter that takes the set's grain away first", "losses", low=0, high=20)
    gram_loss: str = option(
        "l1", "distance of the Gram matrices", "losses", choices=("l1", "l1_per_channel", "l2", "relative_l1")
    )
    gram_memory: float = option(
        0.0, "decay of a running mean that stands in for a batch's Gram matrices; 0: off", "losses", low=0, high=0.999
    )
    color_weight: float = option(15.0, "weight of the colour term, photo and result", "losses", low=0)
    color_loss: str = option("yuv", "colour space of the colour term", "losses", choices=("yuv", "lab"))
    likeness_weight: float = option(0.0, "weight of the likeness to --content_picture", "losses", low=0)
    chroma_weight: float = option(0.0, "weight of keeping what differs in hue within a photo", "losses", low=0)
    tone_weight: float = option(0.0, "weight of keeping what is lighter and darker within a photo", "losses", low=0)
    tv_weight: float = option(1.0, "weight of total variation", "losses", low=0)
    flat_weight: float = option(0.0, "weight of gradients where the photo is flat", "losses", low=0)
    cel_weight: float = option(0.0, "weight of the share of neighbours that differ, anywhere", "losses", low=0)
    grid_weight: float = option(0.0, "weight of what repeats every 8 px in calm areas", "losses", low=0)
    edge_weight: float = option(0.0, "weight of the L1 of Sobel edges, photo and result", "losses", low=0)
    landmark_weight: float = option(0.0, "weight of the L1 around facial landmarks", "losses", low=0)
    output_weight: float = option(0.0, "distillation: weight of the L1 to the teacher's picture", "losses", low=0)
    feature_weight: float = option(
        0.0, "distillation: weight of the VGG19 content features of the teacher's picture", "losses", low=0
    )
    border_weight: float = option(
        0.0, "weight of drawing at a border what would be there if the picture went on", "losses", low=0
    )
    region_weight: float = option(0.0, "double tail: weight of its own superpixels", "losses", low=0)
    photo_region_weight: float = option(0.0, "double tail: weight of the photo's superpixels", "losses", low=0)
    region_min_size: int = option(50, "double tail: smallest superpixel of its own, in px", "losses", low=1)
    revision_weight: float = option(0.0, "double tail: weight of the L1 to the revision target", "losses", low=0)
    revision_feature_weight: float = option(
        0.0, "double tail: weight of the content features of the revision target", "losses", low=0
    )
    revision_denoise: tuple[str, ...] = option(
        ("5", "6", "5", "7"), "double tail: NL-means strength, colour strength, template and search px", "losses"
    )
    main_adversarial_weight: float = option(0.0, "double tail: adversarial weight of the main tail", "losses", low=0)
    main_discriminator_weight: float = option(0.0, "double tail: weight of the main discriminator", "losses", low=0)
    pretrain_loss: str = option(
        "content",
        "what pre-training goes by: the content term, or the pixels of the picture to hold on to, without VGG19",
        "losses",
        choices=("content", "pixels"),
    )
    pretrain_tails: str = option("both", "double tail: what pre-training trains", "losses", choices=("both", "support"))

    generator_optimizer: str = option("adam", "of the generator", "optimisation", choices=("adam", "muon"))
    generator_lr: float = option(2e-5, "learning rate of the generator", "optimisation", low=0, high=1)
    discriminator_lr: float = option(4e-5, "learning rate of the discriminator", "optimisation", low=0, high=1)
    pretrain_lr: float = option(2e-4, "learning rate of the content-only phase", "optimisation", low=0, high=1)
    beta_1: float = option(0.5, "Adam's first decay", "optimisation", low=0, high=0.9999)
    beta_2: float = option(0.999, "Adam's second decay", "optimisation", low=0, high=0.999999)
    lr_schedule: str = option(
        "constant",
        "rates after pre-training, or in each stage",
        "optimisation",
        choices=("constant", "cosine", "cosine_stages"),
    )
    clip_norm: float = option(0.0, "clip each network's gradient to this global norm; 0: off", "optimisation", low=0)
    ema_decay: float = option(
        0.0, "decay of the averaged generator that is exported; 0: off", "optimisation", low=0, high=0.99999
    )
    discriminator_steps: int = option(1, "discriminator updates per generator update", "optimisation", low=1, high=16)
    freeze_threshold: float = option(
        0.0, "no discriminator updates while its mean loss, penalty aside, is below; 0: never", "optimisation", low=0
    )

    epochs: int = option(101, "epochs in all, pre-training included", "schedule", low=1)
    pretrain_epochs: int = option(10, "epochs on the content term alone, at the start", "schedule", low=0)
    discriminator_pretrain_epochs: int = option(
        0, "epochs in which only the discriminator learns, before all else", "schedule", low=0
    )
    frozen_norm_epochs: int = option(
        0, "epochs at the end in which the generator's batch norm uses its running statistics", "schedule", low=0
    )
    progressive_start: int = option(
        0,
        "train from this side in px, doubled up to --image_size; 0: at full size at once",
        "schedule",
        low=0,
        high=1024,
    )
    progressive_epochs: int = option(1, "epochs at each smaller size", "schedule", low=1)
    progressive_fade: float = option(
        0.5, "share of the epochs at a size in which it is faded in", "schedule", low=0, high=1
    )
    steps_per_epoch: int = option(0, "0: as many as go once through the larger of the two sets", "schedule", low=0)
    sample_every: int = option(500, "steps between sample grids; 0: none", "schedule", low=0)
    checkpoint_every: int = option(500, "steps between checkpoints", "schedule", low=1)
    keep_checkpoints: int = option(3, "newest checkpoints kept", "schedule", low=1)

    photo_dir: str = option("", "folder of photos, searched recursively", "run")
    style_dir: str = option("", "folder of style pictures, searched recursively", "run")
    smooth_dir: str = option("", "folder made by tools/smooth_edges.py; empty: smooth on the fly", "run")
    style_weights: str = option("", "CSV of picture,weight: how often each style picture is seen", "run")
    landmark_dir: str = option("", "folder made by tools/align_faces.py, for --landmark_weight", "run")
    sample_dir: str = option("", "folder of photos for the sample grids; empty: some of --photo_dir", "run")
    vgg19_weights: str = option(
        "imagenet", "imagenet (downloaded by Keras), an .npz or .h5 file, or random (for tests)", "run"
    )
    run_dir: str = option("", "folder of this run; empty: the next number below runs/", "run")
    start_from: str = option("", "run folder, or file of weights, whose generator training starts from", "run")
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
        for name in ("discriminator_crop", "feature_crop"):
            side = getattr(self, name)
            if side % 32 or side > self.image_size:
                raise ConfigError(f"--{name}={side} must be 0 or a multiple of 32 up to --image_size.")
        for stream in ("photo", "style"):
            low, high = getattr(self, f"{stream}_crop_min"), getattr(self, f"{stream}_crop_max")
            if low > high:
                raise ConfigError(f"--{stream}_crop_min={low:g} must not be above --{stream}_crop_max={high:g}.")
        self._check_schedule()
        self._check_weights()
        self._check_layers()

    def _check_schedule(self) -> None:
        before = self.pretrain_epochs + self.discriminator_pretrain_epochs
        learning = self.epochs - self.discriminator_pretrain_epochs - self.frozen_norm_epochs
        if before > self.epochs:
            names = "--discriminator_pretrain_epochs and " * bool(self.discriminator_pretrain_epochs)
            raise ConfigError(f"{names}--pretrain_epochs={before} must not be above --epochs={self.epochs}.")
        if self.frozen_norm_epochs and learning < 1 and not self.expanded:  # a pruned network has its statistics
            raise ConfigError(
                f"--frozen_norm_epochs={self.frozen_norm_epochs} must leave epochs to learn statistics in."
            )
        if self.pretrain_epochs and self.pretrain_loss == "content" and not self.content_weight:
            raise ConfigError("--pretrain_epochs with --pretrain_loss=content needs --content_weight above 0.")
        if self.discriminator_pretrain_epochs and not self.adversarial:
            raise ConfigError("--discriminator_pretrain_epochs needs --adversarial_weight above 0.")
        if self.freeze_threshold and self.adversarial_loss == "wgan":
            raise ConfigError("--freeze_threshold does not go with --adversarial_loss=wgan, which falls below zero.")
        side = self.progressive_start
        if side and (side % 32 or side > self.image_size or not math.log2(self.image_size / side).is_integer()):
            raise ConfigError(
                f"--progressive_start={side} must be a multiple of 32, and --image_size={self.image_size} "
                "that side doubled once or more."
            )
        growing = self.progressive_epochs * round(math.log2(self.image_size / side)) if side else 0
        if side and growing >= self.epochs:
            raise ConfigError(
                f"--progressive_start={side} takes {growing} epochs to reach --image_size={self.image_size}: "
                f"--epochs={self.epochs} must be more."
            )

    def _check_weights(self) -> None:
        terms = [term for term in _TERMS if getattr(self, f"{term}_weight")]
        if not terms:
            raise ConfigError(
                f"The generator has nothing to learn from: --{'_weight, --'.join(_TERMS)}_weight are all 0."
            )
        kinds = ("anime", "stylized", "gray", "smooth")
        multipliers = any(getattr(self, f"discriminator_{kind}_weight") for kind in kinds)
        if self.adversarial and not (self.discriminator_weight and multipliers):
            raise ConfigError("--adversarial_weight needs --discriminator_weight and one of its multipliers above 0.")
        if (self.gradient_penalty == "none") != (not self.penalty_weight):
            raise ConfigError(
                f"--gradient_penalty={self.gradient_penalty} and --penalty_weight={self.penalty_weight:g}: "
                "set both or neither."
            )
        if self.gradient_penalty != "none" and not self.adversarial:
            raise ConfigError("--gradient_penalty needs --adversarial_weight above 0.")
        if bool(self.main_adversarial_weight) != bool(self.main_discriminator_weight):
            raise ConfigError("--main_adversarial_weight and --main_discriminator_weight: set both or neither.")
        if self.main_adversarial_weight and not self.adversarial:
            raise ConfigError("--main_adversarial_weight needs --adversarial_weight above 0.")
        if self.border_weight and self.batch_size < 2:
            raise ConfigError("--border_weight needs --batch_size of 2 or more.")
        if self.gradient_penalty != "none" and not (
            self.discriminator_anime_weight and self.discriminator_stylized_weight
        ):
            raise ConfigError("--gradient_penalty needs --discriminator_anime_weight and ..._stylized_weight above 0.")

    def _check_layers(self) -> None:
        if self.perceptual_weight and not self.perceptual_layers:
            raise ConfigError("--perceptual_weight needs --perceptual_layers.")
        if self.gram_memory and self.gram_target != "set":
            raise ConfigError("--gram_memory needs --gram_target=set: it is of whole batches against the set.")
        if self.gram_passes and self.gram_target == "batch":
            raise ConfigError("--gram_passes needs --gram_target=set or each: what a batch shows is not filtered.")
        if self.palette_strength and self.content_picture == "photo":
            raise ConfigError("--palette_strength needs --content_picture=abstraction, whose colours it changes.")
        numbers("gram_layer_weights", self.gram_layer_weights, low=0)
        if self.gram_layer_weights and len(self.gram_layer_weights) != len(self.style_layers):
            raise ConfigError(
                f"--gram_layer_weights has {len(self.gram_layer_weights)} weights for {len(self.style_layers)} layers."
            )
        whole_numbers("expanded", self.expanded, low=1)
        if len(whole_numbers("revision_denoise", self.revision_denoise, low=1)) != 4:
            raise ConfigError(
                "--revision_denoise needs four whole numbers: strength, colour strength, template, search."
            )

    @property
    def style_layers(self) -> tuple[str, ...]:
        """VGG19 layers of the style term: --gram_layers, or the content term's, as in the published AnimeGANs."""
        return self.gram_layers or (self.content_layer,)

    @property
    def style_layer_weights(self) -> tuple[float, ...]:
        """Weight of each of `style_layers`: --gram_layer_weights, or equal ones that sum to 1."""
        given = numbers("gram_layer_weights", self.gram_layer_weights, low=0)
        return given or (1.0 / len(self.style_layers),) * len(self.style_layers)

    @property
    def denoise(self) -> tuple[int, int, int, int]:
        """--revision_denoise as numbers."""
        strength, color_strength, template, search = whole_numbers("revision_denoise", self.revision_denoise, low=1)
        return strength, color_strength, template, search

    @property
    def double_tail_terms(self) -> list[str]:
        """Terms with a weight that a double-tail generator alone has."""
        return [term for term in _DOUBLE_TAIL_TERMS if getattr(self, f"{term}_weight")]

    @property
    def adversarial(self) -> bool:
        """True when a discriminator takes part."""
        return self.adversarial_weight > 0

    @property
    def network_settings(self) -> dict[str, Any]:
        """What networks may ask for besides their width; see models.build_generator."""
        return {
            "classes": max(1, len(self.classes)),
            "expanded": whole_numbers("expanded", self.expanded, low=1),
            "upsampling": self.upsampling,
            "attention_norm": self.attention_norm,
        }


# The generator's terms; all of them can be its only one.
_TERMS = (
    *("adversarial", "content", "perceptual", "gram", "likeness", "color", "chroma", "tone", "tv", "flat", "cel"),
    *("grid", "edge", "landmark", "output", "feature"),
)
_DOUBLE_TAIL_TERMS = ("region", "photo_region", "revision", "revision_feature", "main_adversarial")


def recipe_differences(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Returns the names of the recipe's fields in which two configs differ; paths, machine and schedule do not count.

    These are the fields that decide what a checkpoint holds and how training goes on from it.
    """
    names = [f.name for f in dataclasses.fields(first) if f.metadata["group"] in RECIPE_GROUPS[:-1]]
    return [name for name in names if getattr(first, name) != getattr(second, name)]

"""Whole runs on tiny pictures: the run folder, resuming, stopping, and every wrong start."""

import os
import re
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animegan_tf.errors import CheckpointError, ConfigError, DataError, ImageError, TrainingError
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.build import samples_of
from animegan_tf.training.run import main, train
from animegan_tf.training.run_folder import absolute, next_run_dir, opened_run, with_run_recipe

RECIPES = list_recipes()


def _state(run_dir) -> dict[str, np.ndarray]:
    newest = sorted((Path(run_dir) / "checkpoints").glob("step-*"))[-1]
    with np.load(newest / "state.npz") as data:
        return {name: data[name] for name in data.files}


def _flags(config, *more):
    names = ("photo_dir", "style_dir", "run_dir", "vgg19_weights", "content_layer", "sample_every")
    names += ("generator", "discriminator")
    given = [f"--{name}={getattr(config, name)}" for name in names]
    return ["--recipe=smoke", *given, *more]


def test_a_run_folder_explains_itself(tiny_config):
    outcome = train(replace(tiny_config, sample_every=3))
    run_dir = Path(tiny_config.run_dir)
    assert outcome.step == 8 and outcome.run_dir == run_dir and not outcome.stopped
    assert {p.name for p in run_dir.iterdir()} == {"recipe.flags", "log.txt", "scalars", "samples", "checkpoints"}
    assert [p.name for p in sorted((run_dir / "samples").iterdir())] == ["step-00000003.jpg", "step-00000006.jpg"] + [
        "step-00000008.jpg"  # the last step has one, too
    ]
    log = (run_dir / "log.txt").read_text()
    assert len(re.findall(r"step \d+ ", log)) == 8 and "loss/d/anime" in log and "images/s" in log
    assert "loss/d" not in log.splitlines()[3] and "loss/d" in log.splitlines()[4]
    assert read_flagfile(run_dir / "recipe.flags").photo_dir == tiny_config.photo_dir


def test_a_run_starts_from_the_generator_of_another(tiny_config, tmp_path):
    tiny_config = replace(tiny_config, ema_decay=0.0)
    first = train(replace(tiny_config, max_steps=2))
    still = {"generator_lr": 0.0, "pretrain_lr": 0.0, "max_steps": 1, "seed": 7, "run_dir": str(tmp_path / "second")}
    train(replace(tiny_config, start_from=str(first.run_dir), **still))
    one, two = _state(first.run_dir), _state(tmp_path / "second")
    np.testing.assert_array_equal(one["generator/000"], two["generator/000"])  # the norms' statistics went on
    with pytest.raises(CheckpointError, match="--start_from=nowhere is neither a run folder"):
        train(replace(tiny_config, start_from="nowhere", run_dir=str(tmp_path / "third")))


def test_a_resumed_run_equals_an_uninterrupted_one(tiny_config, tmp_path):
    """The cut lies in pre-training, so that both phases are resumed into."""
    whole = train(replace(tiny_config, run_dir=str(tmp_path / "whole")))
    train(replace(tiny_config, max_steps=3))
    resumed = train(replace(tiny_config, resume=True))
    assert resumed.step == whole.step == 8
    assert resumed.logs == whole.logs
    first, second = _state(tmp_path / "whole"), _state(tiny_config.run_dir)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(tiny_config, tmp_path):
    short = replace(tiny_config, max_steps=5)
    logs = [train(replace(short, run_dir=str(tmp_path / str(k)), seed=seed)).logs for k, seed in enumerate((1, 1, 2))]
    assert logs[0] == logs[1] != logs[2]


def test_array_batches_in_place_of_tf_data_give_the_same_run(tiny_config, tmp_path):
    from animegan_tf.data.pipeline import array_batches

    samples = samples_of(tiny_config)
    opened = {}

    def batches(start):
        opened[start] = array_batches(samples, tiny_config.batch_size, start)
        return opened[start]

    ours = train(replace(tiny_config, run_dir=str(tmp_path / "arrays")), batches)
    assert list(opened) == [0, 4]  # pre-training, then the rest
    for iterator in opened.values():
        iterator.close()
    assert ours.logs == train(tiny_config).logs


def test_xla_and_several_discriminator_steps(tiny_config):
    outcome = train(replace(tiny_config, pretrain_epochs=0, max_steps=1, xla=True, discriminator_steps=2))
    assert np.isfinite(list(outcome.logs.values())).all()


def test_the_set_target_runs(tiny_config):
    config = replace(tiny_config, gram_target="set", gram_picture="color", gram_loss="relative_l1", max_steps=5)
    assert 0 < train(config).logs["loss/g/gram"] < 100


def test_a_nan_loss_names_step_and_term_and_keeps_the_checkpoint(tiny_config):
    handler = signal.getsignal(signal.SIGINT)
    train(replace(tiny_config, max_steps=2))
    with pytest.raises(
        TrainingError, match=r"Step 3: [a-z/]+ is (nan|inf); the last good checkpoint is .*step-00000002"
    ):
        train(replace(tiny_config, resume=True), _nan_batches)
    assert len(list((Path(tiny_config.run_dir) / "checkpoints").glob("step-*"))) == 1
    assert signal.getsignal(signal.SIGINT) is handler


def _nan_batches(start):
    pictures = np.full((2, 32, 32, 3), np.nan, "float32")
    while True:
        yield {name: pictures for name in ("photo", "anime", "anime_gray", "anime_smooth")}


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tiny_config, capfd):
    def interrupt():
        log = Path(tiny_config.run_dir) / "log.txt"
        while not log.exists():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    code = main(_flags(tiny_config, "--steps_per_epoch=2000", "--checkpoint_every=100000"))
    out, err = capfd.readouterr()
    step = int(re.search(r"Stopped at step (\d+); go on with: animegan-train --resume --run_dir=", out).group(1))
    assert code == 130 and err.splitlines()[-1].endswith("animegan-train: stopped.")
    assert (Path(tiny_config.run_dir) / f"checkpoints/step-{step:08d}/state.npz").exists()
    assert signal.getsignal(signal.SIGINT) is handler
    assert main(["--resume", f"--run_dir={tiny_config.run_dir}", f"--max_steps={step + 1}"]) == 0


def test_broken_pictures_are_skipped_and_listed(tiny_config, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in Path(tiny_config.photo_dir).iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    (photos / "text.png").write_text("no picture")
    train(replace(tiny_config, photo_dir=str(photos)))
    assert re.search(r"skipped: .*text.png: not a picture", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"photo_dir": ""}, ConfigError, "--photo_dir is needed"),
        ({"photo_dir": "/nowhere"}, DataError, "--photo_dir=/nowhere does not exist"),
        ({"generator": "animegan3"}, ConfigError.__base__, "Unknown generator 'animegan3'"),
        ({"content_layer": "block9_conv1"}, ConfigError, "no layer 'block9_conv1'"),
        ({"vgg19_weights": "no.npz"}, ConfigError, "--vgg19_weights=no.npz does not exist"),
        ({"run_dir": "/dev/null/run"}, ConfigError, "--run_dir=/dev/null/run cannot be made"),
        ({"resume": True}, ConfigError, "holds no run to resume"),
        ({"resume": True, "run_dir": ""}, ConfigError, "--resume needs --run_dir"),
    ],
)
def test_wrong_starts_are_one_sentence(tiny_config, change, error, message):
    with pytest.raises(error, match=message) as caught:
        train(replace(tiny_config, **change))
    assert "\n" not in str(caught.value)
    assert not Path(tiny_config.run_dir).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(tiny_config):
    run_dir = Path(tiny_config.run_dir)
    run_dir.mkdir()
    (run_dir / "log.txt").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="^Cannot write .*log.txt: No space left on device.$"):
        train(tiny_config)


def test_sample_grids_that_cannot_be_written_are_one_sentence(tiny_config):
    run_dir = Path(tiny_config.run_dir)
    run_dir.mkdir()
    (run_dir / "samples").write_text("a file where the folder should be")
    with pytest.raises(ImageError, match="^Cannot write .*samples/step-00000001.jpg: .*samples is not a folder.$"):
        train(replace(tiny_config, sample_every=1))


def test_an_empty_folder_names_its_flag(tiny_config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--style_dir=.*empty"):
        train(replace(tiny_config, style_dir=str(tmp_path / "empty")))


def test_pictures_that_come_later_do_not_move_the_schedule(tiny_config, tmp_path):
    """Steps of an epoch are those of the start, though the folder now holds more photos."""
    photos = shutil.copytree(tiny_config.photo_dir, tmp_path / "photos")
    grown = replace(tiny_config, photo_dir=str(photos), steps_per_epoch=0, max_steps=1)
    train(grown)
    run_dir = Path(tiny_config.run_dir)
    steps = read_flagfile(run_dir / "recipe.flags").steps_per_epoch
    assert steps == len(list(photos.iterdir())) // tiny_config.batch_size
    for path in list(photos.iterdir()):
        shutil.copy(path, photos / f"more_{path.name}")
    train(replace(grown, resume=True, max_steps=0))
    assert _state(run_dir)["step"] == steps * tiny_config.epochs


def test_two_processes_do_not_share_a_run(tiny_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    with opened_run(replace(tiny_config, run_dir="one")), pytest.raises(ConfigError, match="Another process trains in"):
        with opened_run(replace(tiny_config, run_dir="one")):
            pass
    with opened_run(replace(tiny_config, run_dir="")) as first, opened_run(replace(tiny_config, run_dir="")) as second:
        assert (first, second) == (Path("runs/00000-smoke"), Path("runs/00001-smoke"))


def test_a_place_for_runs_that_cannot_be_made_is_one_sentence(tiny_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="^--run_dir=runs cannot be made: File exists.$"):
        train(replace(tiny_config, run_dir=""))


def test_a_run_without_a_checkpoint_says_what_to_do(tiny_config):
    run_dir = Path(tiny_config.run_dir)
    run_dir.mkdir()
    (run_dir / "recipe.flags").write_text("")
    with pytest.raises(ConfigError, match="ended before its first checkpoint: remove it, or choose another"):
        train(tiny_config)


def test_words_stay_words_where_a_folder_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("imagenet", "random", "photos"):
        (tmp_path / name).mkdir()
    found = [absolute(value) for value in ("imagenet", "random", "photos", "nothing", "")]
    assert found == ["imagenet", "random", str(tmp_path / "photos"), "nothing", ""]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying")])
def test_too_little_memory_is_one_sentence(tiny_config, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("animegan_tf.training.trainer.Trainer.learn", fail)
    with pytest.raises(TrainingError, match=r"^Not enough memory for a step: lower --batch_size or --image_size\.$"):
        train(tiny_config)


def test_a_run_is_neither_overwritten_nor_resumed_by_another_recipe(tiny_config):
    train(replace(tiny_config, max_steps=1))
    with pytest.raises(ConfigError, match="already holds a run: add --resume"):
        train(tiny_config)
    other = replace(tiny_config, resume=True, generator="animegan", content_weight=9.0)
    with pytest.raises(ConfigError, match="another recipe: it differs in --generator, --content_weight"):
        train(other)


def test_main_turns_errors_into_exit_codes(tiny_config, capsys):
    assert main(_flags(tiny_config, "--photo_dir=/nowhere")) == 2
    assert capsys.readouterr().err == "animegan-train: --photo_dir=/nowhere does not exist.\n"
    assert main(["--recipe=smoek"]) == 2
    assert "Did you mean 'smoke'" in capsys.readouterr().err


def test_a_recipe_in_a_run_folder_re_runs_it_from_anywhere(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = {name: os.path.relpath(getattr(tiny_config, name)) for name in ("photo_dir", "style_dir", "run_dir")}
    train(replace(tiny_config, **relative, max_steps=1))
    monkeypatch.chdir("/")
    config = read_flagfile(Path(tiny_config.run_dir) / "recipe.flags")
    assert train(replace(config, run_dir=str(tmp_path / "again"), max_steps=1)).step == 1


def test_resuming_with_other_data_is_said_and_the_recipe_kept(tiny_config, capsys):
    train(replace(tiny_config, max_steps=1))
    before = (Path(tiny_config.run_dir) / "recipe.flags").read_text()
    train(replace(tiny_config, photo_dir=tiny_config.style_dir, resume=True, max_steps=2))
    assert f"--photo_dir={tiny_config.style_dir} was {tiny_config.photo_dir} when" in capsys.readouterr().err
    assert (Path(tiny_config.run_dir) / "recipe.flags").read_text() == before


def test_a_schedule_changed_on_resuming_is_that_of_the_next_resume(tiny_config):
    """Stopped twice, and told only once to train for longer; the rest of the recipe stays as it was written."""
    train(replace(tiny_config, max_steps=3))
    path = Path(tiny_config.run_dir) / "recipe.flags"
    before = path.read_text().splitlines()
    train(replace(tiny_config, resume=True, epochs=3, frozen_norm_epochs=1, max_steps=5))
    changed = [line for line in path.read_text().splitlines() if line not in before]
    assert changed == ["--epochs=3", "--frozen_norm_epochs=1"] and len(path.read_text().splitlines()) == len(before)
    assert main(["--resume", f"--run_dir={tiny_config.run_dir}"]) == 0
    assert _state(tiny_config.run_dir)["step"] == 12


def test_a_signal_too_late_for_the_last_checks_still_saves(tiny_config, monkeypatch):
    """It comes in the last step of pre-training, after the stop was looked for."""
    from animegan_tf.training import callbacks

    def signal_at_4(self, step, logs):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(callbacks.Scalars, "on_step", signal_at_4)
    outcome = train(tiny_config)
    assert outcome.stopped and outcome.step == 4
    assert (Path(tiny_config.run_dir) / "checkpoints/step-00000004").is_dir()


def test_the_users_own_empty_folder_is_kept(tiny_config, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError):
        train(replace(tiny_config, run_dir=str(tmp_path / "mine"), photo_dir="/nowhere"))
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize(
    "form", [["--resume", "--run_dir={}"], ["-resume", "-run_dir", "{}"], ["--run_dir", "{}", "--resume"]]
)
def test_resume_alone_finds_the_runs_recipe(tmp_path, form):
    (tmp_path / "recipe.flags").write_text("")
    argv = [part.format(tmp_path) for part in form]
    assert with_run_recipe(argv) == [f"--flagfile={tmp_path / 'recipe.flags'}", *argv]
    assert with_run_recipe([*argv, "--recipe=smoke"]) == [*argv, "--recipe=smoke"]


def test_runs_are_numbered_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/00004-smoke").mkdir(parents=True)
    assert next_run_dir(Path("runs"), "x") == Path("runs/00005-x")

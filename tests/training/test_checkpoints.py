"""Checkpoints: complete, atomic, kept in number, refused where they do not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animegan_tf.errors import CheckpointError, TrainingError
from animegan_tf.training import checkpoints
from animegan_tf.training.checkpoints import list_checkpoints, load_start, restore_newest, save_checkpoint


def _all(trainer):
    owners = (trainer.generator, trainer.discriminator, trainer.averaged)
    optimizers = (trainer.generator_optimizer, trainer.discriminator_optimizer)
    return [v.numpy() for owner in (*owners, *optimizers) for v in owner.variables]


def test_everything_comes_back(tiny_config, make_trainer, batch, tmp_path):
    trainer = make_trainer(tiny_config)
    trainer.train_step(batch)
    save_checkpoint(trainer, tmp_path, keep=2)
    other = make_trainer(replace(tiny_config, seed=9))
    step, problems = restore_newest(other, tmp_path)
    assert (step, problems) == (1, [])
    for saved, restored in zip(_all(trainer), _all(other), strict=True):
        np.testing.assert_array_equal(saved, restored)


def test_only_the_newest_are_kept(tiny_config, make_trainer, tmp_path):
    trainer = make_trainer(tiny_config)
    for step in (1, 2, 3):
        trainer.step.assign(step)
        save_checkpoint(trainer, tmp_path, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    assert sorted(p.name for p in list_checkpoints(tmp_path)[0].iterdir()) == ["generator.weights.h5", "state.npz"]


def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(tiny_config, make_trainer, tmp_path):
    trainer = make_trainer(tiny_config)
    for step in (1, 2):
        trainer.step.assign(step)
        save_checkpoint(trainer, tmp_path, keep=2)
    state = tmp_path / "checkpoints/step-00000002/state.npz"
    state.write_bytes(state.read_bytes()[:-2000])
    step, problems = restore_newest(trainer, tmp_path)
    assert step == 1 and "step-00000002 is damaged" in problems[0]
    save_checkpoint(trainer, tmp_path, keep=1)  # must not be taken for older than the damaged one
    assert restore_newest(trainer, tmp_path) == (1, [])


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tiny_config, make_trainer, monkeypatch, tmp_path):
    trainer = make_trainer(tiny_config)
    folder = save_checkpoint(trainer, tmp_path, keep=2)

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoints, "_read", refuse)
    with pytest.raises(CheckpointError, match=r"step-00000000 cannot be read: Permission denied\.$"):
        restore_newest(trainer, tmp_path)
    assert folder.is_dir()


def test_the_averaged_generator_is_the_one_to_export(tiny_config, make_trainer, batch, tmp_path):
    trainer = make_trainer(replace(tiny_config, ema_decay=0.9))
    trainer.train_step(batch)
    folder = save_checkpoint(trainer, tmp_path, keep=1)
    other = make_trainer(tiny_config).generator
    other.load_weights(folder / "generator.weights.h5")
    for found, average, plain in zip(
        other.variables, trainer.averaged.variables, trainer.generator.variables, strict=True
    ):
        np.testing.assert_array_equal(found.numpy(), average.numpy())
        assert (found.numpy() != plain.numpy()).any() or not plain.trainable


def test_nan_weights_are_never_saved(tiny_config, make_trainer, tmp_path):
    trainer = make_trainer(tiny_config)
    save_checkpoint(trainer, tmp_path, keep=2)
    trainer.step.assign(5)
    first = trainer.generator.variables[0]
    first.assign(first * np.nan)
    with pytest.raises(TrainingError, match="Step 5: generator/000 .*last good checkpoint is .*step-00000000"):
        save_checkpoint(trainer, tmp_path, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000000"]


def test_another_network_is_refused(tiny_config, make_trainer, tmp_path):
    save_checkpoint(make_trainer(tiny_config), tmp_path, keep=1)
    other = make_trainer(replace(tiny_config, generator="animeganv2_lite"))
    with pytest.raises(CheckpointError, match="belongs to other networks"):
        restore_newest(other, tmp_path)


def test_training_starts_from_another_runs_generator(tiny_config, make_trainer, tmp_path):
    config = replace(tiny_config, ema_decay=0.5)
    trainer = make_trainer(config)
    save_checkpoint(trainer, tmp_path, keep=1)
    for source in (tmp_path, list_checkpoints(tmp_path)[0] / "generator.weights.h5"):
        other = make_trainer(replace(config, seed=5))
        pairs = list(zip(trainer.generator.variables, other.generator.variables, strict=True))
        assert any(np.abs(np.asarray(one) - np.asarray(two)).max() > 0 for one, two in pairs)
        load_start(other, source)
        for started in (other.generator, other.averaged):
            for one, two in zip(trainer.best_generator.variables, started.variables, strict=True):
                np.testing.assert_array_equal(one, two)


def test_a_start_of_another_network_or_without_weights_is_one_sentence(tiny_config, make_trainer, tmp_path):
    save_checkpoint(make_trainer(tiny_config), tmp_path / "small", keep=1)
    wider = make_trainer(replace(tiny_config, generator="fast", generator_width=6))
    with pytest.raises(CheckpointError, match="^--start_from=.*small does not fit the generator: "):
        load_start(wider, tmp_path / "small")
    with pytest.raises(CheckpointError, match="empty is neither a run folder with a checkpoint nor a file of weights"):
        load_start(wider, tmp_path / "empty")


def test_nothing_to_resume(tiny_config, make_trainer, tmp_path):
    with pytest.raises(CheckpointError, match="holds no readable checkpoint"):
        restore_newest(make_trainer(tiny_config), tmp_path)


def test_a_place_that_cannot_be_written(tiny_config, make_trainer, tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="Cannot write the checkpoint"):
        save_checkpoint(make_trainer(tiny_config), Path(tmp_path), keep=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence_and_nothing_half_written_stays(tiny_config, make_trainer, tmp_path, monkeypatch):
    trainer = make_trainer(tiny_config)
    save_checkpoint(trainer, tmp_path, keep=2)

    # Before a byte of it is written there is room for all of it.
    sizes: list[int] = []
    monkeypatch.setattr(type(trainer.generator), "save_weights", lambda self, path: sizes.append(path.stat().st_size))
    save_checkpoint(trainer, tmp_path, keep=2)
    assert sizes[0] > sum(variable.numpy().nbytes for variable in trainer.generator.variables)
    trainer.step.assign(5)
    monkeypatch.setattr(type(trainer.generator), "save_weights", lambda *_: Path("/dev/full").write_bytes(b"0"))
    with pytest.raises(CheckpointError, match="Cannot write the checkpoint .*step-00000005: No space left on device.$"):
        save_checkpoint(trainer, tmp_path, keep=2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000000"]

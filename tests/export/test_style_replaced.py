"""A style folder appears whole, in the place of another or not, whoever else writes there."""

import shutil

import pytest

from animegan_tf.errors import ConfigError, ExportError
from animegan_tf.export import parity, style_folder
from animegan_tf.export.style_folder import check_target, describe, write_style_folder
from animegan_tf.manifest import read_manifest

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SAID = {"name": "toy", "system": "fast", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Compares files on small pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SIZES", ((32, 32),))
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory, new_generator):
    """Returns (style folder with a SavedModel, its network); read-only."""
    generator, out = new_generator("fast", 4), tmp_path_factory.mktemp("exported") / "toy"
    write_style_folder(generator, describe(generator, **SAID), out=out, formats=("saved_model",))
    return out, generator


@pytest.fixture
def quick_style(exported, monkeypatch):
    """Returns write(out, **options), which copies a SavedModel instead of converting, and calls `meanwhile` before."""
    source, generator = exported

    def write(out, meanwhile=lambda: None, **options):
        def convert(generator, folder, order):
            meanwhile()
            shutil.copytree(source / "saved_model", folder / "saved_model")
            return [read_manifest(source).find("saved_model")]

        monkeypatch.setitem(style_folder._WRITERS, "saved_model", convert)
        return write_style_folder(generator, describe(generator, **SAID), out=out, formats=("saved_model",), **options)

    return write


def test_a_style_is_replaced_when_the_new_one_is_whole(quick_style, tmp_path):
    out = tmp_path / "style"
    quick_style(out)
    (out / "old").touch()
    quick_style(out, meanwhile=lambda: (out / "old").stat(), overwrite=True)  # it is there until the end
    assert {path.name for path in out.iterdir()} == {"saved_model", "manifest.json"}
    assert list(tmp_path.iterdir()) == [out]


def test_the_old_style_comes_back_when_the_new_one_cannot_be_moved(quick_style, tmp_path, monkeypatch):
    out = tmp_path / "style"
    quick_style(out)
    (out / "old").touch()
    rename = style_folder.Path.rename

    def fail_into_place(path, target):
        if ".partial-" in path.name:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(style_folder.Path, "rename", fail_into_place)
    with pytest.raises(ExportError, match=f"--out={out} cannot be written: No space left on device"):
        quick_style(out, overwrite=True)
    assert (out / "old").exists() and list(tmp_path.iterdir()) == [out]


def test_two_exports_leave_each_other_alone(quick_style, tmp_path):
    out = tmp_path / "style"
    inner = []

    def export_the_same():
        if not inner:
            inner.append(out)
            quick_style(out)

    with pytest.raises(ConfigError, match=f"--out={out} exists: add --overwrite to replace it"):
        quick_style(out, meanwhile=export_the_same)
    assert read_manifest(out).find("saved_model") and list(tmp_path.iterdir()) == [out]
    inner.clear()
    shutil.rmtree(out)
    quick_style(out, meanwhile=export_the_same, overwrite=True)
    assert read_manifest(out).find("saved_model") and list(tmp_path.iterdir()) == [out]


def test_a_link_is_refused_before_anything_is_converted(quick_style, tmp_path):
    quick_style(tmp_path / "style")
    for target in ("style", "nowhere"):
        link = tmp_path / f"to_{target}"
        link.symlink_to(tmp_path / target)
        for overwrite in (False, True):
            with pytest.raises(ConfigError, match=f"--out={link} is a link: name the folder itself"):
                check_target(link, overwrite)
            with pytest.raises(ConfigError, match="is a link"):
                quick_style(link, meanwhile=pytest.fail, overwrite=overwrite)

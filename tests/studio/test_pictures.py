"""Pictures in the work folder, and what their licences say."""

from __future__ import annotations

import shutil

import pytest

from animegan_tf.data.check import check_pictures
from animegan_tf.errors import DataError
from animegan_tf.studio import pictures
from animegan_tf.studio.pictures import link_judged, link_pictures, quote_terms


@pytest.fixture
def check(folders):
    """Returns the check of the folders, with a sub-folder, a copy and a text file in the photos'."""
    photo_dir, style_dir = folders
    (photo_dir / "trip").mkdir()
    shutil.move(photo_dir / "19.png", photo_dir / "trip/19.png")
    shutil.copy(photo_dir / "03.png", photo_dir / "trip/copy.png")
    (photo_dir / "text.png").write_text("no picture")
    return check_pictures(photo_dir, style_dir, smallest_side=16, good_side=32)


@pytest.mark.parametrize("links", [True, False])
def test_the_usable_pictures_are_there_under_their_names(check, tmp_path, monkeypatch, links):
    if not links:

        def refuse(*_):
            raise OSError("no links here")

        monkeypatch.setattr(pictures.Path, "symlink_to", refuse)
    (tmp_path / "work/pictures/photo").mkdir(parents=True)
    (tmp_path / "work/pictures/photo/old.png").write_text("")
    link_pictures(check, tmp_path / "work")
    photo_dir = tmp_path / "work/pictures/photo"
    assert any((tmp_path / "work/pictures/style").iterdir())
    found = sorted(path.relative_to(photo_dir).as_posix() for path in photo_dir.rglob("*.png"))
    assert found == [f"{number:02d}.png" for number in range(19)] + ["trip/19.png"]
    assert (photo_dir / "trip/19.png").is_symlink() == links
    assert (photo_dir / "trip/19.png").read_bytes() == (check.photo.folder / "trip/19.png").read_bytes()


@pytest.mark.parametrize(("sampling", "expected"), [("uniform", (5, 1)), ("balanced", (3, 3))])
def test_photos_are_judged_as_training_meets_them(folders, tmp_path, sampling, expected):
    """Fifteen photos lie in one sub-folder and five in another; six are judged."""
    for number in range(20):
        place = folders[0] / ("places" if number < 15 else "portraits")
        place.mkdir(exist_ok=True)
        shutil.move(folders[0] / f"{number:02d}.png", place)
    (tmp_path / "judged/old").mkdir(parents=True)
    link_judged(folders[0], sampling, 6, tmp_path / "judged")
    counts = [len(list((tmp_path / "judged" / name).glob("*.png"))) for name in ("places", "portraits")]
    assert tuple(counts) == expected and not (tmp_path / "judged/old").exists()


def test_a_place_that_cannot_be_written_to_is_one_sentence(check, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file cannot be written to: Not a directory"):
        link_pictures(check, tmp_path / "file")


def test_licence_texts_are_quoted_by_their_first_paragraph(tmp_path):
    assert quote_terms(tmp_path, "Photos") == ""
    for name, text in (("a", "By Ann,\n 1999. CC0; files:\n\na list"), ("b", "word " * 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "LICENSE.txt").write_text(text)
    quoted = quote_terms(tmp_path, "Photos")
    assert quoted.startswith("Photos: By Ann, 1999. CC0; files. Photos: word word")
    assert quoted.endswith("word ...") and len(quoted) < 680
    (tmp_path / "LICENSE").write_text("All mine.")
    assert quote_terms(tmp_path, "Style pictures").startswith("Style pictures: All mine. Style pictures: By Ann")

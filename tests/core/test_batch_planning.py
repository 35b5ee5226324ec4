"""Which files a batch takes, where their results go, and that nothing is ever lost by that."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from unirestorer.core.batch import Job, Rules, Share, check_free, check_writable, left_out_line, plan, share_of
from unirestorer.core.batch import planning as planning_module
from unirestorer.core.errors import ConfigError, ImageError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder whose files are only looked at by name."""
    folder = tmp_path / "photos"
    for name in ("b.jpg", "a.png", "sub/deep/c.tif", ".hidden/x.png", ".y.png", "notes.txt"):
        write(folder / name)
    return folder


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def targets(jobs: tuple[Job, ...], out: Path) -> list[str]:
    return [job.target.relative_to(out).as_posix() for job in jobs]


def test_a_folder_is_mirrored_and_sorted_without_hidden_files(photos: Path, tmp_path: Path) -> None:
    planned = plan([photos], tmp_path / "out", Rules())
    assert targets(planned.to_do, tmp_path / "out") == ["a.png", "b.jpg", "sub/deep/c.tif"]
    assert planned.jobs == planned.to_do


def test_the_chosen_format_names_the_files(photos: Path, tmp_path: Path) -> None:
    write(photos / "d.jpeg")
    write(photos / "e.v2.gif")
    planned = plan([photos], tmp_path / "out", Rules(suffix=".jpg"))
    assert targets(planned.jobs, tmp_path / "out") == ["a.jpg", "b.jpg", "d.jpeg", "e.v2.jpg", "sub/deep/c.jpg"]


def test_what_cannot_be_written_gets_a_suffix_that_can(photos: Path, tmp_path: Path) -> None:
    write(photos / "e.gif")
    assert "e.gif.png" in targets(plan([photos], tmp_path / "out", Rules()).jobs, tmp_path / "out")


def test_files_that_differ_in_their_suffix_only_stay_apart(photos: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.webp", "b.tiff"):
        write(photos / name)
    names = targets(plan([photos], tmp_path / "out", Rules(suffix=".png")).jobs, tmp_path / "out")
    assert names == ["a.jpg.png", "a.png", "a.webp.png", "b.jpg.png", "b.tiff.png", "sub/deep/c.png"]


def test_names_that_collide_all_the_same_are_refused(photos: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpg.png"):
        write(photos / name)
    with pytest.raises(ImageError, match=r"a\.jpg\.png: wanted by both"):
        plan([photos], tmp_path / "out", Rules(suffix=".png"))


def test_names_that_differ_in_case_only(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(photos / "A.png")
    write(photos / "ä.png")
    write(photos / "a\u0308.png")  # the same letter, composed of two characters
    assert len(plan([photos], tmp_path / "out", Rules()).to_do) == 6
    monkeypatch.setattr(planning_module, "_ignores_case", lambda out: True)
    with pytest.raises(ImageError, match="wanted by both"):
        plan([photos], tmp_path / "out", Rules())


def test_a_file_that_is_given_twice_is_done_once(photos: Path, tmp_path: Path) -> None:
    assert len(plan([photos, photos / "a.png", photos], tmp_path / "out", Rules()).jobs) == 3


def test_two_folders_with_one_name_are_refused(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "more" / "a.png")
    with pytest.raises(ImageError, match="wanted by both"):
        plan([photos, tmp_path / "more"], tmp_path / "out", Rules())


@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_an_input_is_never_overwritten_under_whatever_name(photos: Path, tmp_path: Path, link: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if link == "symbolic":
        (out / "a.png").symlink_to(photos / "a.png")
    elif link == "hard":
        os.link(photos / "b.jpg", out / "a.png")
    else:
        out.rmdir()
        out.symlink_to(photos)
    with pytest.raises(ImageError, match="would overwrite an input"):
        plan([photos], out, Rules(overwrite=True, skip_done=True))


def test_the_output_never_leaves_its_folder(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match="a link that leads out of"):
        plan([photos], tmp_path / "out", Rules(overwrite=True))


def test_links_in_the_input_are_read_but_never_followed_into_folders(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "secret.png")
    (photos / "linked.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (photos / "folder").symlink_to(tmp_path / "elsewhere")
    (photos / "circle").symlink_to(photos)
    (photos / "lost.png").symlink_to(tmp_path / "nowhere")
    planned = plan([photos], tmp_path / "out", Rules())
    assert targets(planned.to_do, tmp_path / "out") == ["a.png", "b.jpg", "linked.png", "sub/deep/c.tif"]
    assert [job.error for job in planned.jobs if job.error] == [
        f"{photos}/lost.png: cannot be opened: No such file or directory"
    ]


def test_paths_with_dots_stay_inside(photos: Path, tmp_path: Path) -> None:
    planned = plan([photos / "sub" / ".." / "a.png"], tmp_path / "out", Rules())
    assert targets(planned.jobs, tmp_path / "out") == ["a.png"]


def test_the_output_inside_the_input_is_left_out(photos: Path) -> None:
    write(photos / "out" / "a.png")
    planned = plan([photos], photos / "out", Rules(overwrite=True))
    assert [job.source.name for job in planned.jobs] == ["a.png", "b.jpg", "c.tif"]


def test_pipes_and_sockets_are_told_and_never_opened(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(photos / "sock.png"))
        planned = plan([photos, Path("/dev/null"), photos / "pipe.png"], tmp_path / "out", Rules())
    wrong = [job.source.name for job in planned.jobs if "a pipe, socket or device" in job.error]
    assert sorted(wrong) == ["null", "pipe.png", "sock.png"]
    assert len(planned.to_do) == 3


def test_images_that_are_not_read_are_counted(photos: Path, tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIC", "sub/c.cr2"):
        write(photos / name)
    assert left_out_line(plan([photos], tmp_path / "out", Rules()).left_out).endswith(": 1 .cr2, 2 .heic")
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw" / "a.nef")
    (job,) = plan([tmp_path / "raw"], tmp_path / "out", Rules()).jobs
    assert "no images in this folder; the 1 .nef in it cannot be read" in job.error


def test_existing_files(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    older, newer, empty = write(out / "a.png", "mine"), write(out / "b.jpg", "mine"), write(out / "sub/deep/c.tif", "")
    os.utime(older, (1, 1))
    os.utime(newer, (2**33, 2**33))

    def fates(rules: Rules) -> list[str]:
        jobs = plan([photos], out, rules).jobs
        return ["error" if job.error else "changed" if job.changed else "done" if job.done else "do" for job in jobs]

    assert fates(Rules()) == ["error", "error", "error"]
    assert fates(Rules(overwrite=True)) == ["do", "do", "do"]
    assert fates(Rules(skip_done=True)) == ["changed", "done", "do"]
    assert fates(Rules(skip_done=True, overwrite=True)) == ["do", "done", "do"]
    assert (older.read_text(), newer.read_text(), empty.read_text()) == ("mine", "mine", "")


def test_a_folder_in_the_place_of_a_result_is_an_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    job = plan([photos], tmp_path / "out", Rules(overwrite=True)).jobs[0]
    assert "it is a folder" in job.error


def test_a_link_to_nowhere_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="exists already"):
        check_free(tmp_path / "a.png", overwrite=False)


def test_a_file_name_and_a_format_that_contradict_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the name says PNG, --format says JPEG"):
        plan([photos / "b.jpg"], tmp_path / "b.png", Rules(suffix=".jpg"))
    assert plan([photos / "b.jpg"], tmp_path / "b.jpeg", Rules(suffix=".jpg")).to_do[0].target.name == "b.jpeg"


def test_a_place_that_cannot_be_written_is_told(photos: Path, tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ImageError, match=r"cannot be written: it is a file"):
        check_writable(photos / "a.png" / "out")
    with pytest.raises(ImageError, match=r"/proc: cannot be written"):
        check_writable(Path("/proc/new"))


def test_processes_share_without_overlap_whatever_each_of_them_sees(photos: Path, tmp_path: Path) -> None:
    for index in range(60):
        write(photos / f"{index}.png")
    shares = [
        {job.source for job in plan([photos], tmp_path / "out", Rules(share=Share(rank, 3))).jobs} for rank in range(3)
    ]
    assert sum(map(len, shares)) == len(set.union(*shares)) == 63
    assert min(map(len, shares)) > 10
    write(photos / "late.png")
    late = {job.source for job in plan([photos], tmp_path / "out", Rules(share=Share(1, 3))).jobs}
    assert late - {photos / "late.png"} == shares[1]


def test_what_the_launchers_say() -> None:
    assert share_of({}) == Share(0, 1)
    assert share_of({"RANK": "1", "WORLD_SIZE": "2"}) == Share(1, 2)
    assert share_of({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}) == Share(3, 4)
    assert Share(1, 2).named(Path("out/report.json")) == Path("out/report-1-of-2.json")
    assert Share().named(Path("report.json")) == Path("report.json")
    with pytest.raises(ConfigError, match="RANK is '2'"):
        share_of({"RANK": "2", "WORLD_SIZE": "2"})

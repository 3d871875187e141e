"""The clips of a footage as files of their own, which cutting lists can name."""

from pathlib import Path

import torch

from genenvs.video.film import CUT, Edit, write_mp4
from genenvs.video.footage import Excerpts, Footage


class Filed(Excerpts):
    """Footage whose clips, or some of them, lie in files of their own.

    Attributes:
        files: by clip.
    """

    def __init__(self, whole: Footage, files: dict[int, Path]) -> None:
        every = torch.arange(len(whole.length))
        super().__init__(whole, every, torch.zeros_like(every), whole.length)
        self.files = files

    def source(self, clip: int) -> tuple[str, int, int]:
        if clip in self.files:
            return str(self.files[clip]), 0, int(self.length[clip])
        return super().source(clip)


def write_clips(folder: str | Path, edit: Edit, footage: Footage) -> Filed:
    """Write every clip that an edit uses, whole, as `C0000.mp4`, `C0001.mp4` ...

    Args:
        folder: for them; made where it is missing.
        edit: of the footage.
        footage: of clips.

    Returns:
        The footage, of which lists name these files.

    Raises:
        ImportError: PyAV is missing; names the extra.
        OSError: a file cannot be written.
        ValueError: an edit that cannot be cut, see `Edit.check`.
    """
    edit.check(footage)
    files = {}
    for clip in edit.clip.unique().tolist():
        files[clip] = Path(folder) / f"C{clip:04}.mp4"
        whole = Edit(*torch.tensor([[clip], [0], [int(footage.length[clip])], [CUT]]))
        write_mp4(files[clip], whole, footage)
    return Filed(footage, files)

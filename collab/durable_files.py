"""Files that survive a killed process and a full disk: whole lines, whole files, one writer.

Only regular files are opened, never through a symbolic link and none that has a second name: a
directory of results may come from somebody else, and what a link in it leads to is not ours to
write. Needs a POSIX system.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError as error:  # pragma: no cover  # not on POSIX
    raise ImportError(
        "collab keeps results with POSIX file locks, which this system does not have; on Windows, "
        "use it in WSL"
    ) from error

_LINK = "it is a symbolic link; put the file itself there, or use another directory"
_NO_FILE = "it is not a regular file; remove it, or use another directory"
_SHARED = "it has another name elsewhere (a hard link); copy it, or use another directory"
_NO_FOLDER = "it is not a folder; remove it, or use another directory"


def lock_file(path: Path) -> int:
    """Lock a file against other processes; return the descriptor whose closing unlocks it.

    The system closes it when the process dies, so no lock outlives its owner.

    Raises:
        BlockingIOError: Another process holds it; `strerror` is its process id.
        OSError: The file cannot be opened.
    """
    lock = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise BlockingIOError(error.errno, owner) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def read_whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that end with a newline; none if there is no such file.

    Raises:
        OSError: It cannot be read.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]


def read_file(path: Path) -> bytes:
    """Return what a regular file holds.

    Raises:
        OSError: It cannot be read, or is a link or no regular file.
    """
    with open(_open(path, os.O_RDONLY), "rb") as file:
        return file.read()


def make_folder(path: Path) -> None:
    """Make a folder if there is none.

    Raises:
        OSError: It cannot be made, or something else stands there, such as a link.
    """
    with suppress(FileExistsError):
        path.mkdir()
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, _NO_FOLDER, str(path))


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last newline of a file, if there is such a file.

    Raises:
        OSError: It cannot be read or cut.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        return
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file = _open(path, os.O_WRONLY)
        try:
            os.ftruncate(file, end)
        finally:
            os.close(file)


def append_line(path: Path, line: bytes) -> None:
    """Append a line and have it on disk, or leave the file as it was.

    Raises:
        OSError: It could not be written.
    """
    is_new = not path.exists()
    file = _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        before = os.fstat(file).st_size
        try:
            _write_all(file, line + b"\n")
        except OSError:
            os.ftruncate(file, before)
            raise
    finally:
        os.close(file)
    if is_new:
        _sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole: readers find the old content or the new.

    Raises:
        OSError: It could not be written; the old content stands.
    """
    draft = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        draft.unlink()  # left by a killed process, or somebody's link
    file = _open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        _write_all(file, content)
    finally:
        os.close(file)
    draft.replace(path)
    _sync_folder(path.parent)


def _open(path: Path, flags: int) -> int:
    """Open a regular file itself, never what a link points at, and wait for no pipe's other end."""
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, _LINK, str(path)) from error
        raise
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(file)
        is_file = stat.S_ISREG(found.st_mode)
        raise OSError(errno.EINVAL, _SHARED if is_file else _NO_FILE, str(path))
    return file


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

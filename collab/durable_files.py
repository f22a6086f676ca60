"""Files that survive a killed process and a full disk: whole lines, whole files, one writer."""

import fcntl
import os
from pathlib import Path


def lock_file(path: Path) -> int:
    """Lock a file against other processes; return the descriptor whose closing unlocks it.

    The system closes it when the process dies, so no lock outlives its owner.

    Raises:
        BlockingIOError: Another process holds it; `strerror` is its process id.
        OSError: The file cannot be opened.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last newline of a file, if there is such a file.

    Raises:
        OSError: It cannot be read or cut.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)


def append_line(path: Path, line: bytes) -> None:
    """Append a line and have it on disk, or leave the file as it was.

    Raises:
        OSError: It could not be written.
    """
    is_new = not path.exists()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
    file = os.open(draft, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _write_all(file, content)
    finally:
        os.close(file)
    draft.replace(path)
    _sync_folder(path.parent)


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
